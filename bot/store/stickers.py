"""Keeps which stickers a group uses for which emoji."""

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.tables import stickers


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
