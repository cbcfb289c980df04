"""Erase messages from every table and from the unused bytes of the database file."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeAlias, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Update,
    and_,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from bot.errors import StoreError
from bot.store.backend import POSTGRES
from bot.store.database import Database
from bot.store.inbox import HANDLED, SET_ASIDE, WAITING
from bot.store.messages import (
    IS_FORGOTTEN,
    REFS_PER_STATEMENT,
    Ref,
    find_forgotten,
    find_stored,
)
from bot.store.outbox import find_turns, withdraw_turn
from bot.store.shared_run import SharedRun
from bot.store.sqlite import SqliteFile
from bot.store.tables import answers, forgotten, guesses, inbox, lines, messages, reactions, sources
from bot.store.updates import (
    Json,
    Predicate,
    asks_to_erase,
    find_author_id,
    find_messages_by,
    find_refs,
    find_voter_id,
    make_ref,
    remove_erased_text,
    remove_sender_name,
)
from bot.store.wipe import clear, shrink
from model.chat.eligibility import clear_caches

T = TypeVar("T")

MIN_ROWS, MAX_ROWS = 500, 4000
"""Rows of the table of messages that one step reads."""
STEP_SECONDS = 0.01  # target for how long a step holds the write lock
UPDATES_PER_STEP = 200  # stored updates that one step reads
CHATS_PER_STATEMENT = 100  # for which authors are named one by one
PAUSE_SECONDS = 0.005  # between two steps
MAX_WAIT_SECONDS = 0.05
"""Longest time a step waits for other transactions, so that an erasure always advances."""
CHECK_SECONDS = 0.002  # between checks for other transactions

_ROW: ColumnElement[int] = literal_column("messages.rowid")
_BYTES = "length(CAST({0} AS BLOB))"
_ZEROS = f"substr(hex(zeroblob({_BYTES} / 2 + 1)), 1, {_BYTES})"
"""As many zeros as a text has bytes, so that SQLite overwrites it in place."""
_OVERWRITTEN: dict[str, ColumnElement[str]] = {
    name: literal_column(_ZEROS.format(name)) for name in ("text", "author_name")
}
_OVERWRITTEN_ON_SERVER = {
    column.name: func.repeat("0", func.length(column))
    for column in (messages.c.text, messages.c.author_name)
}
"""PostgreSQL writes a new row; `vacuum` frees the old one."""
_IS_OVERWRITTEN: ColumnElement[bool] = (
    func.ltrim(messages.c.text + func.coalesce(messages.c.author_name, ""), "0") == ""
)


_Keys: TypeAlias = list[tuple[int, int]] | Select[tuple[int, int]]
"""Chat ids and message ids."""

NOWHERE: Mapping[int, Collection[int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ErasureQuery:
    """The messages to erase: single messages, or all messages of some author ids.

    `own`: single messages of the bot. All that the bot said in the voices of `authors` is erased
    too, no matter what it was generated from.
    """

    messages: tuple[Ref, ...] = ()
    own: tuple[Ref, ...] = ()
    authors: frozenset[int] = frozenset()


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

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file: BinaryIO | None = None
        self._wiping = SharedRun[None]()
        self._must_wipe = True  # an earlier process may have been killed before it wiped
        self._stepping = asyncio.Lock()
        self._using_file = threading.Lock()
        self._closing = threading.Event()
        database.after_close.append(self._close)

    async def mark(
        self, wanted: ErasureQuery, at: datetime, update_id: int | None = None
    ) -> Marked:
        """Overwrite forgotten messages and record their ids, so that they are no longer used.

        The newest messages come first. Messages in updates before `update_id` that wait in other
        chats are recorded too, so that they are not stored. Turns that are being sent are
        withdrawn. The bot's own messages are recorded but not yet overwritten.
        """

        def mark_window(connection: Connection, window: ColumnElement[bool]) -> None:
            condition = and_(window, messages.c.author_id.in_(wanted.authors))
            columns = (messages.c.chat_id, messages.c.message_id)
            row = select(*columns, literal(at, forgotten.c.at.type)).where(condition)
            new = insert(forgotten).from_select(["chat_id", "message_id", "at"], row)
            connection.execute(new.on_conflict_do_nothing())
            _overwrite(connection, condition)

        for refs in _batches(wanted.messages):
            await self._step(partial(_record_messages, refs, at))
        marked = len(wanted.messages)
        if wanted.authors:
            find = partial(_find_unread, authors=wanted.authors, update_id=update_id)
            unread = await self._database.read(find)  # first: what is stored later is in a window
            for refs in _batches(unread):
                await self._step(partial(_record, refs, at))
            async for _ in self._in_windows(mark_window, wanted.authors):
                pass
            theirs = messages.c.author_id.in_(wanted.authors), IS_FORGOTTEN
            query = select(func.count()).select_from(messages).where(*theirs)

            def count(connection: Connection) -> int:
                since_stored = find_stored(connection, unread)
                return connection.execute(query).scalar_one() + len(set(unread) - since_stored)

            marked = await self._database.read(count)
        turns = partial(find_turns, people=wanted.authors)
        for number in await self._database.read(turns):  # first: see `bot.store.outbox`
            self._must_wipe = True
            await self._database.write(partial(withdraw_turn, number=number))
        own = await self._database.read(partial(_find_lines, wanted))
        for refs in _batches(own):
            await self._step(partial(_record_lines, refs, at))
        return Marked(marked, own)

    async def find_forgotten(self, refs: Collection[Ref]) -> frozenset[Ref]:
        """Return which of these messages were forgotten."""
        return await self._database.read(partial(find_forgotten, refs=refs))

    async def erase(
        self,
        wanted: ErasureQuery,
        lines: Iterable[Ref],
        update_id: int | None = None,
        undeleted: Collection[Ref] = (),
    ) -> None:
        """Erase messages that `mark` has marked, copies of them, and `lines`, which it has found.

        Lines that are still `undeleted` in their chats keep their rows in `lines` and `forgotten`.
        `update_id` is the update that asks for this. Its text remains; its quotes and its sender's
        name are removed. After a kill in the middle, the same calls finish the work. The file is
        wiped only if something was erased, an earlier wipe failed, or other processes share the
        database.
        """

        def drop_traces(connection: Connection) -> int:
            rows = 0
            for table in (answers, reactions):
                traces = delete(table).where(table.c.user_id.in_(wanted.authors))
                rows += connection.execute(traces).rowcount
            return rows

        changes = await self._scrub_inbox(wanted.authors, update_id)
        changes += await self._database.write(drop_traces)
        refs = (*lines, *wanted.messages)
        for batch in _batches(refs):
            await self._step(partial(_delete_refs, batch, undeleted))
        if wanted.authors:
            theirs = and_(messages.c.author_id.in_(wanted.authors), IS_FORGOTTEN)
            changes += await self._delete_where(theirs, wanted.authors)
        # of several processes, another one may have been killed before it wiped
        if changes or refs or self._must_wipe or self._database.backend.is_shared:
            await self.wipe()

    async def authors_before(self, moment: datetime) -> dict[int, frozenset[int]]:
        """Return the authors of stored messages from before a moment, by chat."""
        query = select(messages.c.chat_id, messages.c.author_id)
        query = query.where(messages.c.sent_at < moment).distinct()

        def load(connection: Connection) -> dict[int, frozenset[int]]:
            found: dict[int, set[int]] = {}
            for row in connection.execute(query):
                found.setdefault(row.chat_id, set()).add(row.author_id)
            return {chat_id: frozenset(authors) for chat_id, authors in found.items()}

        return await self._database.read(load)

    async def expire(
        self,
        moment: datetime,
        authors: Collection[int],
        authors_in: Mapping[int, Collection[int]] = NOWHERE,
        spared: Collection[int] = (),
    ) -> int:
        """Erase some people's messages, and all forwards, from before a moment; return how many.

        `authors` are erased in all chats, and those of `authors_in` in single chats, but nothing in
        the chats `spared`. Forwards are erased even if the sender agreed: they are somebody else's
        words. Messages in private chats are always erased, because they only serve as context. Also
        erased are references from the bot's messages to the erased ones, and the content of old
        updates that were set aside.
        """
        is_old = and_(messages.c.sent_at < moment, messages.c.chat_id.not_in(spared))
        is_private = messages.c.chat_id > 0
        is_meant = or_(messages.c.author_id.in_(authors), messages.c.is_forward, is_private)
        count = await self._delete_where(and_(is_old, is_meant))
        chats = sorted(authors_in)
        for start in range(0, len(chats), CHATS_PER_STATEMENT):
            somewhere = (
                and_(messages.c.chat_id == chat, messages.c.author_id.in_(authors_in[chat]))
                for chat in chats[start : start + CHATS_PER_STATEMENT]
            )
            count += await self._delete_where(and_(is_old, or_(*somewhere)))
        unread = and_(inbox.c.state == SET_ASIDE, inbox.c.received_at < moment)
        clearing = update(inbox).where(unread, inbox.c.body.is_not(None)).values(body=None)
        cleared = await self._database.write(lambda one: one.execute(clearing).rowcount)
        if count or cleared:
            await self.wipe()
        return count

    async def wipe(self) -> None:
        """Clear the bytes of erased rows from the file, empty its log, and shrink it.

        Texts cached in memory are cleared too. Callers that wait for a wipe share the next one.

        Raises:
            StoreError: The disk is full, other programs keep the database busy, or it is being
                closed.
        """
        await self._wiping(self._wipe_now)

    async def _wipe_now(self) -> None:
        clear_caches()
        self._must_wipe = True
        try:
            await asyncio.to_thread(self._wipe)
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StoreError(
                f"erased text cannot be removed from the file ({reason}): free disk space"
            ) from error
        self._must_wipe = False

    def _wipe(self) -> None:
        backend = self._database.backend
        backend.vacuum()
        if isinstance(backend, SqliteFile):
            self._wipe_file(backend.file)

    def _wipe_file(self, path: Path) -> None:
        lock = self._database.write_lock
        with self._using_file:
            if self._file is None:
                self._file = path.open("r+b", buffering=0)
            clear(path, self._file, lock, self._rest)
            shrink(path, lock, self._rest)

    def _rest(self, seconds: float) -> None:
        """Sleep between two steps of a wipe, until no other transaction runs."""
        end = time.monotonic() + MAX_WAIT_SECONDS
        time.sleep(max(seconds, PAUSE_SECONDS))
        while self._database.is_busy and time.monotonic() < end and not self._closing.is_set():
            time.sleep(CHECK_SECONDS)
        if self._closing.is_set():
            raise StoreError("erased text is not yet removed: the database is being closed")

    def _close(self) -> None:
        """Close the file. SQLite must have closed it first: earlier, this would drop its locks.

        A wipe in progress ends after its current step, so that a stop need not wait for the rest.
        """
        self._closing.set()
        with self._using_file:
            if self._file is not None:
                self._file.close()
                self._file = None
        self._closing.clear()

    async def _step(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a short write transaction; first wait a moment for other transactions.

        Steps of different erasures take turns, because all that wait share one transaction.
        """
        async with self._stepping:
            end = time.monotonic() + MAX_WAIT_SECONDS
            while self._database.is_busy and time.monotonic() < end:  # noqa: ASYNC110  no event
                await asyncio.sleep(CHECK_SECONDS)
            result = await self._database.write(work)
            await asyncio.sleep(PAUSE_SECONDS)
        return result

    async def _in_windows(
        self,
        work: Callable[[Connection, ColumnElement[bool]], T],
        authors: Collection[int] = (),
    ) -> AsyncIterator[T]:
        """Run `work` on all messages, one window of rows after the other, the newest first.

        With `authors`, windows without a message of theirs are skipped. The number of rows in a
        window adapts, so that a step takes about `STEP_SECONDS`. PostgreSQL has no row numbers, and
        needs no windows: other transactions need not wait.
        """
        if not isinstance(self._database.backend, SqliteFile):
            yield await self._step(lambda connection: work(connection, true()))
            return
        end: int | None = None
        rows = min(MIN_ROWS, MAX_ROWS)
        # one query for each author, because SQLite then reads only the last row in the index
        among = [messages.c.author_id == one for one in authors] or [true()]

        def step(connection: Connection) -> tuple[int, T, float] | None:
            began = time.perf_counter()
            query = select(func.max(_ROW)).select_from(messages)
            query = query if end is None else query.where(end > _ROW)
            found = [connection.execute(query.where(condition)).scalar() for condition in among]
            last = max((row for row in found if row is not None), default=None)
            if last is None:
                return None
            start = last - rows
            result = work(connection, and_(start < _ROW, last >= _ROW))
            return start + 1, result, time.perf_counter() - began

        while done := await self._step(step):
            end, result, seconds = done
            yield result
            rows = round(rows * min(2, max(0.5, STEP_SECONDS / seconds)))
            rows = min(MAX_ROWS, max(MIN_ROWS, rows))

    async def _delete_where(
        self, condition: ColumnElement[bool], authors: Collection[int] = ()
    ) -> int:
        """Overwrite and delete messages, window by window; return how many."""

        def delete_window(connection: Connection, window: ColumnElement[bool]) -> int:
            these = and_(window, condition)
            keys = select(messages.c.chat_id, messages.c.message_id).where(these)
            return _delete(connection, these, keys, keys)

        return sum([count async for count in self._in_windows(delete_window, authors)])

    async def _scrub_inbox(self, authors: Collection[int], update_id: int | None) -> int:
        """Remove the erased text from updates that wait or were set aside.

        Returns how many others than `update_id` changed.
        """
        last, number = None, 0
        while True:
            query = select(inbox.c.update_id, inbox.c.state, inbox.c.body).where(
                inbox.c.body.is_not(None)
            )
            if last is not None:
                query = query.where(inbox.c.update_id > last)
            page = query.order_by(inbox.c.update_id).limit(UPDATES_PER_STEP)
            scrub = partial(_scrub_page, page, authors, update_id)
            last, changes = await self._database.read(scrub)
            if last is None:
                return number
            number += len(changes.keys() - {update_id})
            if changes:
                await self._database.write(partial(_execute_all, changes.values()))


