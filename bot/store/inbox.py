"""Store updates before they are confirmed to Telegram, and remember which were handled.

An update waits from the moment it is stored until all its handlers have ended. The transaction that
starts an update also stores its message. After a kill, the update is started again. If the kill
came before the commit, the message was not stored yet. If it came after, storing the message a
second time changes nothing.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Update, delete, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert

from bot.errors import StoreError
from bot.store.database import (
    Database,
    Version,
    database_name,
    open_read_only,
    read_version,
)
from bot.store.messages import Sticker, find_forgotten, message_insert, sticker_insert
from bot.store.names import save_names
from bot.store.tables import inbox
from bot.store.update_queue import UpdateQueue
from bot.store.updates import Json, find_quoted, make_ref, remove_erased_text
from model.chat.conversation import Message

T = TypeVar("T")

WAITING, HANDLED, SET_ASIDE = "waiting", "handled", "set aside"
MAX_CRASHES = 5
"""An update is set aside if its handler code was running during this many crashes.

Three is too few: in a test with 1,000 random kills, one of 5,000 commands was hit three times.
"""


@dataclass(frozen=True, slots=True)
class Received:
    """The parts of an update that are stored: a message, when it was edited, and its sticker.

    `names` are people's new names by user id.
    """

    message: Message | None
    edited_at: datetime | None = None
    sticker: Sticker | None = None
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenUpdates:
    """The numbers of updates that are waiting and that were set aside."""

    waiting: int
    set_aside: int


async def read_waiting(url: str) -> tuple[int, datetime | None]:
    """Return how many updates are waiting in a database, and when the oldest was received.

    Nothing is created or changed.

    Raises:
        StoreError: The database cannot be read.
    """
    if await read_version(url) is not Version.CURRENT:
        raise StoreError(
            f"the database {database_name(url)} was created by another version: run "
            "`understudy-bot db upgrade`"
        )

    def read() -> tuple[int, datetime | None]:
        with open_read_only(url) as engine, engine.connect() as connection:
            return _count_waiting(connection)

    return await asyncio.to_thread(read)


def _count_waiting(connection: Connection) -> tuple[int, datetime | None]:
    query = select(func.count(), func.min(inbox.c.received_at)).where(inbox.c.state == WAITING)
    number, oldest = connection.execute(query).one()
    return number, oldest


class Inbox:
    """The updates of the bot; each method is one transaction, and raises StoreError if it fails.

    New updates are added to `queue`, if that is set.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._restarted: set[int] = set()
        self.queue: UpdateQueue | None = None

    async def store(self, updates: Sequence[Mapping[str, Any]]) -> frozenset[int]:
        """Store updates as Telegram sent them; return the ids of those that are new.

        Quotes of forgotten messages are left out.
        """
        now = datetime.now(UTC)
        if not updates:
            return frozenset()
        self._database.last_update_at = time.monotonic()

        def write(connection: Connection) -> Sequence[Mapping[str, Any]]:
            rows = [
                {
                    "update_id": one["update_id"],
                    "body": json.dumps(one),  # in ASCII: SQLite cannot store half a surrogate pair
                    "state": WAITING,
                    "begun": 0,
                    "received_at": now,
                    "working": False,
                    "crashes": 0,
                }
                for one in updates
            ]
            insertion = insert(inbox).values(rows).on_conflict_do_nothing()
            new = set(connection.execute(insertion.returning(inbox.c.update_id)).scalars())
            fresh = [one for one in updates if one["update_id"] in new]
            _scrub(connection, fresh)
            if self.queue:
                self.queue.add(connection, fresh)
            return fresh

        fresh = await self._database.write(write)
        if self.queue:
            self.queue.announce(fresh)
        return frozenset(one["update_id"] for one in fresh)

    async def waiting(self, *parts: str, unless_begun: str | None = None) -> list[dict[str, Any]]:
        """Return the updates that are not handled yet, in order.

        With `parts`, only those that contain one of these texts; those with the text `unless_begun`
        only if nobody has begun to handle them.
        """
        query = select(inbox.c.body).where(inbox.c.state == WAITING).order_by(inbox.c.update_id)
        if parts:
            found = (inbox.c.body.icontains(part, autoescape=True) for part in parts)
            query = query.where(or_(*found))
        if unless_begun is not None:
            is_about_it = inbox.c.body.icontains(unless_begun, autoescape=True)
            query = query.where(or_(inbox.c.begun == 0, ~is_about_it))

        def load(connection: Connection) -> list[dict[str, Any]]:
            return [json.loads(body) for body in connection.execute(query).scalars()]

        return await self._database.read(load)

    async def find(self, update_id: int, parse: Callable[[dict[str, Any]], T]) -> T | None:
        """Return an update that is not handled yet, parsed in a thread, or None."""
        query = select(inbox.c.body).where(inbox.c.state == WAITING, inbox.c.update_id == update_id)

        def read(connection: Connection) -> T | None:
            body = connection.execute(query).scalar()
            return parse(json.loads(body)) if body else None

        return await self._database.read(read)

    async def count_crashes(self, update_id: int | None = None) -> list[int]:
        """Count the crashes of the previous process; return the updates that are set aside.

        After an orderly stop no update is marked as working. With an id, only that update counts:
        the process that handled it has died.
        """
        chosen = true() if update_id is None else inbox.c.update_id == update_id
        was_working = inbox.c.state == WAITING, inbox.c.working, chosen
        crash = update(inbox).where(*was_working).values(crashes=inbox.c.crashes + 1, working=False)
        has_crashed = inbox.c.state == WAITING, inbox.c.crashes >= MAX_CRASHES, chosen
        aside = update(inbox).where(*has_crashed).values(state=SET_ASIDE)

        def write(connection: Connection) -> list[int]:
            connection.execute(crash)
            return list(connection.execute(aside.returning(inbox.c.update_id)).scalars())

        return await self._database.write(write)

    def was_begun_before(self, update_id: int) -> bool:
        """Whether an earlier attempt at the update being handled did not finish."""
        return update_id in self._restarted

    async def begin(
        self, update_id: int, received: Received | None = None, stages_before: int = 0
    ) -> bool:
        """Record that an update starts, and store its parts; return False if it is not waiting.

        `stages_before` is the number of earlier stages. If the update was started more than
        `stages_before + 1` times, an earlier attempt did not finish.
        """
        begun = (
            update(inbox)
            .where(inbox.c.update_id == update_id, inbox.c.state == WAITING)
            .values(begun=inbox.c.begun + 1)
            .returning(inbox.c.begun)
        )

        def write(connection: Connection) -> int:
            tries: int | None = connection.execute(begun).scalar()
            if tries and received and received.message:
                connection.execute(message_insert(received.message, received.edited_at))
            if tries and received and received.sticker:
                connection.execute(sticker_insert(received.sticker))
            if tries and received and received.names:
                save_names(connection, received.names)
            return tries or 0

        tries = await self._database.write(write)
        if tries > 0:
            self._database.starts[update_id] = tries
        if tries > 1 + stages_before:
            self._restarted.add(update_id)
        return tries > 0

    async def mark(self, update_id: int, *, working: bool) -> None:
        """Record whether the handler code of a retried update is running."""
        await self._execute(_change(update_id, working=working))

    async def end(self, update_id: int) -> None:
        """Record that an update has been handled, and delete its content."""

        def write(connection: Connection) -> None:
            self._database.check_is_own(connection, update_id)
            connection.execute(_change(update_id, state=HANDLED, body=None, working=False))

        await self._database.write(write)
        self.leave(update_id)

    def leave(self, update_id: int) -> None:
        """Forget that this process handles an update."""
        self._restarted.discard(update_id)
        self._database.starts.pop(update_id, None)

    async def set_aside(self, update_id: int) -> None:
        """Record that an update cannot be read or handled."""
        await self._execute(_change(update_id, state=SET_ASIDE))
        self.leave(update_id)

    async def count_open(self) -> OpenUpdates:
        """Return how many updates are waiting and how many were set aside."""
        query = select(inbox.c.state, func.count().label("number")).group_by(inbox.c.state)

        def count(connection: Connection) -> dict[str, int]:
            return {row.state: row.number for row in connection.execute(query)}

        counts = await self._database.read(count)
        return OpenUpdates(counts.get(WAITING, 0), counts.get(SET_ASIDE, 0))

    async def count_waiting(self) -> tuple[int, datetime | None]:
        """Return how many updates are waiting, and when the oldest was received."""
        return await self._database.read(_count_waiting)

    async def newest_aside(self, most: int) -> list[int]:
        """Return the ids of the updates that were set aside last, newest first."""
        query = select(inbox.c.update_id).where(inbox.c.state == SET_ASIDE)
        newest = query.order_by(inbox.c.update_id.desc()).limit(most)
        return await self._database.read(lambda one: list(one.execute(newest).scalars()))

    async def drop_before(self, moment: datetime) -> None:
        """Delete handled updates from before a moment, and the content of those set aside.

        Telegram repeats updates for 24 hours, so ids are kept for longer than that.
        """
        old = inbox.c.received_at < moment
        words = old, inbox.c.state == SET_ASIDE, inbox.c.body.is_not(None)

        def write(connection: Connection) -> None:
            connection.execute(delete(inbox).where(old, inbox.c.state == HANDLED))
            if connection.execute(update(inbox).where(*words).values(body=None)).rowcount:
                self._database.must_vacuum = True

        await self._database.write(write)

    async def _execute(self, statement: Update) -> None:
        await self._database.write(lambda connection: connection.execute(statement))


