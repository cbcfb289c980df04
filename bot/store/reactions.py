"""Keeps what people's reactions to the bot's lines are."""

from collections.abc import Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.tables import lines, reactions


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