def _batches(refs: Iterable[Ref]) -> list[Sequence[Ref]]:
    ordered = sorted(refs, key=lambda ref: (ref.chat_id, ref.message_id))
    return [
        ordered[start : start + REFS_PER_STATEMENT]
        for start in range(0, len(ordered), REFS_PER_STATEMENT)
    ]


def _record(refs: Sequence[Ref], at: datetime, connection: Connection) -> None:
    """Record that messages are forgotten."""
    rows = [{**asdict(ref), "at": at} for ref in refs]
    connection.execute(insert(forgotten).on_conflict_do_nothing(), rows)


def _record_messages(refs: Sequence[Ref], at: datetime, connection: Connection) -> None:
    """Record that messages are forgotten, and overwrite them."""
    _record(refs, at, connection)
    _overwrite(connection, _is_among(_keys(refs)))


def _record_lines(refs: Sequence[Ref], at: datetime, connection: Connection) -> None:
    """Record that lines must be deleted in their chats; see `Outbox.find_withdrawn`."""
    _record(refs, at, connection)
    unknown = {"reply_id": 0, "voice": "", "version": "", "sent_at": at, "person_id": 0}
    rows = [{**asdict(ref), **unknown} for ref in refs]  # for those that have no row
    connection.execute(insert(lines).on_conflict_do_nothing(), rows)


