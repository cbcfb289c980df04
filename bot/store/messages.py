"""Store messages, stickers and reactions."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Table,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from bot.store.database import Database
from bot.store.tables import forgotten, lines, messages, reactions, stickers
from model.chat.conversation import Message

PAGE = 64
MAX_MESSAGES_READ = 2_000
"""Number of messages after which a search ends, even if few of them count."""

FIELDS = tuple(column for column in messages.columns if column.name != "edited_at")
"""The columns of a `Message`; see `message_from_row`."""

IS_FORGOTTEN = exists().where(
    forgotten.c.chat_id == messages.c.chat_id, forgotten.c.message_id == messages.c.message_id
)
"""Whether a row of the table of messages is forgotten; such a row is about to be deleted."""

REFS_PER_STATEMENT = 200
"""Number of messages that one statement selects by their ids."""

_ORDER = (messages.c.sent_at, messages.c.message_id)


@dataclass(frozen=True, slots=True)
class Ref:
    """The chat id and the message id of a message."""

    chat_id: int
    message_id: int


@dataclass(frozen=True, slots=True)
class Place:
    """A chat, and a topic in it if it has topics."""

    chat_id: int
    topic_id: int | None = None


@dataclass(frozen=True, slots=True)
class Sticker:
    """A sticker that was sent to a group."""

    chat_id: int
    emoji: str
    file_unique_id: str
    file_id: str


class Stickers:
    """The stickers of all groups; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, chat_id: int, file_unique_id: str) -> None:
        """Delete a sticker; it is stored again when the group uses it again."""
        one = delete(stickers).filter_by(chat_id=chat_id, file_unique_id=file_unique_id)
        await self._database.write(lambda connection: connection.execute(one))

    async def favourite(self, chat_id: int, emoji: str) -> str | None:
        """Return the file id of the sticker that a group uses most for an emoji."""
        query = (
            select(stickers.c.file_id)
            .filter_by(chat_id=chat_id, emoji=emoji)
            .order_by(stickers.c.used.desc(), stickers.c.file_unique_id)
            .limit(1)
        )

        def find(connection: Connection) -> str | None:
            return connection.execute(query).scalar_one_or_none()

        return await self._database.read(find)


class Reactions:
    """The reactions to the bot's own lines; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def replace(
        self, chat_id: int, message_id: int, user_id: int, emoji: Iterable[str]
    ) -> None:
        """Store a person's current reactions to a line; reactions to other messages are ignored."""
        at = {"chat_id": chat_id, "message_id": message_id}
        rows = [{**at, "user_id": user_id, "emoji": symbol} for symbol in sorted(set(emoji))]

        def write(connection: Connection) -> None:
            connection.execute(delete(reactions).filter_by(**at, user_id=user_id))
            is_line = connection.execute(select(lines.c.chat_id).filter_by(**at)).first()
            if is_line and rows:
                connection.execute(insert(reactions).values(rows))

        await self._database.write(write)

    async def counts(self, chat_id: int, message_id: int) -> dict[str, int]:
        """Return how many people reacted to a line with each emoji."""
        query = (
            select(reactions.c.emoji, func.count().label("number"))
            .filter_by(chat_id=chat_id, message_id=message_id)
            .group_by(reactions.c.emoji)
        )

        def count(connection: Connection) -> dict[str, int]:
            return {row.emoji: row.number for row in connection.execute(query)}

        return await self._database.read(count)


