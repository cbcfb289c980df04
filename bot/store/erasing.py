"""Erases messages so that nothing of them is left, not even in the file's free space."""

import asyncio
import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, false, or_, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.errors import StoreError
from bot.store.inbox import SET_ASIDE
from bot.store.journal import drop_turns
from bot.store.scrubbing import Json, Ref, Test, author_of, nameless, ref_of, scrubbed
from bot.store.tables import answers, forgotten, guesses, inbox, lines, messages, reactions, sources
from bot.store.wanted import Wanted, lines_of, messages_of

TRIES = 50
_NOTHING = delete(messages).where(false())
"""Begins to write: a transaction that reads first may not write once another has written."""
PAUSE = 0.1  # seconds between tries to empty the write-ahead log, which waits for readers


@dataclass(frozen=True, slots=True)
class Marked:
    """The messages of people that are to be erased, and those of the bot's that go with them."""

    messages: frozenset[Ref]
    lines: frozenset[Ref]


class Erasing:
    """Forgets in two steps, each one transaction: what is marked is used no more, then erased.

    In between the bot takes its lines back in the chat: after a kill they are still to be found.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def mark(self, wanted: Wanted, at: datetime) -> Marked:
        """Note by id what is forgotten, so that nothing is made from it and nothing kept of it."""
        async with self._engine.begin() as connection:
            await connection.execute(_NOTHING)
            await _note(connection, (*wanted.messages, *wanted.own), at)
            marked = Marked(
                await messages_of(connection, wanted), await lines_of(connection, wanted)
            )
            await _note(connection, marked.messages | marked.lines, at)
        return marked

    async def erase(self, wanted: Wanted, update_id: int | None = None) -> None:
        """Erase what is wanted, whatever repeats it, and the lines made from it.

        `update_id` is the update that asks for it: of that one only what it repeats goes.
        """
        async with self._engine.begin() as connection:
            await connection.execute(_NOTHING)
            gone = await messages_of(connection, wanted) | await lines_of(connection, wanted)
            for table in (answers, reactions):
                await connection.execute(delete(table).where(table.c.user_id.in_(wanted.authors)))
            await _delete(connection, gone)
            await drop_turns(connection, wanted.voices)
            await _scrub(connection, gone, wanted.authors, update_id)
        await self.wipe()

    async def authors_before(self, moment: datetime) -> frozenset[int]:
        """Return who wrote what is kept from before a moment."""
        query = select(messages.c.author_id).distinct().where(messages.c.sent_at < moment)
        async with self._engine.connect() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def expire(self, moment: datetime, authors: Collection[int]) -> int:
        """Erase what these people wrote before a moment, and forwards; return how many messages.

        What a friend who agreed forwarded are the words of somebody else.
        The bot's lines forget that they were made from these; what could not be read goes too.
        """
        not_theirs = or_(messages.c.author_id.in_(authors), messages.c.is_forward)
        old = and_(messages.c.sent_at < moment, not_theirs)
        is_source = and_(
            messages.c.chat_id == sources.c.chat_id, messages.c.message_id == sources.c.source_id
        )
        unread = and_(inbox.c.state == SET_ASIDE, inbox.c.received_at < moment)
        async with self._engine.begin() as connection:
            await connection.execute(delete(sources).where(exists().where(old, is_source)))
            gone = (await connection.execute(delete(messages).where(old))).rowcount
            words = update(inbox).where(unread, inbox.c.body.is_not(None)).values(body=None)
            dropped = (await connection.execute(words)).rowcount
        if gone or dropped:
            await self.wipe()
        return gone

    async def wipe(self) -> None:
        """Build the file anew of what is in it, and empty its write-ahead log.

        `secure_delete` alone leaves what SQLite copied to other pages before it was deleted.

        Raises:
            StoreError: There is no room for that, or others keep the database busy.
        """
        try:
            async with self._engine.connect() as connection:
                raw: Any = (await connection.get_raw_connection()).driver_connection
                await raw.execute("VACUUM")  # in no transaction, so not through SQLAlchemy
                for _ in range(TRIES):
                    async with raw.execute("PRAGMA wal_checkpoint(TRUNCATE)") as cursor:
                        is_busy, *_ = await cursor.fetchone()
                    if not is_busy:
                        return
                    await asyncio.sleep(PAUSE)
        except sqlite3.Error as error:
            raise StoreError(f"erased words cannot be wiped out ({error}): make room") from error
        raise StoreError("erased words cannot be wiped out: end what else reads the database")


async def _note(connection: AsyncConnection, refs: Iterable[Ref], at: datetime) -> None:
    rows = [{"chat_id": ref.chat_id, "message_id": ref.message_id, "at": at} for ref in refs]
    if rows:
        await connection.execute(insert(forgotten).on_conflict_do_nothing(), rows)


async def _delete(connection: AsyncConnection, refs: Iterable[Ref]) -> None:
    """Delete messages, lines and quizzes, and that other lines were made from them."""
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


async def _scrub(
    connection: AsyncConnection,
    gone: Collection[Ref],
    authors: Collection[int],
    update_id: int | None,
) -> None:
    """Take the words out of the updates that wait or were set aside."""

    def is_gone(message: Json) -> bool:
        return ref_of(message) in gone

    def is_theirs(message: Json) -> bool:
        return is_gone(message) or author_of(message) in authors

    def test_of(number: int, state: str) -> Test:
        if number == update_id:
            return lambda _: False
        return is_theirs if state == SET_ASIDE else is_gone

    kept = select(inbox.c.update_id, inbox.c.state, inbox.c.body).where(inbox.c.body.is_not(None))
    for row in (await connection.execute(kept)).all():
        before = json.loads(row.body)
        after = scrubbed(before, test_of(row.update_id, row.state), is_theirs)
        if row.update_id == update_id:
            after = nameless(after)
        if after != before:
            change = update(inbox).where(inbox.c.update_id == row.update_id)
            body = json.dumps(after, ensure_ascii=False)
            await connection.execute(change.values(body=body))
