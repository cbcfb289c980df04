"""Erase messages from every table; `bot.store.vacuum` removes their last bytes from the files."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from bot.store.database import Database
from bot.store.inbox import HANDLED, SET_ASIDE, WAITING
from bot.store.messages import (
    IS_FORGOTTEN,
    Ref,
    find_forgotten,
    find_stored,
)
from bot.store.outbox import find_turns, withdraw_turn
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
from model.chat.eligibility import clear_caches

Change = TypeVar("Change", Update, Delete)

ROWS_PER_READ = 10_000  # messages that one search returns
ROWS_PER_WRITE = 100
"""Messages that one transaction erases, so that other chats wait only a few milliseconds."""
UPDATES_PER_STEP = 200  # stored updates that one step reads
CHATS_PER_STATEMENT = 100  # for which authors are named one by one

NOWHERE: Mapping[int, Collection[int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ErasureQuery:
    """The messages to erase: individual messages, or all messages of some author ids.

    `own`: individual messages of the bot. Everything that the bot said in the voices of `authors`
    is erased too, no matter what it was generated from.
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
    """Erases in two stages: the text of messages is deleted, then their rows.

    In between, the bot deletes its own messages in the chat; until then a kill must not lose their
    ids. All changes are short transactions, which let other waiting ones go first.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mark(
        self, wanted: ErasureQuery, at: datetime, update_id: int | None = None
    ) -> Marked:
        """Delete the text of forgotten messages and record their ids, so that they are not used.

        Messages in updates before `update_id` that are waiting in other chats are recorded too, so
        that they are not stored. Turns that are being sent are withdrawn. The bot's own messages
        are recorded, but keep their text.
        """
        record = partial(_record_messages, at)
        for refs in _batches(wanted.messages):
            await self._write(partial(record, refs))
        marked = len(wanted.messages)
        if wanted.authors:
            find = partial(_find_unread, authors=wanted.authors, update_id=update_id)
            unread = await self._database.read(find)  # first: what is stored later is found below
            for refs in _batches(unread):
                await self._write(partial(_record, at, refs))
            theirs = messages.c.author_id.in_(wanted.authors)
            await self._for_all(and_(theirs, ~IS_FORGOTTEN), record)
            query = select(func.count()).select_from(messages).where(theirs, IS_FORGOTTEN)

            def count(connection: Connection) -> int:
                since_stored = find_stored(connection, unread)
                return connection.execute(query).scalar_one() + len(set(unread) - since_stored)

            marked = await self._database.read(count)
        own = frozenset[Ref]()
        turns = partial(find_turns, people=wanted.authors)
        while True:  # until nothing has been stored between the search and the record
            for number in await self._database.read(turns):  # first: see `bot.store.outbox`
                await self._write(partial(withdraw_turn, number=number))
            found = await self._database.read(partial(_find_lines, wanted)) - own
            if not found:
                break
            for refs in _batches(found):
                await self._write(partial(_record_lines, at, refs))
            own |= found
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
        name are removed. After a kill in the middle, the same calls finish the work.
        """

        def drop_traces(connection: Connection) -> int:
            rows = 0
            for table in (answers, reactions):
                traces = delete(table).where(table.c.user_id.in_(wanted.authors))
                rows += connection.execute(traces).rowcount
            return rows

        await self._scrub_inbox(wanted.authors, update_id)
        await self._write(drop_traces)
        for batch in _batches((*lines, *wanted.messages)):
            await self._write(partial(_delete, batch, undeleted=undeleted))
        if wanted.authors:
            theirs = and_(messages.c.author_id.in_(wanted.authors), IS_FORGOTTEN)
            await self._for_all(theirs, _delete)
        await self.clear_log()

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
        words. Messages in private chats are always erased, because they only serve as context.
        References from the bot's messages to the erased ones, and the content of old updates that
        were set aside, are erased too.
        """
        is_old = and_(messages.c.sent_at < moment, messages.c.chat_id.not_in(spared))
        is_private = messages.c.chat_id > 0
        is_meant = or_(messages.c.author_id.in_(authors), messages.c.is_forward, is_private)
        count = await self._for_all(and_(is_old, is_meant), _delete)
        chats = sorted(authors_in)
        for start in range(0, len(chats), CHATS_PER_STATEMENT):
            somewhere = (
                and_(messages.c.chat_id == chat, messages.c.author_id.in_(authors_in[chat]))
                for chat in chats[start : start + CHATS_PER_STATEMENT]
            )
            count += await self._for_all(and_(is_old, or_(*somewhere)), _delete)
        unread = and_(inbox.c.state == SET_ASIDE, inbox.c.received_at < moment)
        clearing = update(inbox).where(unread, inbox.c.body.is_not(None)).values(body=None)
        await self._write(lambda one: one.execute(clearing).rowcount)
        await self.clear_log()
        return count

    async def clear_log(self) -> None:
        """Empty the write-ahead log and the caches in memory if something was erased."""
        if self._database.must_vacuum:
            clear_caches()
            await self._database.truncate_log()

    async def _write(self, work: Callable[[Connection], int]) -> None:
        """Run a transaction; `work` returns how many rows it erased."""

        def run(connection: Connection) -> None:
            if work(connection):
                self._database.must_vacuum = True

        await self._database.write(run, is_urgent=False)

    async def _for_all(
        self, condition: ColumnElement[bool], work: Callable[[Sequence[Ref], Connection], int]
    ) -> int:
        """Run `work` on all messages that meet a condition, and return their number.

        Afterwards they must no longer meet it.
        """
        query = select(messages.c.chat_id, messages.c.message_id).where(condition)

        def find(connection: Connection) -> list[Sequence[Ref]]:
            rows = connection.execute(query.limit(ROWS_PER_READ))
            return _batches(Ref(*row) for row in rows)

        count = 0
        while True:
            batches = await self._database.read(find)
            for refs in batches:
                await self._write(partial(work, refs))
            found = sum(map(len, batches))
            count += found
            if found < ROWS_PER_READ:  # messages stored later need not be found
                return count

    async def _scrub_inbox(self, authors: Collection[int], update_id: int | None) -> None:
        """Remove the erased text from updates that are waiting or were set aside."""
        last = None
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
                return
            if changes:
                await self._write(partial(_execute_all, changes))


def _batches(refs: Iterable[Ref]) -> list[Sequence[Ref]]:
    ordered = sorted(refs, key=lambda ref: (ref.chat_id, ref.message_id))
    return [
        ordered[start : start + ROWS_PER_WRITE] for start in range(0, len(ordered), ROWS_PER_WRITE)
    ]


def _record(at: datetime, refs: Sequence[Ref], connection: Connection) -> int:
    """Record that messages are forgotten; nothing is erased."""
    connection.execute(insert(forgotten).on_conflict_do_nothing(), _rows_of(refs, at=at))
    return 0


def _record_messages(at: datetime, refs: Sequence[Ref], connection: Connection) -> int:
    """Record that messages are forgotten, and delete their text."""
    _record(at, refs, connection)
    texts = _at(update(messages), messages.c.chat_id, messages.c.message_id)
    return connection.execute(texts.values(text="", author_name=None), _keys_of(refs)).rowcount


def _record_lines(at: datetime, refs: Sequence[Ref], connection: Connection) -> int:
    """Record that lines must be deleted in their chats; see `Outbox.find_withdrawn`."""
    _record(at, refs, connection)
    unknown = {"reply_id": 0, "voice": "", "version": "", "sent_at": at, "person_id": 0}
    rows = _rows_of(refs, **unknown)  # for those that have no row
    connection.execute(insert(lines).on_conflict_do_nothing(), rows)
    return 0


def _rows_of(refs: Iterable[Ref], **values: object) -> list[dict[str, object]]:
    return [{"chat_id": ref.chat_id, "message_id": ref.message_id, **values} for ref in refs]


def _keys_of(refs: Iterable[Ref]) -> list[dict[str, int]]:
    return [{"chat": ref.chat_id, "number": ref.message_id} for ref in refs]


def _at(statement: Change, chat: Column[int], number: Column[int]) -> Change:
    """Restrict a statement to the message that each row of its parameters names."""
    return statement.where(chat == bindparam("chat"), number == bindparam("number"))


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


def _find_lines(wanted: ErasureQuery, connection: Connection) -> frozenset[Ref]:
    """Find the bot's messages generated from erased ones, and those in the people's voices."""
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


def _delete(refs: Sequence[Ref], connection: Connection, undeleted: Collection[Ref] = ()) -> int:
    """Delete messages, the guesses at them and the references to them; return how many rows.

    Also delete those rows in `lines` that are not `undeleted` in their chats.
    """
    sent = [ref for ref in refs if ref not in undeleted]
    return sum(
        connection.execute(_at(delete(table), chat, number), _keys_of(gone)).rowcount
        for table, chat, number, gone in (
            (lines, lines.c.chat_id, lines.c.message_id, sent),
            (guesses, guesses.c.chat_id, guesses.c.message_id, refs),
            (sources, sources.c.source_chat_id, sources.c.source_id, refs),
            (messages, messages.c.chat_id, messages.c.message_id, refs),
        )
        if gone
    )


def _execute_all(statements: Mapping[int, Update], connection: Connection) -> int:
    """Execute statements; return how many."""
    for statement in statements.values():
        connection.execute(statement)
    return len(statements)


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
