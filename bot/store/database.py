"""The database file: made, opened and brought up to date."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import Connection, delete, event, false
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bot.errors import StoreError
from bot.store.failures import pool_class, translator
from bot.store.tables import messages
from bot.store.version import (
    ANOTHER,
    Version,
    alembic_config,
    complaint,
    database_file,
    version_of,
)
from model.files import PRIVATE_FILE, locked, make_folder
from model.naming import visible

BUSY_SECONDS = 5
CONNECTION_SECONDS = 30.0  # how long a transaction waits for a free connection
LOCK_SECONDS = 1.0
"""How long a starting bot waits for the lock, which `check` holds for a moment."""
LOG_TRIES, LOG_PAUSE = 20, 0.1  # tries to empty the write-ahead log, and seconds between them

_PRIMARY = 0xFF  # an extended code has its primary one in the lowest byte
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def lock_database(url: str) -> Iterator[None]:
    """Lock a database against other bots and upgrades while the block runs.

    Raises:
        StoreError: Another process uses it, or its lock file cannot be made.
    """
    path = database_file(url)
    lock = lock_file(url)
    with ExitStack() as stack:
        try:
            is_ours = stack.enter_context(locked(lock, wait=LOCK_SECONDS))
        except (OSError, NotImplementedError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no file can be locked there"
            raise StoreError(f"the lock {lock} cannot be taken ({reason}): {ANOTHER}") from error
        if not is_ours:
            raise StoreError(
                f"another understudy-bot uses the database {path}: stop that one first, "
                f"or {ANOTHER}"
            )
        yield


def is_locked(url: str) -> bool:
    """Whether a bot or an upgrade uses a database now; makes no file."""
    lock = lock_file(url)
    if not lock.exists():
        return False
    try:
        with locked(lock, wait=False) as is_free:
            return not is_free
    except (OSError, NotImplementedError):  # `run` reports the problem
        return False


def log_file(url: str) -> Path:
    """Return a database's write-ahead log, which need not be there."""
    path = real_file(url)
    return path.with_name(f"{path.name}-wal")


def lock_file(url: str) -> Path:
    """Return the file that locks a database."""
    path = real_file(url)
    return path.with_name(f"{path.name}.lock")


def real_file(url: str) -> Path:
    """Return a database's file, not a link to it: SQLite puts its other files beside that."""
    return Path(os.path.realpath(database_file(url)))


_INCREMENTAL = 2  # what SQLite answers for auto_vacuum

logger = logging.getLogger(__name__)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncEngine]:
    """Open an engine while the block runs; it hides values from its error texts.

    A full disk and the like are StoreErrors, whatever the engine is asked.

    Raises:
        StoreError: There can be no such file.
    """
    path = real_file(url)
    await asyncio.to_thread(_make_private, path)
    engine = create_async_engine(
        make_url(url).set(database=str(path)),
        hide_parameters=True,
        poolclass=pool_class(path),
        pool_timeout=CONNECTION_SECONDS,
    )
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    event.listen(engine.sync_engine, "handle_error", translator(path), retval=True)
    try:
        yield engine
    finally:
        await engine.dispose()


async def truncate_log(engine: AsyncEngine) -> bool:
    """Empty the write-ahead log, in which deleted words can still be read.

    Returns False if others use the database all the time, as a backup does.

    Raises:
        StoreError: The database cannot be written.
    """
    for _ in range(LOG_TRIES):
        if await _try_truncate(engine):
            return True
        await asyncio.sleep(LOG_PAUSE)
    return False


async def _try_truncate(engine: AsyncEngine) -> bool:
    """Try once to empty the log, without waiting: SQLite would block all writers meanwhile."""
    async with engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        try:
            await raw.execute("PRAGMA busy_timeout=0")
            async with raw.execute("PRAGMA wal_checkpoint(TRUNCATE)") as cursor:
                is_busy, *_ = await cursor.fetchone()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _IN_USE:
                return False
            raise StoreError(f"the write-ahead log cannot be emptied ({error})") from error
        finally:
            await raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    return not is_busy


async def prepare(url: str) -> None:
    """Make the database where there is none, and see that it can be written.

    Raises:
        StoreError: It cannot, it is of another version, another program's, or no database.
    """
    version = await version_of(url)
    if version not in {Version.MISSING, Version.CURRENT}:
        raise StoreError(complaint(url, version))
    await _write(url, _migrate if version is Version.MISSING else _change_nothing)
    await asyncio.to_thread(_enable_incremental_vacuum, database_file(url))


async def upgrade(url: str) -> bool:
    """Migrate the database, creating it if necessary; return whether anything was to do.

    Raises:
        StoreError: It cannot be written, is of a newer version or another program, is no database,
            or a bot uses it.
    """
    version = await version_of(url)
    if version in {Version.NEWER, Version.FOREIGN}:
        raise StoreError(complaint(url, version))
    if version is not Version.CURRENT:
        with lock_database(url):
            await _write(url, _migrate)
            await asyncio.to_thread(_enable_incremental_vacuum, database_file(url))
    return version is not Version.CURRENT


async def _write(url: str, change: Callable[[Connection], None]) -> None:
    """Run a change in one transaction, so that a failure leaves all as it was."""
    try:
        async with opened(url) as engine, engine.begin() as connection:
            await connection.run_sync(change)
    except OperationalError as error:
        raise StoreError(
            f"the database {database_file(url)} cannot be written "
            f"({visible(str(error.orig))}): stop other programs that use it, free space, "
            f"or {ANOTHER}"
        ) from error


def _migrate(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")


def _change_nothing(connection: Connection) -> None:
    """Let SQLite begin to write; it asks for the right to before it looks for rows."""
    connection.execute(delete(messages).where(false()))


def _enable_incremental_vacuum(path: Path) -> None:
    """Rebuild a database of an earlier version once, so that free pages can be returned in steps.

    If that fails, for example on a full disk, the database works as before.
    """
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        try:
            if connection.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                connection.execute("VACUUM")
        except sqlite3.Error as error:
            kind = type(error).__name__
            logger.warning("the database file cannot shrink yet (%s)", kind)


def _make_private(path: Path) -> None:
    """Make the file where there is none, and let only its owner read it.

    SQLite gives the files -wal and -shm the permissions of the database itself.
    """
    try:
        make_folder(path.parent)
        path.touch(mode=PRIVATE_FILE)
        for suffix in ("", "-wal", "-shm"):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                beside.chmod(PRIVATE_FILE)
    except OSError as error:
        raise StoreError(
            f"the database {path} cannot be made or kept private ({error.strerror}): {ANOTHER}"
        ) from error


def _on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401  SQLAlchemy's adapter
    """Set a new connection up; transactions begin where SQLAlchemy says, DDL included."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")  # a new file needs this before its first page
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
