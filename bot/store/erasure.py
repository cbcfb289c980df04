"""Erase messages from every table and from the bytes of the file."""

import asyncio
import json
import os
import sqlite3
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    event,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.errors import StoreError
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
from model.chat.eligibility import add_voice_header, clear_caches


@dataclass(frozen=True, slots=True)
class ErasureQuery:
    """What is to be forgotten: single messages, or all of somebody's, by the ids they write under.

    `own` are lines of the bot's. `voices` are names whose lines go, whatever they were made from;
    `bots` are the ids under which the bot said them.
    """

    messages: tuple[Ref, ...] = ()
    own: tuple[Ref, ...] = ()
    authors: frozenset[int] = frozenset()
    voices: tuple[str, ...] = ()
    bots: frozenset[int] = frozenset()


async def lines_of(connection: AsyncConnection, wanted: ErasureQuery) -> frozenset[Ref]:
    """Return the bot's messages that go too: made from these, or in the voices, quizzes as well."""
    made_from = select(sources.c.chat_id, sources.c.message_id).join(
        messages,
        and_(messages.c.chat_id == sources.c.chat_id, messages.c.message_id == sources.c.source_id),
    )
    queries = [
        made_from.where(_is_meant(wanted)),
        *(
            select(sources.c.chat_id, sources.c.message_id).filter_by(
                chat_id=ref.chat_id, source_id=ref.message_id
            )
            for ref in wanted.messages
        ),
        select(lines.c.chat_id, lines.c.message_id).where(lines.c.voice.in_(wanted.voices)),
        select(guesses.c.chat_id, guesses.c.message_id).where(guesses.c.voice.in_(wanted.voices)),
        select(messages.c.chat_id, messages.c.message_id).where(_is_spoken(wanted)),
    ]
    found = set(wanted.own)
    for query in queries:
        found.update(Ref(*row) for row in await connection.execute(query))
    return frozenset(found)


def _is_meant(wanted: ErasureQuery) -> ColumnElement[bool]:
    one_by_one = (
        and_(messages.c.chat_id == ref.chat_id, messages.c.message_id == ref.message_id)
        for ref in wanted.messages
    )
    return or_(messages.c.author_id.in_(wanted.authors), *one_by_one)


def _is_spoken(wanted: ErasureQuery) -> ColumnElement[bool]:
    """Whether a message is the bot's, in one of the voices: of old ones the text alone tells."""
    starts = (
        messages.c.text.startswith(add_voice_header(v, ""), autoescape=True) for v in wanted.voices
    )
    return and_(messages.c.author_id.in_(wanted.bots), or_(False, *starts))  # noqa: FBT003


TRIES = 50
PAUSE = 0.1  # seconds between tries to empty the write-ahead log, which waits for readers
PAGES_READ = 256
PAGES_CLEARED = 128
"""Pages that are cleared under one lock, or returned to the disk in one step."""
REST = 0.02  # seconds in between, for other writers
LOCK_SECONDS = 0.05
"""Seconds for which a step waits for a lock before it is retried."""

ShouldStop: TypeAlias = Callable[[], bool]
"""Asked after each step."""

_BTREE = {2: 12, 5: 12, 10: 8, 13: 8}
"""The size of the header by the first byte, for pages that hold rows or keys."""
_ON_FIRST_PAGE = 100  # bytes of the file's own header
_MOST_PAGES = 1 << 24
"""From here on the number at the start of an overflow page could look like a page type."""
_PENDING_BYTE = 0x40000000


