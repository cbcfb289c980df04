"""Erase messages from every table and from the unused bytes of the database file."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    event,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.errors import StoreError
from bot.store.database import Database
from bot.store.inbox import (
    SET_ASIDE,
    Json,
    Ref,
    Test,
    author_of,
    nameless,
    ref_of,
    refs_in,
    scrubbed,
)
from bot.store.outbox import drop_turns
from bot.store.tables import answers, forgotten, guesses, inbox, lines, messages, reactions, sources
from bot.store.wipe import clear, shrink
from model.chat.eligibility import add_voice_header, clear_caches

T = TypeVar("T")

FEWEST_ROWS, MOST_ROWS = 500, 4000
"""Rows of the table of messages that one step reads."""
STEP_SECONDS = 0.01  # target for how long a step holds the write lock
ROWS_AT_ONCE = 200
"""Messages or updates that one step changes if they are named one by one."""
REST = 0.005  # seconds between two steps
MOST_WAITED = 0.05
"""Longest time a step waits for other transactions, so that an erasure always advances."""
GLANCE = 0.002  # seconds between checks for others' transactions

_ROW: ColumnElement[int] = literal_column("messages.rowid")
_BYTES = "length(CAST({0} AS BLOB))"
_ZEROS = f"substr(hex(zeroblob({_BYTES} / 2 + 1)), 1, {_BYTES})"
"""As many zeros as a text has bytes, so that SQLite overwrites it in place."""
_OVERWRITTEN: dict[str, ColumnElement[str]] = {
    name: literal_column(_ZEROS.format(name)) for name in ("text", "author_name")
}
_IS_OVERWRITTEN: ColumnElement[bool] = (
    func.ltrim(messages.c.text + func.coalesce(messages.c.author_name, ""), "0") == ""
)


@dataclass(frozen=True, slots=True)
class ErasureQuery:
    """The messages to erase: single messages, or all messages of some author ids.

    `own`: single messages of the bot. `voices`: names; all the bot's messages in these voices are
    erased, no matter what they were generated from. `bots`: the ids under which the bot sent them.
    """

    messages: tuple[Ref, ...] = ()
    own: tuple[Ref, ...] = ()
    authors: frozenset[int] = frozenset()
    voices: tuple[str, ...] = ()
    bots: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Marked:
    """The number of people's messages to erase, and the bot's messages generated from them."""

    messages: int
    lines: frozenset[Ref]


class Eraser:
    """Erases in two stages: messages are marked and overwritten, then deleted.

    In between, the bot deletes its own messages in the chat; until then a kill must not lose their
    ids. All changes are short transactions in a thread. Each waits a moment for other transactions
    before it takes the write lock.
    """

    def __init__(self, engine: Database) -> None:
        self._engine = engine
        self._path = Path(engine.url.database or "")
        self._file: BinaryIO | None = None
        self._wiping = asyncio.Lock()
        self._using_file = threading.Lock()
        self._closing = threading.Event()
        event.listen(engine.sync_engine, "engine_disposed", self._close)

    async def mark(
        self,
        wanted: ErasureQuery,
        at: datetime,
        note: Callable[[Collection[Ref]], object] = lambda _: None,
    ) -> Marked:
        """Overwrite forgotten messages and record their ids, so that they are no longer used.

        The newest messages come first. `note` is called with the ids, step by step. The bot's own
        messages are recorded but not yet overwritten.
        """

        def mark_window(connection: Connection, window: ColumnElement[bool]) -> list[Ref]:
            condition = and_(window, messages.c.author_id.in_(wanted.authors))
            columns = (messages.c.chat_id, messages.c.message_id)
            row = select(*columns, literal(at, forgotten.c.at.type)).where(condition)
            new = insert(forgotten).from_select(["chat_id", "message_id", "at"], row)
            keys = forgotten.c.chat_id, forgotten.c.message_id
            found = connection.execute(new.on_conflict_do_nothing().returning(*keys))
            refs = [Ref(*row) for row in found]
            _overwrite(connection, condition)
            return refs

        for refs in _batches(wanted.messages):
            await self._step(partial(_record, refs, at, is_overwritten=True))
            note(refs)
        marked = len(wanted.messages)
        if wanted.authors:
            async for fresh in self._in_windows(mark_window):
                note(fresh)
            query = select(func.count()).where(messages.c.author_id.in_(wanted.authors))
            async with self._engine.connect() as connection:
                marked = int((await connection.execute(query)).scalar_one())
        async with self._engine.connect() as connection:
            own = await _find_lines(connection, wanted)
        for refs in _batches(own):
            await self._step(partial(_record, refs, at, is_overwritten=False))
            note(refs)
        return Marked(marked, own)

    async def erase(self, wanted: ErasureQuery, update_id: int | None = None) -> None:
        """Erase messages, copies of them, and the bot's messages generated from them.

        `update_id` is the update that asks for this. Of this update, only the messages that it
        quotes are erased. After a kill in the middle, the same call finishes the work.
        """
        marked = await self.mark(wanted, datetime.now(UTC))

        async with self._engine.begin() as connection:
            for table in (answers, reactions):
                await connection.execute(delete(table).where(table.c.user_id.in_(wanted.authors)))
            await connection.run_sync(drop_turns, wanted.voices)
        await self._scrub_inbox(wanted.authors, update_id)
        for refs in _batches((*marked.lines, *wanted.messages)):
            await self._step(partial(_delete_refs, refs))
        if wanted.authors:
            await self._delete_where(messages.c.author_id.in_(wanted.authors))
        await self.wipe()

    async def authors_before(self, moment: datetime) -> frozenset[int]:
        """Return the authors of stored messages from before a moment."""
        query = select(messages.c.author_id).where(messages.c.sent_at < moment).distinct()
        async with self._engine.connect() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def expire(self, moment: datetime, authors: Collection[int]) -> int:
        """Erase these people's messages, and all forwards, from before a moment; return how many.

        Forwards are erased even if the sender agreed: they are somebody else's words. Messages in
        private chats are always erased, because they only serve as context. Also erased are
        references from the bot's messages to the erased ones, and the content of old updates that
        were set aside.
        """
        is_private = messages.c.chat_id > 0
        is_meant = or_(messages.c.author_id.in_(authors), messages.c.is_forward, is_private)
        count = await self._delete_where(and_(messages.c.sent_at < moment, is_meant))
        unread = and_(inbox.c.state == SET_ASIDE, inbox.c.received_at < moment)
        clearing = update(inbox).where(unread, inbox.c.body.is_not(None)).values(body=None)
        async with self._engine.begin() as connection:
            cleared = (await connection.execute(clearing)).rowcount
        if count or cleared:
            await self.wipe()
        return count

    async def wipe(self) -> None:
        """Clear the bytes of erased rows from the file, empty its log, and shrink it.

        Texts cached in memory are cleared too.

        Raises:
            StoreError: The disk is full, other programs keep the database busy, or it is being
                closed.
        """
        clear_caches()
        async with self._wiping:
            try:
                await asyncio.to_thread(self._wipe)
            except (sqlite3.Error, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise StoreError(
                    f"erased text cannot be removed from the file ({reason}): free disk space"
                ) from error

    def _wipe(self) -> None:
        with self._using_file:
            if self._file is None:
                self._file = self._path.open("r+b", buffering=0)
            clear(self._path, self._file, self._rest)
            shrink(self._path, self._rest)

    def _rest(self, seconds: float) -> None:
        """Sleep between two steps of a wipe, until no other transaction runs."""
        end = time.monotonic() + MOST_WAITED
        time.sleep(max(seconds, REST))
        while self._engine.is_busy and time.monotonic() < end and not self._closing.is_set():
            time.sleep(GLANCE)
        if self._closing.is_set():
            raise StoreError("erased text is not yet removed: the database is being closed")

    def _close(self, _: object) -> None:
        """Close the file, but only after SQLite has closed it: earlier would drop SQLite's locks.

        A wipe in progress ends after its current step, so that a stop need not wait for the rest.
        """
        self._closing.set()
        with self._using_file:
            if self._file is not None:
                self._file.close()
                self._file = None
        self._closing.clear()

    async def _step(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a short write transaction; first wait a moment for other transactions."""
        end = time.monotonic() + MOST_WAITED
        while self._engine.is_busy and time.monotonic() < end:  # noqa: ASYNC110  no event to await
            await asyncio.sleep(GLANCE)
        result = await self._engine.write(work)
        await asyncio.sleep(REST)
        return result

    async def _in_windows(
        self, work: Callable[[Connection, ColumnElement[bool]], T]
    ) -> AsyncIterator[T]:
        """Run `work` on all messages, one window of rows after the other, the newest first.

        The number of rows in a window adapts, so that a step takes about `STEP_SECONDS`.
        """
        end: int | None = None
        rows = min(FEWEST_ROWS, MOST_ROWS)

        def step(connection: Connection) -> tuple[int, T, float] | None:
            began = time.perf_counter()
            query = select(func.max(_ROW)).select_from(messages)
            last = connection.execute(query if end is None else query.where(end > _ROW)).scalar()
            if last is None:
                return None
            start = last - rows
            result = work(connection, and_(start < _ROW, last >= _ROW))
            return start + 1, result, time.perf_counter() - began

        while done := await self._step(step):
            end, result, seconds = done
            yield result
            rows = round(rows * min(2, max(0.5, STEP_SECONDS / seconds)))
            rows = min(MOST_ROWS, max(FEWEST_ROWS, rows))

    async def _delete_where(self, condition: ColumnElement[bool]) -> int:
        """Overwrite and delete messages, window by window; return how many."""

        def delete_window(connection: Connection, window: ColumnElement[bool]) -> int:
            these = and_(window, condition)
            return _delete(
                connection, these, select(messages.c.chat_id, messages.c.message_id).where(these)
            )

        return sum([count async for count in self._in_windows(delete_window)])

    async def _scrub_inbox(self, authors: Collection[int], update_id: int | None) -> None:
        """Remove the erased text from updates that wait or were set aside."""
        last = None
        while True:
            query = select(inbox.c.update_id, inbox.c.state, inbox.c.body).where(
                inbox.c.body.is_not(None)
            )
            if last is not None:
                query = query.where(inbox.c.update_id > last)
            page = query.order_by(inbox.c.update_id).limit(ROWS_AT_ONCE)
            async with self._engine.connect() as connection:
                kept = [_StoredUpdate(*row) for row in await connection.execute(page)]
            if not kept:
                return
            last = kept[-1].update_id
            refs = await asyncio.to_thread(_find_refs, kept)
            async with self._engine.connect() as connection:
                erased = await _find_forgotten(connection, refs)
            changed = await asyncio.to_thread(_scrub_updates, kept, erased, authors, update_id)
            async with self._engine.begin() as connection:
                for one, body in changed:
                    same = inbox.c.update_id == one.update_id, inbox.c.body == one.body
                    await connection.execute(update(inbox).where(*same).values(body=body))