class CrashWatch:
    """One attempt to handle an update that was started before.

    It records when the update's handler code runs. This shows which update crashed the bot.
    """

    def __init__(self, inbox: Inbox, update_id: int) -> None:
        self._inbox = inbox
        self._update_id = update_id
        self.has_waited = asyncio.Event()
        """Set as soon as the update's handler code has waited for something."""

    async def wait(self) -> None:
        """Record that the update waits, unless that is recorded already."""
        if not self.has_waited.is_set():
            await self.mark(working=False)

    async def mark(self, *, working: bool) -> None:
        """Record whether the update's handler code runs from now on."""
        if not working:
            self.has_waited.set()
        await self._inbox.mark(self._update_id, working=working)


CURRENT_WATCH: ContextVar[CrashWatch | None] = ContextVar("attempt", default=None)
"""The attempt that the running code belongs to; tasks inherit it."""


async def record_wait() -> None:
    """Record that the current update is about to wait for something external."""
    if attempt := CURRENT_WATCH.get():
        await attempt.wait()


@asynccontextmanager
async def generating() -> AsyncIterator[None]:
    """Record that the model generates for the current update while the block runs."""
    attempt = CURRENT_WATCH.get()
    if attempt is None:
        yield
        return
    await attempt.mark(working=True)
    try:
        yield
    finally:
        await attempt.mark(working=False)


def _change(update_id: int, **values: object) -> Update:
    return update(inbox).where(inbox.c.update_id == update_id).values(**values)


def _scrub(connection: Connection, updates: Sequence[Mapping[str, Any]]) -> None:
    """Remove quotes of forgotten messages from stored updates."""
    quoted = {one["update_id"]: set(find_quoted(dict(one))) for one in updates}
    gone = find_forgotten(connection, set().union(*quoted.values()))

    def is_gone(message: Json) -> bool:
        return make_ref(message) in gone

    for one in updates:
        if quoted[one["update_id"]] & gone:
            body = json.dumps(remove_erased_text(dict(one), is_gone, is_gone))
            connection.execute(_change(one["update_id"], body=body))
