"""Keeps what people decided about their voices."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.errors import StoreError
from bot.store.tables import decisions
from bot.store.version import Version, database_file, read_only, version_of
from model.roster import Decision, Said


class Decisions:
    """The decisions of all people; each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def newest(self) -> dict[int, Decision]:
        """Return each person's newest decision by user id."""
        last = select(func.max(decisions.c.id)).group_by(decisions.c.user_id)
        columns = (decisions.c.user_id, decisions.c.decision, decisions.c.at)
        query = select(*columns).where(decisions.c.id.in_(last))
        async with self._engine.connect() as connection:
            rows = await connection.execute(query)
            return {row.user_id: Decision(*row) for row in rows}

    async def add(self, chat_id: int, user_id: int, decision: Said, at: datetime) -> None:
        """Keep a decision."""
        new = insert(decisions).values(chat_id=chat_id, user_id=user_id, decision=decision, at=at)
        async with self._engine.begin() as connection:
            await connection.execute(new)


async def decided(url: str) -> dict[int, Decision]:
    """Return each person's newest decision; nothing is made or changed.

    Where there is no database that can be read nobody has decided.
    """
    try:
        if await version_of(url) is not Version.CURRENT:
            return {}
        async with read_only(database_file(url)) as engine:
            return await Decisions(engine).newest()
    except StoreError:
        return {}