@dataclass(frozen=True, slots=True)
class _StoredUpdate:
    """An update in the inbox."""

    update_id: int
    state: str
    body: str


def _batches(refs: Iterable[Ref]) -> list[Sequence[Ref]]:
    ordered = sorted(refs, key=lambda ref: (ref.chat_id, ref.message_id))
    return [ordered[start : start + ROWS_AT_ONCE] for start in range(0, len(ordered), ROWS_AT_ONCE)]


def _record(
    refs: Sequence[Ref], at: datetime, connection: Connection, *, is_overwritten: bool
) -> None:
    """Record that messages are forgotten, and overwrite them now or later."""
    rows = [{"chat_id": one.chat_id, "message_id": one.message_id, "at": at} for one in refs]
    connection.execute(insert(forgotten).on_conflict_do_nothing(), rows)
    if is_overwritten:
        _overwrite(connection, _is_among(_keys(refs)))


def _delete_refs(refs: Sequence[Ref], connection: Connection) -> None:
    _delete(connection, _is_among(_keys(refs)), _keys(refs))


def _keys(refs: Iterable[Ref]) -> list[tuple[int, int]]:
    return [(ref.chat_id, ref.message_id) for ref in refs]


def _is_among(keys: list[tuple[int, int]]) -> ColumnElement[bool]:
    return tuple_(messages.c.chat_id, messages.c.message_id).in_(keys)