def _find_unread(
    connection: Connection, authors: Collection[int], update_id: int | None
) -> frozenset[Ref]:
    """Find messages by these people that no process has begun to handle, before an update."""
    if update_id is None:
        return frozenset()
    query = select(inbox.c.body).where(
        inbox.c.state == WAITING, inbox.c.begun == 0, inbox.c.update_id < update_id,
        or_(*(inbox.c.body.contains(f'"id": {author}') for author in authors)),
    )  # fmt: skip
    bodies = connection.execute(query).scalars()
    refs = frozenset(ref for body in bodies for ref in find_messages_by(json.loads(body), authors))
    return refs - find_stored(connection, refs) - find_forgotten(connection, refs)


def _delete_refs(refs: Sequence[Ref], undeleted: Collection[Ref], connection: Connection) -> None:
    deleted = _keys(ref for ref in refs if ref not in undeleted)
    _delete(connection, _is_among(_keys(refs)), _keys(refs), deleted)


def _keys(refs: Iterable[Ref]) -> list[tuple[int, int]]:
    return [(ref.chat_id, ref.message_id) for ref in refs]


def _is_among(keys: list[tuple[int, int]]) -> ColumnElement[bool]:
    return tuple_(messages.c.chat_id, messages.c.message_id).in_(keys)


