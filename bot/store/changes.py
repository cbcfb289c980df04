"""Tell all processes of a bot what one of them has changed."""

from typing import Literal, TypeAlias

from sqlalchemy import Connection, func, select

from bot.store.backend import POSTGRES

ChangeKind: TypeAlias = Literal["group", "decision", "stop"]
"""What changed: a group's settings or a person's decision; or all turns that are being sent to a
chat must stop."""

CHANNEL = "understudy_changes"


def announce(connection: Connection, kind: ChangeKind, number: int) -> None:
    """Tell the other processes about a change when this transaction is committed.

    `number` is a chat's id, or a user's for a decision. An SQLite file has no other processes.
    """
    if connection.dialect.name == POSTGRES:
        connection.execute(select(func.pg_notify(CHANNEL, f"{kind}:{number}")))
