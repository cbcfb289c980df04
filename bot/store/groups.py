"""Keeps the groups that the bot is in: who let it in, and how it is to behave there."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.tables import groups

_FIELDS = [column.name for column in groups.columns]


@dataclass(frozen=True, slots=True)
class Group:
    """A group as the bot knows it.

    `authorised`: an admin put the bot there. `allowed`: the chats of others that a model may have
    learned from and still speak there. `moved_from` is the id of the basic group that a supergroup
    was.
    """

    chat_id: int
    title: str | None = None
    authorised: bool = False
    allowed: frozenset[int] = frozenset()
    moved_from: int | None = None
    told_privacy: bool = False
    chatty: int = 0
    quiet_until: datetime | None = None


class Groups:
    """The groups; each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> list[Group]:
        """Return all groups that are known."""
        async with self._engine.connect() as connection:
            return [Group(**row._mapping) for row in await connection.execute(select(groups))]  # noqa: SLF001  the documented name

    async def save(self, group: Group) -> None:
        """Keep a group as it is now."""
        values = {name: getattr(group, name) for name in _FIELDS}
        upsert = insert(groups).values(values)
        async with self._engine.begin() as connection:
            await connection.execute(
                upsert.on_conflict_do_update(index_elements=[groups.c.chat_id], set_=values)
            )
