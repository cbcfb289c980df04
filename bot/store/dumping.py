"""Gives back what is kept, whole: messages with their edits, decisions, what was forgotten."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, exists, select
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.messages import FIELDS, kept_message
from bot.store.tables import decisions, forgotten, messages
from model.conversation import Message
from model.roster import Said


@dataclass(frozen=True, slots=True)
class Kept:
    """A message, and when it was last edited if it ever was."""

    message: Message
    edited_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What somebody decided about their voice, and when."""

    user_id: int
    decision: Said
    at: datetime


class Dumping:
    """Reads the store; each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def authors(self) -> dict[int, frozenset[int]]:
        """Return the authors of stored messages by chat; a private chat has the id of its user."""
        query = select(messages.c.chat_id, messages.c.author_id).distinct()
        query = query.where(messages.c.chat_id < 0)
        found: dict[int, set[int]] = {}
        async with self._engine.connect() as connection:
            for row in await connection.execute(query):
                found.setdefault(row.chat_id, set()).add(row.author_id)
        return {chat_id: frozenset(authors) for chat_id, authors in found.items()}

    async def messages(self, chat_id: int) -> list[Kept]:
        """Return the stored messages of a chat that are not forgotten, by time, then id."""
        is_forgotten = exists().where(
            forgotten.c.chat_id == messages.c.chat_id,
            forgotten.c.message_id == messages.c.message_id,
        )
        query: Select[Any] = (
            select(*FIELDS, messages.c.edited_at)
            .where(messages.c.chat_id == chat_id, ~is_forgotten)
            .order_by(messages.c.sent_at, messages.c.message_id)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [Kept(kept_message(row), row.edited_at) for row in rows]

    async def decisions(self) -> list[Decided]:
        """Return all decisions, the oldest first."""
        columns = (decisions.c.user_id, decisions.c.decision, decisions.c.at)
        query = select(*columns).order_by(decisions.c.id)
        async with self._engine.connect() as connection:
            return [Decided(*row) for row in await connection.execute(query)]

    async def forgotten(self, chat_id: int) -> list[int]:
        """Return the ids of a chat's messages that must be learned from no more."""
        query = select(forgotten.c.message_id).where(forgotten.c.chat_id == chat_id)
        async with self._engine.connect() as connection:
            return sorted((await connection.execute(query)).scalars())
