"""Whose a database is and how old: asked of the file without touching it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from urllib.parse import quote

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import migrations
from bot.errors import StoreError
from bot.store.tables import messages
from model.errors import describe_error
from model.naming import visible

UPGRADE = "understudy-bot db upgrade"
ANOTHER = "name another file in DATABASE_URL"

_REVISIONS = "alembic_version"  # the table that Alembic keeps


class Version(Enum):
    """How a database's schema stands to this program's."""

    MISSING = "missing"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"
    FOREIGN = "foreign"


def database_file(url: str) -> Path:
    """Return the file that a database's URL names."""
    return Path(make_url(url).database or "")


async def version_of(url: str) -> Version:
    """Compare a database with this program; nothing is made or changed.

    Raises:
        StoreError: It is no database, or none can be written there.
    """
    path = database_file(url)
    if not await asyncio.to_thread(_is_there, path):
        return Version.MISSING
    try:
        async with read_only(path) as engine, engine.connect() as connection:
            return await connection.run_sync(_version)
    except DBAPIError as error:
        raise StoreError(
            f"{path} cannot be read as a database ({visible(str(error.orig))}): {ANOTHER}"
        ) from error


def complaint(url: str, version: Version) -> str:
    """Say what is wrong with a database's version and what to do."""
    path = database_file(url)
    if version is Version.FOREIGN:
        return f"{path} is another program's database: {ANOTHER}"
    if version is Version.NEWER:
        return (
            f"the database {path} was made by a newer version of understudy: install that one, "
            f"or {ANOTHER}"
        )
    return (
        f"the database {path} is of an older version: stop the bot, keep a copy "
        f"(`understudy-bot db backup FILE`) and run `{UPGRADE}`"
    )


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's settings, its scripts found wherever the package is installed."""
    config = Config()
    folder = Path(migrations.__file__).parent
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _is_there(path: Path) -> bool:
    """Return whether there is a file.

    Raises:
        StoreError: Something else is there, or no file can be written.
    """
    try:
        if path.exists() and not path.is_file():
            raise StoreError(f"the database {path} is there and is no file: {ANOTHER}")
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if not above.is_dir():
            raise StoreError(f"the database {path} cannot be made below a file: {ANOTHER}")
        if not os.access(above, os.W_OK | os.X_OK):
            raise StoreError(f"the database {path} is in a folder that is not yours: {ANOTHER}")
        return path.exists()
    except OSError as error:
        raise StoreError(
            f"the database {path} cannot be reached ({describe_error(error)}): {ANOTHER}"
        ) from error


@asynccontextmanager
async def read_only(path: Path) -> AsyncIterator[AsyncEngine]:
    """Open an engine that reads, and makes no file beside the database.

    SQLite would make -wal and -shm for a reader too, unless told that nobody writes: true where
    there is no -wal.
    """
    beside = path.with_name(f"{path.name}-wal")
    way = "mode" if await asyncio.to_thread(beside.exists) else "immutable"
    query = {"uri": "true", way: {"mode": "ro", "immutable": "1"}[way]}
    url = URL.create("sqlite+aiosqlite", database=f"file:{quote(str(path))}", query=query)
    engine = create_async_engine(url, hide_parameters=True)
    try:
        yield engine
    finally:
        await engine.dispose()


def _version(connection: Connection) -> Version:
    revisions = MigrationContext.configure(connection).get_current_heads()
    if not revisions and not set(inspect(connection).get_table_names()) - {_REVISIONS}:
        return Version.MISSING
    if len(revisions) != 1 or not _is_ours(connection):
        return Version.FOREIGN
    scripts = ScriptDirectory.from_config(alembic_config())
    if revisions[0] == scripts.get_current_head():
        return Version.CURRENT
    known = {script.revision for script in scripts.walk_revisions()}
    return Version.OLDER if revisions[0] in known else Version.NEWER


def _is_ours(connection: Connection) -> bool:
    """Whether there is a table like that of messages, which all versions have.

    Revision ids tell nothing: many programs call their first one 0001.
    """
    inspector = inspect(connection)
    if not inspector.has_table(messages.name):
        return False
    found = {column["name"] for column in inspector.get_columns(messages.name)}
    return found.issuperset(column.name for column in messages.primary_key)
