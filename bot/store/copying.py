"""Copy a database to another one, such as an SQLite file to a PostgreSQL server."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, Text, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from bot.errors import StoreError
from bot.store.backend import POSTGRES
from bot.store.database import (
    Version,
    database_name,
    describe_mismatch,
    lock_database,
    open_database,
    read_version,
    upgrade_database,
)
from bot.store.tables import WrittenText, metadata

_ROWS = 1_000  # of a transaction


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """A copied table: its number of rows, and how many of them are new."""

    name: str
    rows: int
    copied: int


async def copy_database(source: str, target: str, on_table: Callable[[CopiedTable], None]) -> None:
    """Copy all rows, and compare both databases row by row; `on_table` is called for each table.

    Rows that the target already has are not copied again, so a stopped copy can be continued.

    Raises:
        StoreError: The source is missing or has another version, a bot is using one of them, or the
        target has other rows.
    """
    version = await read_version(source)
    if version is Version.MISSING:
        raise StoreError(f"there is no database {database_name(source)} to copy")
    if version is not Version.CURRENT:
        raise StoreError(describe_mismatch(source, version))
    await upgrade_database(target)
    with lock_database(source), lock_database(target):
        async with open_database(source) as old, open_database(target) as new:
            for table in metadata.sorted_tables:
                copied, last = 0, await new.read(partial(_find_last, table=table))
                while rows := await old.read(partial(_page, table=table, after=last)):
                    await new.write(partial(_insert, table=table, rows=rows))
                    copied, last = copied + len(rows), _key_of(table, rows[-1])
                count, ours = await old.read(partial(_digest, table=table))
                found, theirs = await new.read(partial(_digest, table=table))
                if (count, ours) != (found, theirs):
                    raise StoreError(
                        f"{table.name} has {found:,} rows in {database_name(target)} and {count:,} "
                        f"in {database_name(source)}, and they are not the same: copy into an "
                        "empty database"
                    )
                await new.write(partial(_set_sequence, table=table))
                on_table(CopiedTable(table.name, count, copied))


def _find_last(connection: Connection, table: Table) -> tuple[Any, ...] | None:
    keys = _keys(connection, table)
    query = select(*table.primary_key).order_by(*(key.desc() for key in keys)).limit(1)
    row = connection.execute(query).first()
    return tuple(row) if row else None


def _page(
    connection: Connection, table: Table, after: tuple[Any, ...] | None
) -> Sequence[Row[Any]]:
    keys = _keys(connection, table)
    query = select(table).order_by(*keys).limit(_ROWS)
    if after is not None:
        query = query.where(tuple_(*keys) > tuple_(*after))
    return connection.execute(query).all()


def _keys(connection: Connection, table: Table) -> list[ColumnElement[Any]]:
    """Return a table's primary key; texts have the same order in both databases, by code point."""
    is_on_server = connection.dialect.name == POSTGRES
    return [
        key.collate("C") if is_on_server and isinstance(key.type, Text | WrittenText) else key
        for key in table.primary_key
    ]


def _key_of(table: Table, row: Row[Any]) -> tuple[Any, ...]:
    return tuple(row._mapping[key] for key in table.primary_key)  # noqa: SLF001  the documented name


def _insert(connection: Connection, table: Table, rows: Sequence[Row[Any]]) -> None:
    values = [dict(row._mapping) for row in rows]  # noqa: SLF001  the documented name
    connection.execute(insert(table).on_conflict_do_nothing(), values)


def _digest(connection: Connection, table: Table) -> tuple[int, str]:
    """Return the number of rows, and a hash of all of them in the order of their keys."""
    digest, count, last = hashlib.sha256(), 0, None
    while rows := _page(connection, table, last):
        for row in rows:
            digest.update(json.dumps(list(row), default=_as_json).encode())
        count, last = count + len(rows), _key_of(table, rows[-1])
    return count, digest.hexdigest()


def _as_json(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def _set_sequence(connection: Connection, table: Table) -> None:
    """Let the server number new rows after the copied ones."""
    key = table.autoincrement_column
    if connection.dialect.name == POSTGRES and key is not None:
        last = select(func.coalesce(func.max(key), 0) + 1).scalar_subquery()
        name = func.pg_get_serial_sequence(table.name, key.name)
        connection.execute(select(func.setval(name, last, text("false"))))