async def _find_lines(connection: AsyncConnection, wanted: ErasureQuery) -> frozenset[Ref]:
    """Find the bot's messages to erase: made from erased messages, in the voices, or their quizzes.

    Messages of the bot without a row in `lines` are recognised by the voice header in their text.
    """
    generated_from = select(sources.c.chat_id, sources.c.message_id).join(
        messages,
        and_(messages.c.chat_id == sources.c.chat_id, messages.c.message_id == sources.c.source_id),
    )
    starts = (
        messages.c.text.startswith(add_voice_header(v, ""), autoescape=True) for v in wanted.voices
    )
    is_spoken = and_(messages.c.author_id.in_(wanted.bots), or_(False, *starts))  # noqa: FBT003
    queries = [
        generated_from.where(messages.c.author_id.in_(wanted.authors)),
        *(
            select(sources.c.chat_id, sources.c.message_id).filter_by(
                chat_id=ref.chat_id, source_id=ref.message_id
            )
            for ref in wanted.messages
        ),
        select(lines.c.chat_id, lines.c.message_id).where(lines.c.voice.in_(wanted.voices)),
        select(guesses.c.chat_id, guesses.c.message_id).where(guesses.c.voice.in_(wanted.voices)),
        select(messages.c.chat_id, messages.c.message_id).where(is_spoken),
    ]
    found = set(wanted.own)
    for query in queries:
        found.update(Ref(*row) for row in await connection.execute(query))
    return frozenset(found)


