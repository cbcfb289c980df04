"""The database file: made, opened, checked for its version and brought up to date."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import migrations
from bot.errors import StoreError
from model.files import PRIVATE_FILE, make_folder

BUSY_SECONDS = 5
UPGRADE = "understudy-bot db upgrade"


class Version(Enum):
    """How a database's schema stands to this program's."""

    MISSING = "missing"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def database_file(url: str) -> Path:
    """Return the file that a database's URL names."""
    return Path(make_url(url).database or "")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncEngine]:
    """Open an engine while the block runs; it hides values from its error texts."""
    _make_private(database_file(url))
    engine = create_async_engine(url, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    try:
        yield engine
    finally:
        await engine.dispose()


async def version_of(url: str) -> Version:
    """Compare a database with this program; nothing is made.

    Raises:
        StoreError: The file is no database.
    """
    if not await asyncio.to_thread(database_file(url).is_file):
        return Version.MISSING
    try:
        async with opened(url) as engine, engine.connect() as connection:
            return await connection.run_sync(_version)
    except DBAPIError as error:
        raise StoreError(
            f"{database_file(url)} cannot be read as a database: {error.orig}"
        ) from error


async def prepare(url: str) -> None:
    """Make the database where there is none.

    Raises:
        StoreError: It is of an older or a newer version, or no database.
    """
    version = await version_of(url)
    if version is Version.MISSING:
        await _migrate(url)
    elif version is not Version.CURRENT:
        raise StoreError(complaint(url, version))


async def upgrade(url: str) -> bool:
    """Bring the database up to date, making it where there is none; return whether it was not.

    Raises:
        StoreError: It is of a newer version, or no database.
    """
    version = await version_of(url)
    if version is Version.NEWER:
        raise StoreError(complaint(url, version))
    if version is not Version.CURRENT:
        await _migrate(url)
    return version is not Version.CURRENT


def complaint(url: str, version: Version) -> str:
    """Say what is wrong with a database's version and what to do."""
    if version is Version.NEWER:
        return (
            f"the database {database_file(url)} was made by a newer version of understudy: "
            "install that one, or name another file in DATABASE_URL"
        )
    return (
        f"the database {database_file(url)} is of an older version: stop the bot, keep a copy "
        f"of the file and run `{UPGRADE}`"
    )


def _config(connection: Connection | None = None) -> Config:
    """Return Alembic's settings, its scripts found wherever the package is installed."""
    config = Config()
    folder = Path(migrations.__file__).parent
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _version(connection: Connection) -> Version:
    revision = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config())
    if revision == scripts.get_current_head():
        return Version.CURRENT
    if revision is None:
        return Version.OLDER if inspect(connection).get_table_names() else Version.MISSING
    known = {script.revision for script in scripts.walk_revisions()}
    return Version.OLDER if revision in known else Version.NEWER


async def _migrate(url: str) -> None:
    """Run the migrations in one transaction, so that a failure leaves all as it was."""
    async with opened(url) as engine, engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), "head"))


def _make_private(path: Path) -> None:
    """Make the file where there is none, and let only its owner read it.

    SQLite gives the files -wal and -shm the permissions of the database itself.
    """
    make_folder(path.parent)
    path.touch(mode=PRIVATE_FILE)
    for suffix in ("", "-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.chmod(PRIVATE_FILE)


def _on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401  SQLAlchemy's adapter
    """Set a new connection up; transactions begin where SQLAlchemy says, DDL included."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
