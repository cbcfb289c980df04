"""Store groups and people's decisions."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from bot.errors import StoreError
from bot.store.changes import announce
from bot.store.database import Database, Version, open_read_only, read_version
from bot.store.tables import decisions, groups
from model.chat.person import Decision


@dataclass(frozen=True, slots=True)
class StoredDecision(Decision):
    """A person's decision, the chat in which they sent it, and the update that it came with."""

    chat_id: int
    update_id: int | None = None


_DECISION_FIELDS = (
    decisions.c.user_id, decisions.c.decision, decisions.c.at, decisions.c.chat_id,
    decisions.c.update_id,
)  # fmt: skip
DecisionsByUser: TypeAlias = Mapping[int, Sequence[StoredDecision]]
"""Each person's decisions in the order in which they were sent."""
RESTART = timedelta(days=7)
"""After this long without an update, Telegram may continue with a smaller update id."""


class Decisions:
    """The decisions of all people; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> DecisionsByUser:
        """Return the decisions of all people."""
        return await self._database.read(_load_decisions)

    async def find(self, user_ids: Collection[int]) -> DecisionsByUser:
        """Return the decisions of some users."""
        return await self._database.read(partial(_load_decisions, user_ids=user_ids))

    async def add(self, new: StoredDecision) -> None:
        """Store a decision, unless its update was handled before."""
        row = insert(decisions).values(
            chat_id=new.chat_id, user_id=new.user_id, decision=new.kind, at=new.at,
            update_id=new.update_id,
        )  # fmt: skip

        def write(connection: Connection) -> None:
            connection.execute(row.on_conflict_do_nothing())
            announce(connection, "decision", new.user_id)

        await self._database.write(write)


def _load_decisions(
    connection: Connection, user_ids: Collection[int] | None = None
) -> DecisionsByUser:
    query = select(*_DECISION_FIELDS).order_by(decisions.c.id)
    if user_ids is not None:
        query = query.where(decisions.c.user_id.in_(user_ids))
    found: defaultdict[int, list[StoredDecision]] = defaultdict(list)
    for row in connection.execute(query):
        _insert_in_order(found[row.user_id], StoredDecision(*row))
    return dict(found)


def _insert_in_order(sent: list[StoredDecision], new: StoredDecision) -> None:
    """Insert a decision, stored last, into those that were stored before it.

    Several processes handle the updates of different chats at the same time, so an `/optin` goes
    before what was sent after it but handled earlier. An `/optout` stays last: update ids tell the
    order of one bot's updates, and only until Telegram restarts its numbering.
    """
    place = len(sent)
    if new.kind == "optin" and new.update_id is not None:
        while place and _was_sent_before(new, new.update_id, sent[place - 1]):
            place -= 1
    sent.insert(place, new)


def _was_sent_before(new: StoredDecision, update_id: int, other: StoredDecision) -> bool:
    is_smaller = other.update_id is not None and update_id < other.update_id
    return is_smaller and new.at - other.at < RESTART


_FIELDS = [column.name for column in groups.columns]


@dataclass(frozen=True, slots=True)
class Group:
    """A group and its settings.

    `authorised`: an admin added the bot. `allowed`: ids of other chats; a model that learned from
    them may speak in this group. `moved_from`: the id of the basic group that became this
    supergroup. `model_folder`: the folder of the group's own model, None if it uses the default
    one.
    """

    chat_id: int
    title: str | None = None
    authorised: bool = False
    allowed: frozenset[int] = frozenset()
    moved_from: int | None = None
    told_privacy: bool = False
    chatty: int = 0
    quiet_until: datetime | None = None
    model_folder: str | None = None


def _load_groups(connection: Connection) -> dict[int, Group]:
    rows = connection.execute(select(groups))
    return {row.chat_id: Group(**row._mapping) for row in rows}  # noqa: SLF001  the documented name


class Groups:
    """The groups; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[int, Group]:
        """Return all groups by id."""
        return await self._database.read(_load_groups)

    async def find(self, chat_id: int) -> Group | None:
        """Return a group, or None if it is unknown."""
        query = select(groups).where(groups.c.chat_id == chat_id)

        def load(connection: Connection) -> Group | None:
            row = connection.execute(query).one_or_none()
            return Group(**row._mapping) if row else None  # noqa: SLF001  the documented name

        return await self._database.read(load)

    async def save(self, group: Group, before: Group | None = None) -> None:
        """Store a group's settings; if `before` is given, only those that differ from it.

        Another process may have changed other settings in the meantime.
        """
        values = {name: getattr(group, name) for name in _FIELDS}
        changed = {
            name: value
            for name, value in values.items()
            if before is None or getattr(before, name) != value
        }
        upsert = insert(groups).values(values)
        upsert = upsert.on_conflict_do_update(
            index_elements=[groups.c.chat_id], set_=changed or {"chat_id": group.chat_id}
        )

        def write(connection: Connection) -> None:
            connection.execute(upsert)
            announce(connection, "group", group.chat_id)

        await self._database.write(write)

    async def announce_stop(self, chat_id: int) -> None:
        """Let all processes of the bot stop the turns that they send to a chat."""
        if self._database.backend.is_shared:
            await self._database.write(partial(announce, kind="stop", number=chat_id))


async def read_decisions_and_groups(url: str) -> tuple[DecisionsByUser, dict[int, Group]]:
    """Return all decisions and groups, none if the database cannot be read.

    Nothing is created or changed.
    """
    try:
        if await read_version(url) is not Version.CURRENT:
            return {}, {}
    except StoreError:
        return {}, {}
    with open_read_only(url) as engine, engine.connect() as connection:
        return _load_decisions(connection), _load_groups(connection)