def _overwrite(connection: Connection, condition: ColumnElement[bool]) -> None:
    """Overwrite the text and the author's name of messages with zeros, in place."""
    change = update(messages).where(condition, ~_IS_OVERWRITTEN).values(_OVERWRITTEN)
    connection.execute(change)


def _delete(
    connection: Connection,
    condition: ColumnElement[bool],
    keys: list[tuple[int, int]] | Select[tuple[int, int]],
) -> int:
    """Overwrite and delete messages; return how many.

    Also delete the rows in `lines` and `guesses` with their ids, and the references to them in
    `sources`.
    """
    _overwrite(connection, condition)
    for table, number in (
        (lines, lines.c.message_id),
        (guesses, guesses.c.message_id),
        (sources, sources.c.source_id),
    ):
        connection.execute(delete(table).where(tuple_(table.c.chat_id, number).in_(keys)))
    return connection.execute(delete(messages).where(condition)).rowcount


async def _find_forgotten(
    connection: AsyncConnection, refs: Collection[tuple[int, int]]
) -> frozenset[Ref]:
    """Return which of these messages were forgotten."""
    columns = (forgotten.c.chat_id, forgotten.c.message_id)
    found: set[Ref] = set()
    ordered = sorted(refs)
    for start in range(0, len(ordered), ROWS_AT_ONCE):
        these = tuple_(*columns).in_(ordered[start : start + ROWS_AT_ONCE])
        rows = await connection.execute(select(*columns).where(these))
        found.update(Ref(*row) for row in rows)
    return frozenset(found)


def _find_refs(kept: Iterable[_StoredUpdate]) -> set[tuple[int, int]]:
    """Return the messages that updates are about or repeat."""
    return {(ref.chat_id, ref.message_id) for one in kept for ref in refs_in(json.loads(one.body))}


def _scrub_updates(
    kept: Iterable[_StoredUpdate],
    erased: Collection[Ref],
    authors: Collection[int],
    update_id: int | None,
) -> list[tuple[_StoredUpdate, str]]:
    """Return the updates that lose text, and what remains of each."""

    def is_erased(message: Json) -> bool:
        return ref_of(message) in erased

    def is_theirs(message: Json) -> bool:
        return is_erased(message) or author_of(message) in authors

    def top_test(one: _StoredUpdate) -> Test:
        if one.update_id == update_id:
            return lambda _: False
        return is_theirs if one.state == SET_ASIDE else is_erased

    changed = []
    for one in kept:
        before = json.loads(one.body)
        after = scrubbed(before, top_test(one), is_theirs)
        if one.update_id == update_id:
            after = nameless(after)
        if after != before:
            changed.append((one, json.dumps(after)))
    return changed