@dataclass(frozen=True, slots=True)
class _Layout:
    """The page layout of a file: page size, usable size, number of pages."""

    size: int
    usable: int
    count: int
    is_vacuumed: bool

    def is_map(self, number: int) -> bool:
        """Whether this is a pointer-map page, which files with auto-vacuum have."""
        if not self.is_vacuumed or number < 2:  # noqa: PLR2004  the first such page
            return False
        in_row = self.usable // 5 + 1
        place = (number - 2) // in_row * in_row + 2
        return number == place + (place == _PENDING_BYTE // self.size + 1)


def _never() -> bool:
    return False


def clear(path: Path, file: BinaryIO, should_stop: ShouldStop = _never) -> None:
    """Clear the unused bytes of a database and empty its write-ahead log, in short steps.

    `file` is the open database. It must not be closed while this process uses the database: that
    would drop SQLite's locks.

    Raises:
        StoreError: Others keep the database busy, or it should stop.
        sqlite3.Error: SQLite cannot write it.
    """
    with closing(_connected(path)) as connection:
        _empty_log(connection, should_stop)
        layout = _layout(file)
        found = _dirty(file, layout, should_stop)
        dirty = [number for number in found if number <= layout.count]
    for start in range(0, len(dirty), PAGES_CLEARED):
        _clear_pages(path, file, dirty[start : start + PAGES_CLEARED], should_stop)
        _rest(REST, should_stop)
    with closing(_connected(path)) as connection:
        _empty_log(connection, should_stop)
    os.fsync(file.fileno())


def shrink(path: Path, should_stop: ShouldStop = _never) -> None:
    """Give a database's free pages back to the disk, in short steps.

    Raises:
        StoreError: Others keep the database busy, or it should stop.
        sqlite3.Error: SQLite cannot write it.
    """
    with closing(_connected(path)) as connection:
        left: int | None = None
        for _ in range(_MOST_PAGES // PAGES_CLEARED):
            [now] = connection.execute("PRAGMA freelist_count").fetchone()
            if not now or now == left:
                break
            left = now
            try:
                # `execute` would end after the first page: the statement returns empty rows.
                connection.executescript(f"PRAGMA incremental_vacuum({PAGES_CLEARED})")
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                left = None
            _rest(REST, should_stop)
        _empty_log(connection, should_stop)


def unused(page: bytes, header: int, usable: int) -> list[tuple[int, int]]:
    """Return the unused byte ranges of a page; `header` is the offset of its header.

    A page that is not part of a B-tree, or not in SQLite's format, has none.
    """
    size = _BTREE.get(page[header])
    if size is None:
        return []
    free, cells, content = struct.unpack_from(">HHH", page, header + 1)
    start, end = header + size + 2 * cells, content or 65536
    if not start <= end <= usable:
        return []
    found = [(start, end)]
    while free:
        if free + 4 > usable:
            return []
        following, length = struct.unpack_from(">HH", page, free)
        if free + length > usable or (following and following <= free):
            return []
        found.append((free + 4, free + length))
        free = following
    return found


def _clear_pages(path: Path, file: BinaryIO, numbers: list[int], should_stop: ShouldStop) -> None:
    """Clear pages while nobody writes and nothing of them stands in the log.

    The commit afterwards makes all other connections reload their pages. This connection would not,
    so it is closed.
    """
    log = path.with_name(f"{path.name}-wal")
    for _ in range(TRIES):
        with closing(_connected(path)) as connection:
            try:
                _empty_log(connection, should_stop)
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                _rest(PAUSE, should_stop)
                continue
            if log.stat().st_size:
                connection.execute("ROLLBACK")
                continue
            layout = _layout(file)
            for number in numbers:
                if number <= layout.count:
                    _clear_page(file, layout, number)
            [version] = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("COMMIT")
            return
    raise StoreError(
        "erased words cannot be removed from the file: close other programs that write it"
    )


def _clear_page(file: BinaryIO, layout: _Layout, number: int) -> None:
    place = (number - 1) * layout.size
    page = _read(file, place, layout.size)
    for start, end in _uncleared_ranges(page, layout, number):
        file.seek(place + start)
        file.write(bytes(end - start))


def _dirty(file: BinaryIO, layout: _Layout, should_stop: ShouldStop) -> Iterator[int]:
    """Yield the numbers of pages whose unused bytes are not clear."""
    for first in range(0, layout.count, PAGES_READ):
        block = _read(file, first * layout.size, PAGES_READ * layout.size)
        for index in range(len(block) // layout.size):
            page = block[index * layout.size : (index + 1) * layout.size]
            if _uncleared_ranges(page, layout, first + index + 1):
                yield first + index + 1
        _rest(0, should_stop)  # whoever else waits to run Python goes first


def _uncleared_ranges(page: bytes, layout: _Layout, number: int) -> list[tuple[int, int]]:
    """Return which unused bytes of a page are not clear."""
    if layout.is_map(number) or len(page) < layout.size:
        return []
    ranges = unused(page, _ON_FIRST_PAGE if number == 1 else 0, layout.usable)
    return [(start, end) for start, end in ranges if page.count(0, start, end) < end - start]


def _layout(file: BinaryIO) -> _Layout:
    head = _read(file, 0, _ON_FIRST_PAGE)
    size = struct.unpack_from(">H", head, 16)[0]
    size = 65536 if size == 1 else size
    count = os.fstat(file.fileno()).st_size // size
    if count >= _MOST_PAGES:
        raise StoreError(f"a database of {count} pages is too large to remove erased words")
    [largest_root] = struct.unpack_from(">I", head, 52)
    return _Layout(size, size - head[20], count, is_vacuumed=bool(largest_root))


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    connection.execute("PRAGMA secure_delete=ON")
    return connection


def _empty_log(connection: sqlite3.Connection, should_stop: ShouldStop) -> None:
    """Write the log into the database and cut it to nothing; what can wait for nobody goes first.

    Raises:
        StoreError: Somebody reads the database all the time, or it should stop.
    """
    for _ in range(TRIES):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        try:
            [is_busy, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            is_busy = 1
        if not is_busy:
            return
        _rest(PAUSE, should_stop)
    raise StoreError("erased words cannot be wiped out: end what else reads the database")


def _rest(seconds: float, should_stop: ShouldStop) -> None:
    """Let others use the database between two steps."""
    if should_stop():
        raise StoreError("erased words are not wiped out yet: the database is being closed")
    time.sleep(seconds)


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


ROWS_READ = 1000
"""Rows of the table of messages that one step reads."""
ROWS_ERASED = 200
"""Messages, or updates, that one step changes."""

_NOTHING = delete(messages).where(false())
"""Begins to write: a transaction that reads first may not write once another has written."""
_ROW: ColumnElement[int] = literal_column("messages.rowid")
_BYTES = "length(CAST({0} AS BLOB))"
_ZEROS = f"substr(hex(zeroblob({_BYTES} / 2 + 1)), 1, {_BYTES})"
"""As many zeros as a text has bytes, so that SQLite overwrites it in place."""
_OVERWRITTEN: dict[str, ColumnElement[str]] = {
    name: literal_column(_ZEROS.format(name)) for name in ("text", "author_name")
}
_IS_FORGOTTEN = exists().where(
    forgotten.c.chat_id == messages.c.chat_id, forgotten.c.message_id == messages.c.message_id
)


@dataclass(frozen=True, slots=True)
class Marked:
    """How many messages of people are to be erased, and the bot's lines generated from them."""

    messages: int
    lines: frozenset[Ref]


class Eraser:
    """Erases in two stages: messages are marked and overwritten, then deleted.

    In between, the bot deletes its lines in the chat: their ids must survive a kill until then.
    """

    def __init__(self, engine: AsyncEngine) -> None:
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
        note: Callable[[Collection[Ref]], object] | None = None,
    ) -> Marked:
        """Overwrite forgotten messages and record their ids, so that they are no longer used.

        The newest messages come first. `note` is called with the ids, step by step. The bot's own
        lines are recorded but not yet overwritten.
        """
        marked = 0
        for refs in _parts(wanted.messages):
            async with self._step() as connection:
                await _note(connection, refs, at)
                await _overwrite(connection, refs)
            marked += len(refs)
            if note:
                note(refs)
        if wanted.authors:
            is_fresh = and_(messages.c.author_id.in_(wanted.authors), ~_IS_FORGOTTEN)
            async for window in self._windows():
                async with self._step() as connection:
                    refs = await _refs(connection, and_(window, is_fresh))
                    await _note(connection, refs, at)
                    await _overwrite(connection, refs)
                if note:
                    note(refs)
            marked = await self._count(wanted)
        async with self._engine.connect() as connection:
            own = await lines_of(connection, wanted)
        for refs in _parts(own):
            async with self._step() as connection:
                await _note(connection, refs, at)
            if note:
                note(refs)
        return Marked(marked, own)

    async def erase(self, wanted: ErasureQuery, update_id: int | None = None) -> None:
        """Erase the wanted messages, copies of them, and the lines generated from them.

        `update_id` is the update that asks for this: only the messages that it repeats are erased
        from it. After a kill in the middle, the same call finishes the work.
        """
        marked = await self.mark(wanted, datetime.now(UTC))
        async with self._step() as connection:
            for table in (answers, reactions):
                await connection.execute(delete(table).where(table.c.user_id.in_(wanted.authors)))
            await drop_turns(connection, wanted.voices)
        await self._scrub(wanted.authors, update_id)
        for refs in _parts((*marked.lines, *wanted.messages)):
            async with self._step() as connection:
                await _overwrite(connection, refs)
                await _delete(connection, refs)
        if wanted.authors:
            await self._delete_where(messages.c.author_id.in_(wanted.authors))
        await self.wipe()

    async def authors_before(self, moment: datetime) -> frozenset[int]:
        """Return who wrote what is kept from before a moment."""
        query = select(messages.c.author_id).where(messages.c.sent_at < moment).distinct()
        async with self._engine.connect() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def expire(self, moment: datetime, authors: Collection[int]) -> int:
        """Erase what these people wrote before a moment, and forwards; return how many messages.

        Forwards are erased even if their sender agreed: they are somebody else's words. Private
        chats are erased whole: they are only context. The references from the bot's lines to these
        messages and updates that could not be read are erased too.
        """
        is_private = messages.c.chat_id > 0
        not_theirs = or_(messages.c.author_id.in_(authors), messages.c.is_forward, is_private)
        gone = await self._delete_where(and_(messages.c.sent_at < moment, not_theirs))
        unread = and_(inbox.c.state == SET_ASIDE, inbox.c.received_at < moment)
        words = update(inbox).where(unread, inbox.c.body.is_not(None)).values(body=None)
        async with self._engine.begin() as connection:
            dropped = (await connection.execute(words)).rowcount
        if gone or dropped:
            await self.wipe()
        return gone

    async def wipe(self) -> None:
        """Clear the bytes of erased rows from the file, empty its log, and shrink it.

        Texts cached in memory go too.

        Raises:
            StoreError: There is no room for that, others keep the database busy, or it is being
                closed.
        """
        clear_caches()
        async with self._wiping:
            try:
                await asyncio.to_thread(self._wipe)
            except (sqlite3.Error, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise StoreError(
                    f"erased words cannot be removed from the file ({reason}): free disk space"
                ) from error

    def _wipe(self) -> None:
        with self._using_file:
            if self._file is None:
                self._file = self._path.open("r+b", buffering=0)
            clear(self._path, self._file, self._closing.is_set)
            shrink(self._path, self._closing.is_set)

    def _close(self, _: object) -> None:
        """Close the file, once SQLite has closed it: before, that would drop SQLite's locks.

        A wipe in progress ends after its next step, so that a stop does not wait for all of it.
        """
        self._closing.set()
        with self._using_file:
            if self._file is not None:
                self._file.close()
                self._file = None
        self._closing.clear()

    def _step(self) -> "_Step":
        return _Step(self._engine)

    async def _windows(self) -> AsyncIterator[ColumnElement[bool]]:
        """Yield conditions that together hold for all messages, the newest first."""
        async with self._engine.connect() as connection:
            last = (await connection.execute(select(func.max(_ROW)).select_from(messages))).scalar()
        while last is not None:
            window = and_(last - ROWS_READ < _ROW, last >= _ROW)
            yield window
            query = select(func.max(_ROW)).select_from(messages).where(last - ROWS_READ >= _ROW)
            async with self._engine.connect() as connection:
                last = (await connection.execute(query)).scalar()

    async def _count(self, wanted: ErasureQuery) -> int:
        query = select(func.count()).where(messages.c.author_id.in_(wanted.authors))
        async with self._engine.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def _delete_where(self, condition: ColumnElement[bool]) -> int:
        """Overwrite and delete messages, window by window; return how many."""
        gone = 0
        async for window in self._windows():
            async with self._step() as connection:
                refs = await _refs(connection, and_(window, condition))
                await _overwrite(connection, refs)
                await _delete(connection, refs)
            gone += len(refs)
        return gone

    async def _scrub(self, authors: Collection[int], update_id: int | None) -> None:
        """Remove the erased text from updates that wait or were set aside."""
        last = None
        while True:
            query = select(inbox.c.update_id, inbox.c.state, inbox.c.body).where(
                inbox.c.body.is_not(None)
            )
            if last is not None:
                query = query.where(inbox.c.update_id > last)
            async with self._engine.connect() as connection:
                page = query.order_by(inbox.c.update_id).limit(ROWS_ERASED)
                rows = (await connection.execute(page)).all()
            if not rows:
                return
            last = rows[-1].update_id
            kept = [_Kept(row.update_id, row.state, row.body) for row in rows]
            refs = await asyncio.to_thread(_mentioned, kept)
            async with self._engine.connect() as connection:
                gone = await _forgotten_of(connection, refs)
            changed = await asyncio.to_thread(_scrubbed, kept, gone, authors, update_id)
            async with self._step() as connection:
                for one, body in changed:
                    same = inbox.c.update_id == one.update_id, inbox.c.body == one.body
                    await connection.execute(update(inbox).where(*same).values(body=body))


class _Step:
    """One short transaction that takes the write lock at once, and a pause after it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._transaction = engine.begin()

    async def __aenter__(self) -> AsyncConnection:
        connection = await self._transaction.__aenter__()
        await connection.execute(_NOTHING)
        return connection

    async def __aexit__(self, *error: Any) -> None:  # noqa: ANN401, PYI036  the library's own types
        await self._transaction.__aexit__(*error)
        await asyncio.sleep(REST)


@dataclass(frozen=True, slots=True)
class _Kept:
    """An update that the inbox keeps."""

    update_id: int
    state: str
    body: str


def _parts(refs: Iterable[Ref]) -> list[Sequence[Ref]]:
    ordered = sorted(refs, key=lambda ref: (ref.chat_id, ref.message_id))
    return [ordered[start : start + ROWS_ERASED] for start in range(0, len(ordered), ROWS_ERASED)]


async def _refs(connection: AsyncConnection, condition: ColumnElement[bool]) -> list[Ref]:
    query = select(messages.c.chat_id, messages.c.message_id).where(condition)
    return [Ref(*row) for row in await connection.execute(query)]


async def _note(connection: AsyncConnection, refs: Iterable[Ref], at: datetime) -> None:
    rows = [{"chat_id": ref.chat_id, "message_id": ref.message_id, "at": at} for ref in refs]
    if rows:
        await connection.execute(insert(forgotten).on_conflict_do_nothing(), rows)


async def _overwrite(connection: AsyncConnection, refs: Iterable[Ref]) -> None:
    """Overwrite the text and the author's name of messages with zeros, in place."""
    rows = [{"chat": ref.chat_id, "number": ref.message_id} for ref in refs]
    one = (
        messages.c.chat_id == bindparam("chat"),
        messages.c.message_id == bindparam("number"),
    )
    if rows:
        await connection.execute(update(messages).where(*one).values(_OVERWRITTEN), rows)


async def _forgotten_of(
    connection: AsyncConnection, refs: Collection[tuple[int, int]]
) -> frozenset[Ref]:
    """Return which of these messages were forgotten."""
    key = tuple_(forgotten.c.chat_id, forgotten.c.message_id)
    query = select(forgotten.c.chat_id, forgotten.c.message_id)
    found: set[Ref] = set()
    ordered = sorted(refs)
    for start in range(0, len(ordered), ROWS_ERASED):
        rows = await connection.execute(query.where(key.in_(ordered[start : start + ROWS_ERASED])))
        found.update(Ref(*row) for row in rows)
    return frozenset(found)


def _mentioned(kept: Iterable[_Kept]) -> set[tuple[int, int]]:
    """Return the messages that updates are about or repeat."""
    return {(ref.chat_id, ref.message_id) for one in kept for ref in refs_in(json.loads(one.body))}


def _scrubbed(
    kept: Iterable[_Kept],
    gone: Collection[Ref],
    authors: Collection[int],
    update_id: int | None,
) -> list[tuple[_Kept, str]]:
    """Return the updates that lose text, and what remains of each."""

    def is_gone(message: Json) -> bool:
        return ref_of(message) in gone

    def is_theirs(message: Json) -> bool:
        return is_gone(message) or author_of(message) in authors

    def test_of(number: int, state: str) -> Test:
        if number == update_id:
            return lambda _: False
        return is_theirs if state == SET_ASIDE else is_gone

    changed = []
    for one in kept:
        before = json.loads(one.body)
        after = scrubbed(before, test_of(one.update_id, one.state), is_theirs)
        if one.update_id == update_id:
            after = nameless(after)
        if after != before:
            changed.append((one, json.dumps(after)))
    return changed


async def _delete(connection: AsyncConnection, refs: Iterable[Ref]) -> None:
    """Delete messages, lines, quizzes, and the references of other lines to them."""
    rows = [{"chat": ref.chat_id, "number": ref.message_id} for ref in refs]
    for table, number in (
        (messages, messages.c.message_id),
        (lines, lines.c.message_id),
        (guesses, guesses.c.message_id),
        (sources, sources.c.source_id),
    ):
        one = and_(table.c.chat_id == bindparam("chat"), number == bindparam("number"))
        if rows:
            await connection.execute(delete(table).where(one), rows)
