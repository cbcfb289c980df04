"""Stored messages, the stickers that stand for emoji, and reactions."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, exists, func, literal, or_, select, tuple_
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.tables import forgotten, lines, messages, reactions, stickers
from model.chat.conversation import Message


class Stickers:
    """The stickers of all groups; each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def used(self, chat_id: int, emoji: str, file_unique_id: str, file_id: str) -> None:
        """Count that a group used a sticker; its newest `file_id` is the one that works."""
        new = insert(stickers).values(
            chat_id=chat_id, file_unique_id=file_unique_id, emoji=emoji, file_id=file_id, used=1
        )
        again = new.on_conflict_do_update(
            index_elements=[stickers.c.chat_id, stickers.c.file_unique_id],
            set_={"file_id": new.excluded.file_id, "used": stickers.c.used + 1},
        )
        async with self._engine.begin() as connection:
            await connection.execute(again)

    async def forget(self, chat_id: int, file_unique_id: str) -> None:
        """Drop a sticker, until the group uses it again."""
        one = delete(stickers).filter_by(chat_id=chat_id, file_unique_id=file_unique_id)
        async with self._engine.begin() as connection:
            await connection.execute(one)

    async def favourite(self, chat_id: int, emoji: str) -> str | None:
        """Return the file id of the sticker that a group uses most for an emoji."""
        query = (
            select(stickers.c.file_id)
            .filter_by(chat_id=chat_id, emoji=emoji)
            .order_by(stickers.c.used.desc(), stickers.c.file_unique_id)
            .limit(1)
        )
        async with self._engine.connect() as connection:
            found: str | None = (await connection.execute(query)).scalar_one_or_none()
        return found


class Reactions:
    """The reactions to the bot's own lines; each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def replace(
        self, chat_id: int, message_id: int, user_id: int, emoji: Iterable[str]
    ) -> None:
        """Keep what somebody's reactions to a line are now; of other messages none are kept."""
        at = {"chat_id": chat_id, "message_id": message_id}
        mine = delete(reactions).filter_by(**at, user_id=user_id)
        async with self._engine.begin() as connection:
            await connection.execute(mine)
            is_line = (await connection.execute(select(lines.c.chat_id).filter_by(**at))).first()
            rows = [{**at, "user_id": user_id, "emoji": one} for one in sorted(set(emoji))]
            if is_line and rows:
                await connection.execute(insert(reactions).values(rows))

    async def counts(self, chat_id: int, message_id: int) -> dict[str, int]:
        """Return how many people reacted to a line with each emoji."""
        number = func.count().label("number")
        query = (
            select(reactions.c.emoji, number)
            .filter_by(chat_id=chat_id, message_id=message_id)
            .group_by(reactions.c.emoji)
        )
        async with self._engine.connect() as connection:
            return {row.emoji: row.number for row in await connection.execute(query)}


PAGE = 64
MOST_READ = 2_000
"""Limit for one search, so that messages that do not count cannot make it longer."""

FIELDS = tuple(column for column in messages.columns if column.name != "edited_at")
"""What a message is read from; see `kept_message`."""

_ORDER = (messages.c.sent_at, messages.c.message_id)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation goes on: a chat, and its topic if it has any."""

    chat_id: int
    topic_id: int | None = None


class MessageStore:
    """The messages of all chats; each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def save(self, message: Message, edited_at: datetime | None = None) -> None:
        """Keep a message, or its text after an edit; what is kept already stays.

        An older text never replaces a newer one, in whatever order they come.
        """
        async with self._engine.begin() as connection:
            await connection.execute(saving(message, edited_at))

    async def find(self, chat_id: int, message_id: int) -> Message | None:
        """Return a message, None where it was never seen."""
        query = select(*FIELDS).where(
            messages.c.chat_id == chat_id, messages.c.message_id == message_id
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return kept_message(row) if row else None

    async def count(self, chat_id: int | None = None) -> int:
        """Return how many messages are kept, of one chat or of all."""
        query = select(func.count()).select_from(messages)
        if chat_id is not None:
            query = query.where(messages.c.chat_id == chat_id)
        async with self._engine.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def earlier(
        self,
        place: Place,
        reach: int,
        counts: Callable[[Message], bool],
        before: Message | None = None,
    ) -> list[Message]:
        """Return a place's newest messages in order, as many as needed for `reach` that count.

        Fewer count only if the place has no more, or after `MOST_READ` messages. With `before`,
        only earlier messages are returned. Messages that are about to be erased are left out.
        `counts` is called once for each message, newest first, in a thread, as it may be slow.
        """
        found: list[Message] = []
        counted = 0
        while counted < reach and len(found) < MOST_READ:
            query = _page(place, found[-1] if found else before)
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
            fresh, number = await asyncio.to_thread(_read, rows, counts, reach - counted)
            found += fresh
            counted += number
            if len(rows) < PAGE:
                break
        return found[::-1]


def _read(
    rows: Sequence[Row[Any]], counts: Callable[[Message], bool], wanted: int
) -> tuple[list[Message], int]:
    """Return the messages of rows until `wanted` of them count, and how many count."""
    found: list[Message] = []
    counted = 0
    for row in rows:
        if counted == wanted:
            break
        found.append(kept_message(row))
        counted += counts(found[-1])
    return found, counted


def saving(message: Message, edited_at: datetime | None = None) -> Insert:
    """Return the statement that keeps a message, or its text after an edit, see `save`.

    What was forgotten is not kept again, even where it is edited then.
    """
    values = {column: getattr(message, column.name) for column in FIELDS}
    values[messages.c.edited_at] = edited_at
    is_forgotten = exists().where(
        forgotten.c.chat_id == message.chat_id, forgotten.c.message_id == message.message_id
    )
    row = select(*(literal(value, column.type) for column, value in values.items()))
    new = insert(messages).from_select(list(values), row.where(~is_forgotten))
    later = or_(messages.c.edited_at.is_(None), messages.c.edited_at <= new.excluded.edited_at)
    return new.on_conflict_do_update(
        index_elements=[messages.c.chat_id, messages.c.message_id],
        set_={"text": new.excluded.text, "edited_at": new.excluded.edited_at},
        where=new.excluded.edited_at.is_not(None) & later,
    )


def _page(place: Place, oldest: Message | None) -> Select[Any]:
    """Return the query for the messages before the oldest that is known, newest first."""
    query = select(*FIELDS).where(
        messages.c.chat_id == place.chat_id,
        messages.c.topic_id.is_not_distinct_from(place.topic_id),
        ~exists().where(
            forgotten.c.chat_id == messages.c.chat_id,
            forgotten.c.message_id == messages.c.message_id,
        ),
    )
    if oldest:
        query = query.where(tuple_(*_ORDER) < tuple_(oldest.sent_at, oldest.message_id))
    return query.order_by(*(column.desc() for column in _ORDER)).limit(PAGE)


def kept_message(row: Row[Any]) -> Message:
    """Return a row that has `FIELDS` as the message that it keeps."""
    return Message(**{column.name: row._mapping[column] for column in FIELDS})  # noqa: SLF001  the documented name
