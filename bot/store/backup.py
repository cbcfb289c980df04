"""Back up the database, and read the rows for a dump."""

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Select, select

from bot.errors import StoreError
from bot.store.database import (
    Database,
    Version,
    database_file,
    describe_mismatch,
    is_postgres,
    read_version,
)
from bot.store.messages import FIELDS, IS_FORGOTTEN, message_from_row
from bot.store.sqlite import BUSY_SECONDS
from bot.store.tables import forgotten, messages
from model.chat.conversation import Message
from model.errors import describe_error
from model.files import PRIVATE_FILE, temporary_folder


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message, and the time of its last edit if any."""

    message: Message
    edited_at: datetime | None


class DumpReader:
    """Reads the store; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def authors(self) -> dict[int, frozenset[int]]:
        """Return the authors of stored messages by chat; a private chat has the id of its user."""
        query = select(messages.c.chat_id, messages.c.author_id).distinct()
        query = query.where(messages.c.chat_id < 0)
        found: dict[int, set[int]] = {}
        for row in await self._database.read(lambda connection: connection.execute(query).all()):
            found.setdefault(row.chat_id, set()).add(row.author_id)
        return {chat_id: frozenset(authors) for chat_id, authors in found.items()}

    async def messages(self, chat_id: int) -> list[StoredMessage]:
        """Return the stored messages of a chat that are not forgotten, by time, then id."""
        query: Select[Any] = (
            select(*FIELDS, messages.c.edited_at)
            .where(messages.c.chat_id == chat_id, ~IS_FORGOTTEN)
            .order_by(messages.c.sent_at, messages.c.message_id)
        )

        def load(connection: Connection) -> list[StoredMessage]:
            rows = connection.execute(query)
            return [StoredMessage(message_from_row(row), row.edited_at) for row in rows]

        return await self._database.read(load)

    async def forgotten(self, chat_id: int) -> list[int]:
        """Return the ids of a chat's forgotten messages."""
        query = select(forgotten.c.message_id).where(forgotten.c.chat_id == chat_id)
        return await self._database.read(lambda one: sorted(one.execute(query).scalars()))


_COUNT = f"SELECT count(*) FROM {messages.name}"  # noqa: S608  our own name


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished copy: where it is, its size in bytes, and its number of messages."""

    path: Path
    size: int
    messages: int


async def back_up(url: str, target: Path, *, force: bool = False) -> Backup:
    """Copy a database into a file that only its owner can read; a failure leaves no file.

    The copy contains no erased text: SQLite writes it row by row.

    Raises:
        StoreError: There is no database of this program, or the copy cannot be written there.
    """
    if is_postgres(url):
        raise StoreError("this database is on a PostgreSQL server: back it up with pg_dump")
    version = await read_version(url)
    if version is Version.MISSING:
        raise StoreError(
            f"there is no database {database_file(url)} yet, so there is nothing to back up"
        )
    if version is Version.FOREIGN:
        raise StoreError(describe_mismatch(url, version))
    return await asyncio.to_thread(_back_up, database_file(url), target, force=force)


def _back_up(source: Path, target: Path, *, force: bool) -> Backup:
    try:
        _check_target(source, target, force=force)
        _read(source)
        return _copy(source, target)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{source} cannot be copied to {target} ({describe_error(error)}): choose a file in a "
            "writable folder with enough free space"
        ) from error


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    """Raise StoreError if the copy must not be written there."""
    real = source.resolve()  # SQLite puts its other files beside the file, not beside a link
    in_use = [source, *(real.with_name(f"{real.name}{end}") for end in ("-wal", "-shm"))]
    if any(_is_same_file(file, target) for file in in_use):
        raise StoreError(f"{target} is the database itself: choose another file for its copy")
    if target.is_dir():
        raise StoreError(
            f"{target} is a folder: choose a file in it, such as {target / source.name}"
        )
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent}: create it, or choose another")
    if os.path.lexists(target) and not (force and target.is_file()):
        raise StoreError(
            f"{target} already exists: choose another file, or replace it with --force"
        )


def _is_same_file(file: Path, target: Path) -> bool:
    if file.exists() and target.exists():
        return file.samefile(target)
    return file.resolve() == target.resolve()


def _read(source: Path) -> None:
    """Raise StoreError if SQLite cannot read, for which it creates files in the folder."""
    try:
        with closing(_connect(source)) as connection:
            connection.execute(_COUNT)
    except sqlite3.Error as error:
        raise StoreError(
            f"{source} cannot be read ({describe_error(error)}): free space on its disk, give the "
            "bot's user write access to its folder, or stop the bot and copy the file yourself"
        ) from error


def _copy(source: Path, target: Path) -> Backup:
    """Write the copy into a temporary folder; move it when it is complete and on the disk."""
    with temporary_folder(target.parent, target.name) as folder:
        beside = folder / "new"
        with beside.open("xb") as file:
            os.fchmod(file.fileno(), PRIVATE_FILE)
            with closing(_connect(source)) as connection:
                connection.execute("VACUUM INTO ?", (str(beside),))
            with closing(_connect(beside)) as connection:
                [count] = connection.execute(_COUNT).fetchone()
            os.fsync(file.fileno())
        size = beside.stat().st_size
        beside.replace(target)
    return Backup(target, size, count)


def _connect(path: Path) -> sqlite3.Connection:
    """Open an existing database."""
    address = f"file:{quote(str(path.absolute()))}?mode=rw"
    return sqlite3.connect(address, timeout=BUSY_SECONDS, isolation_level=None, uri=True)