class MessageStore:
    """The messages of all chats; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, message: Message, edited_at: datetime | None = None) -> None:
        """Store a message, or its new text after an edit; see `message_insert`."""
        await self._database.write(
            lambda connection: connection.execute(message_insert(message, edited_at))
        )

    async def find(self, chat_id: int, message_id: int) -> Message | None:
        """Return a message, or None if it is not stored."""
        query = select(*FIELDS).filter_by(chat_id=chat_id, message_id=message_id)

        def find(connection: Connection) -> Message | None:
            row = connection.execute(query).one_or_none()
            return message_from_row(row) if row else None

        return await self._database.read(find)

    async def count(self, chat_id: int | None = None) -> int:
        """Return the number of stored messages, of one chat or of all."""
        query = select(func.count()).select_from(messages)
        if chat_id is not None:
            query = query.where(messages.c.chat_id == chat_id)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def find_newest(
        self,
        place: Place,
        count: int,
        is_counted: Callable[[Message], bool],
        before: Message | None = None,
    ) -> list[Message]:
        """Return a place's newest messages, oldest first, until `count` of them are counted.

        The search ends early if the place has no more messages, or after `MAX_MESSAGES_READ`. With
        `before`, only earlier messages are returned. Messages that are about to be erased are left
        out. `is_counted` is called once for each message, newest first, in a thread, because it may
        be slow.
        """

        def find(connection: Connection) -> list[Message]:
            found: list[Message] = []
            counted = 0
            while counted < count and len(found) < MAX_MESSAGES_READ:
                rows = connection.execute(_page(place, found[-1] if found else before)).all()
                for row in rows:
                    found.append(message_from_row(row))
                    counted += is_counted(found[-1])
                    if counted == count:
                        break
                if len(rows) < PAGE:
                    break
            return found[::-1]

        return await self._database.read(find)

    async def find_by_authors(
        self, place: Place, authors: Collection[int], most: int
    ) -> list[Message]:
        """Return a place's newest messages by these authors, newest first, without forwards.

        Messages that are about to be erased are left out.
        """
        query = (
            _in_place(place)
            .where(
                messages.c.author_id.in_(authors),
                ~messages.c.is_forward,
                ~messages.c.is_from_bot,
            )
            .order_by(*(column.desc() for column in _ORDER))
            .limit(most)
        )
        return await self._database.read(
            lambda connection: [message_from_row(row) for row in connection.execute(query)]
        )


def message_insert(message: Message, edited_at: datetime | None = None) -> Insert:
    """Return the statement that stores a message, or its new text after an edit.

    Without `edited_at`, a message that is already stored does not change. An older text never
    replaces a newer one. A forgotten message is not stored again, even if it is edited.
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


def sticker_insert(sticker: Sticker) -> Insert:
    """Return the statement that counts a use of a sticker; only its newest `file_id` works."""
    new = insert(stickers).values(
        chat_id=sticker.chat_id,
        file_unique_id=sticker.file_unique_id,
        emoji=sticker.emoji,
        file_id=sticker.file_id,
        used=1,
    )
    return new.on_conflict_do_update(
        index_elements=[stickers.c.chat_id, stickers.c.file_unique_id],
        set_={"file_id": new.excluded.file_id, "used": stickers.c.used + 1},
    )


def message_from_row(row: Row[Any]) -> Message:
    """Return the message in a row that has `FIELDS`."""
    return Message(**{column.name: row._mapping[column] for column in FIELDS})  # noqa: SLF001  the documented name


def find_forgotten(connection: Connection, refs: Collection[Ref]) -> frozenset[Ref]:
    """Return which of these messages were forgotten."""
    return _find_in(forgotten, connection, refs)


def find_stored(connection: Connection, refs: Collection[Ref]) -> frozenset[Ref]:
    """Return which of these messages are stored."""
    return _find_in(messages, connection, refs)


def _find_in(table: Table, connection: Connection, refs: Collection[Ref]) -> frozenset[Ref]:
    columns = (table.c.chat_id, table.c.message_id)
    keys = sorted({(ref.chat_id, ref.message_id) for ref in refs})
    found: set[Ref] = set()
    for start in range(0, len(keys), REFS_PER_STATEMENT):
        these = tuple_(*columns).in_(keys[start : start + REFS_PER_STATEMENT])
        found.update(Ref(*row) for row in connection.execute(select(*columns).where(these)))
    return frozenset(found)


def _page(place: Place, oldest: Message | None) -> Select[Any]:
    """Return the query for the messages before `oldest`, newest first."""
    query = _in_place(place)
    if oldest:
        query = query.where(tuple_(*_ORDER) < tuple_(oldest.sent_at, oldest.message_id))
    return query.order_by(*(column.desc() for column in _ORDER)).limit(PAGE)


def _in_place(place: Place) -> Select[Any]:
    """Return the query for a place's messages, without those that are about to be erased."""
    return select(*FIELDS).where(
        messages.c.chat_id == place.chat_id,
        messages.c.topic_id.is_not_distinct_from(place.topic_id),
        ~IS_FORGOTTEN,
    )