def _find_lines(wanted: ErasureQuery, connection: Connection) -> frozenset[Ref]:
    """Find the bot's messages to erase: made from erased messages, or in the people's voices."""
    generated_from = select(sources.c.chat_id, sources.c.message_id).join(
        messages,
        and_(
            messages.c.chat_id == sources.c.source_chat_id,
            messages.c.message_id == sources.c.source_id,
        ),
    )
    queries = [
        generated_from.where(messages.c.author_id.in_(wanted.authors)),
        *(
            select(sources.c.chat_id, sources.c.message_id).filter_by(
                source_chat_id=ref.chat_id, source_id=ref.message_id
            )
            for ref in wanted.messages
        ),
        select(lines.c.chat_id, lines.c.message_id).where(lines.c.person_id.in_(wanted.authors)),
    ]
    found = set(wanted.own)
    for query in queries:
        found.update(Ref(*row) for row in connection.execute(query))
    return frozenset(found)


def _overwrite(connection: Connection, condition: ColumnElement[bool]) -> None:
    """Overwrite the text and the author's name of messages with zeros, in place."""
    is_on_server = connection.dialect.name == POSTGRES
    zeros = _OVERWRITTEN_ON_SERVER if is_on_server else _OVERWRITTEN
    connection.execute(update(messages).where(condition, ~_IS_OVERWRITTEN).values(zeros))


