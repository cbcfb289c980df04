"""Tell all processes of a bot what one of them has changed."""

from typing import Literal, TypeAlias

from sqlalchemy import Connection, func, select

from bot.store.backend import POSTGRES

ChangeKind: TypeAlias = Literal["group", "decision", "names", "stop"]
"""What changed: a group's settings, a person's decision, or people's names; or all turns that are
being sent to a chat must stop."""

CHANNEL = "understudy_changes"


def announce(connection: Connection, kind: ChangeKind, number: int) -> None:
    """Tell the other processes about a change when this transaction is committed.

    `number` is a chat's id, a user's for a decision, and 0 for names. An SQLite file has no other
    processes.
    """
    if connection.dialect.name == POSTGRES:
        connection.execute(select(func.pg_notify(CHANNEL, f"{kind}:{number}")))
