"""Store the names that Telegram shows for the people of the models' rosters."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from bot.store.changes import announce
from bot.store.database import Database
from bot.store.tables import names

NamesByUser: TypeAlias = Mapping[int, Sequence[str]]
"""The names that Telegram showed for each user, the latest last."""


class Names:
    """The names of all people; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> NamesByUser:
        """Return the names of all people."""
        query = select(names.c.user_id, names.c.name).order_by(names.c.shown_at, names.c.name)

        def load(connection: Connection) -> NamesByUser:
            found: dict[int, list[str]] = {}
            for row in connection.execute(query):
                found.setdefault(row.user_id, []).append(row.name)
            return found

        return await self._database.read(load)

    async def delete(self, user_ids: Collection[int]) -> None:
        """Delete the names of some users."""
        theirs = delete(names).where(names.c.user_id.in_(user_ids))

        def write(connection: Connection) -> None:
            if connection.execute(theirs).rowcount:
                self._database.must_vacuum = True
            announce(connection, "names", 0)

        await self._database.write(write)


def save_names(connection: Connection, shown: Mapping[int, str]) -> None:
    """Store the names that an update shows, by user id, as the latest ones."""
    now = datetime.now(UTC)
    rows = [{"user_id": number, "name": name, "shown_at": now} for number, name in shown.items()]
    new = insert(names).values(rows)
    upsert = new.on_conflict_do_update(
        index_elements=[names.c.user_id, names.c.name], set_={"shown_at": new.excluded.shown_at}
    )
    connection.execute(upsert)
    announce(connection, "names", 0)