def _delete(
    connection: Connection,
    condition: ColumnElement[bool],
    keys: _Keys,
    keys_of_lines: _Keys,
) -> int:
    """Overwrite and delete messages; return how many.

    Also delete the rows in `guesses` with their ids, the references to them in `sources`, and those
    rows in `lines` that have `keys_of_lines`.
    """
    _overwrite(connection, condition)
    for table, chat, number, gone in (
        (lines, lines.c.chat_id, lines.c.message_id, keys_of_lines),
        (guesses, guesses.c.chat_id, guesses.c.message_id, keys),
        (sources, sources.c.source_chat_id, sources.c.source_id, keys),
    ):
        connection.execute(delete(table).where(tuple_(chat, number).in_(gone)))
    return connection.execute(delete(messages).where(condition)).rowcount


def _execute_all(statements: Iterable[Update], connection: Connection) -> None:
    for statement in statements:
        connection.execute(statement)


def _scrub_page(
    page: Select[Any],
    authors: Collection[int],
    update_id: int | None,
    connection: Connection,
) -> tuple[int | None, dict[int, Update]]:
    """Return the last update of a page, and the statements that remove erased text, by update."""
    kept = [(*row, json.loads(row.body)) for row in connection.execute(page)]
    erased = find_forgotten(connection, {ref for *_, content in kept for ref in find_refs(content)})

    def is_erased(message: Json) -> bool:
        return make_ref(message) in erased

    def is_theirs(message: Json) -> bool:
        return is_erased(message) or find_author_id(message) in authors

    def is_earlier(number: int) -> bool:
        return update_id is not None and number < update_id

    changes = {}
    for number, state, body, before in kept:
        is_asking = state != SET_ASIDE and asks_to_erase(before)  # it may be marked already
        if number == update_id or is_asking:
            after = remove_sender_name(remove_erased_text(before, lambda _: False, is_theirs))
        else:
            top: Predicate = is_theirs if state == SET_ASIDE else is_erased
            after = remove_erased_text(before, top, is_theirs)
        change = update(inbox).where(inbox.c.update_id == number, inbox.c.body == body)
        if is_earlier(number) and find_voter_id(before) in authors:
            changes[number] = change.values(state=HANDLED, body=None, working=False)
        elif after != before:
            changes[number] = change.values(body=json.dumps(after))
    return kept[-1][0] if kept else None, changes
