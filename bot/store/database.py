"""Open, create and check the database; translate its errors."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    AsyncAdaptedQueuePool,
    Connection,
    Engine,
    ExceptionContext,
    PoolProxiedConnection,
    QueuePool,
    create_engine,
    delete,
    event,
    false,
    inspect,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

import migrations
from bot.errors import StoreError
from bot.store.tables import messages
from model.chat.names import make_printable
from model.errors import describe_error
from model.files import PRIVATE_FILE, locked, make_folder

UPGRADE = "understudy-bot db upgrade"
ANOTHER = "name another file in DATABASE_URL"

_REVISIONS = "alembic_version"  # the table that Alembic keeps


READERS = 4  # threads that read

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], T]


class Database(AsyncEngine):
    """An engine whose write transactions wait for each other here, not in SQLite.

    SQLite allows one writer and lets others poll for its lock, with pauses of up to 100 ms. Here
    writes wait in a queue, in order. A transaction is one call in a thread, because with an
    asynchronous driver each statement takes several thread switches.
    """

    def __init__(self, engine: AsyncEngine, reader: Engine, writer: Engine) -> None:
        """Use `engine` for `begin` and `connect`; a transaction of `writer` is immediate."""
        super().__init__(engine.sync_engine)
        self._reading, self._writing = reader, writer
        self._running = 0
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._waiting: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a transaction runs or waits."""
        return bool(self._running or self._waiting) or (
            isinstance(self.pool, QueuePool) and self.pool.checkedout() > 0
        )

    async def read(self, work: Work[T]) -> T:
        """Run a function in a thread, in a transaction that reads."""

        def run() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, run)
        finally:
            self._running -= 1

    async def write(self, work: Work[T]) -> T:
        """Run a function in the writing thread; return its result after the commit.

        Functions that wait at the same time share one transaction. If one of them fails, all are
        rolled back and each runs again in its own transaction, so `work` must change nothing but
        the database.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_waiting())
        return await future

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Begin an asynchronous transaction, which takes its turn with the other writes."""
        async with self._turn, super().begin() as connection:
            yield connection

    async def dispose(self, close: bool = True) -> None:  # noqa: FBT001, FBT002  SQLAlchemy's own
        """Finish the waiting writes and close all connections."""
        if self._task is not None:
            await asyncio.wait({self._task})
        for threads in (self._readers, self._writer):
            threads.shutdown(wait=False)
        for engine in (self._reading, self._writing):
            await asyncio.to_thread(engine.dispose, close)
        await super().dispose(close)

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            async with self._turn:
                batch = [(work, future) for work, future in self._waiting if not future.done()]
                self._waiting.clear()
                works = [work for work, _ in batch]
                self._running += 1
                outcomes = await loop.run_in_executor(self._writer, self._commit, works)
                self._running -= 1
            for (_, future), (result, error) in zip(batch, outcomes, strict=True):
                if future.done():  # its caller was cancelled
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

    def _commit(self, works: Sequence[Work[Any]]) -> list[tuple[Any, Exception | None]]:
        """Run functions in one transaction; return the result or the error of each."""
        if not works:
            return []
        try:
            with self._writing.begin() as connection:
                return [(work(connection), None) for work in works]
        except Exception as error:  # noqa: BLE001  it is raised where its caller waits
            if len(works) == 1:
                return [(None, error)]
        return [outcome for work in works for outcome in self._commit([work])]


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


async def read_version(url: str) -> Version:
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
            f"{path} cannot be read as a database ({make_printable(str(error.orig))}): {ANOTHER}"
        ) from error


def describe_mismatch(url: str, version: Version) -> str:
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


_DAMAGED = ("is damaged", "stop the bot and put the last `understudy-bot db backup` in its place")
_IN_USE = ("cannot be written", "stop other programs that use it")
_FULL = (
    "cannot be written",
    "make room on its disk; what was kept is safe, and a bot that runs goes on by itself",
)
_MEANINGS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,  # so a full disk shows where the bot is the first to write
    sqlite3.SQLITE_READONLY: (
        "cannot be written",
        f"let the bot's user write it and its folder, or {ANOTHER}",
    ),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written",
        f"look whether its disk is full or failing, and copy the file or {ANOTHER}",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        f"see that the bot's user may read and write it and its folder, or {ANOTHER}",
    ),
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
"""By SQLite's result code (sqlite.org/rescode.html); others are mistakes of the program's own."""
_PRIMARY = 0xFF  # an extended code has its primary one in the lowest byte


def pool_class(path: Path) -> type[AsyncAdaptedQueuePool]:
    """Return a pool class that raises a clear error if no connection becomes free.

    SQLAlchemy's own TimeoutError is not a database error, so `handle_error` never sees it.
    """

    class Pool(AsyncAdaptedQueuePool):
        def connect(self) -> PoolProxiedConnection:
            try:
                return super().connect()
            except PoolTimeout as error:
                raise StoreError(
                    f"the database {path} is busy: no connection was free in time; check whether "
                    "its disk is slow or failing"
                ) from error

    return Pool


def translator(path: Path) -> Callable[[ExceptionContext], StoreError | None]:
    """Return what an engine's `handle_error` does: it puts a clear error in SQLite's place."""

    def translate(context: ExceptionContext) -> StoreError | None:
        error = context.original_exception
        code = getattr(error, "sqlite_errorcode", 0)
        meaning = _MEANINGS.get(code) or _MEANINGS.get(code & _PRIMARY)
        if meaning is None:
            return None
        state, advice = meaning
        return StoreError(f"the database {path} {state} ({error}): {advice}")

    return translate


BUSY_SECONDS = 5
CHECKPOINT_PAGES = 250  # a quarter of SQLite's default
CONNECTION_SECONDS = 30.0  # how long a transaction waits for a free connection
LOCK_SECONDS = 1.0
"""How long a starting bot waits for the lock, which `check` holds for a moment."""
LOG_TRIES, LOG_PAUSE = 20, 0.1  # tries to empty the write-ahead log, and seconds between them

_DATABASE_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def lock_database(url: str) -> Iterator[None]:
    """Lock a database against other bots and upgrades while the block runs.

    Raises:
        StoreError: Another process uses it, or its lock file cannot be made.
    """
    path = database_file(url)
    lock = database_lock(url)
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
    lock = database_lock(url)
    if not lock.exists():
        return False
    try:
        with locked(lock, wait=False) as is_free:
            return not is_free
    except (OSError, NotImplementedError):  # `run` reports the problem
        return False


def wal_file(url: str) -> Path:
    """Return a database's write-ahead log, which need not be there."""
    path = real_file(url)
    return path.with_name(f"{path.name}-wal")


def database_lock(url: str) -> Path:
    """Return the file that locks a database."""
    path = real_file(url)
    return path.with_name(f"{path.name}.lock")


def real_file(url: str) -> Path:
    """Return a database's file, not a link to it: SQLite puts its other files beside that."""
    return Path(os.path.realpath(database_file(url)))


_INCREMENTAL = 2  # what SQLite answers for auto_vacuum

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
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
    _set_up(engine.sync_engine, path, "BEGIN")
    reader = create_engine(
        URL.create("sqlite", database=str(path)), hide_parameters=True, pool_size=READERS
    )
    _set_up(reader, path, "BEGIN")
    database = Database(engine, reader, _create_writer(path))
    try:
        yield database
    finally:
        await database.dispose()


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
            if getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _DATABASE_IN_USE:
                return False
            raise StoreError(f"the write-ahead log cannot be emptied ({error})") from error
        finally:
            await raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    return not is_busy


async def prepare_database(url: str) -> None:
    """Make the database where there is none, and see that it can be written.

    Raises:
        StoreError: It cannot, it is of another version, another program's, or no database.
    """
    version = await read_version(url)
    if version not in {Version.MISSING, Version.CURRENT}:
        raise StoreError(describe_mismatch(url, version))
    await _write(url, _migrate if version is Version.MISSING else _change_nothing)
    await asyncio.to_thread(_enable_incremental_vacuum, database_file(url))


async def upgrade_database(url: str) -> bool:
    """Migrate the database, creating it if necessary; return whether anything was to do.

    Raises:
        StoreError: It cannot be written, is of a newer version or another program, is no database,
            or a bot uses it.
    """
    version = await read_version(url)
    if version in {Version.NEWER, Version.FOREIGN}:
        raise StoreError(describe_mismatch(url, version))
    if version is not Version.CURRENT:
        with lock_database(url):
            await _write(url, _migrate)
            await asyncio.to_thread(_enable_incremental_vacuum, database_file(url))
    return version is not Version.CURRENT


async def _write(url: str, change: Callable[[Connection], None]) -> None:
    """Run a change in one transaction, so that a failure leaves all as it was."""
    try:
        async with open_database(url) as engine, engine.begin() as connection:
            await connection.run_sync(change)
    except OperationalError as error:
        raise StoreError(
            f"the database {database_file(url)} cannot be written "
            f"({make_printable(str(error.orig))}): stop other programs that use it, free space, "
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


def _create_writer(path: Path) -> Engine:
    """Return an engine for write transactions in threads; each takes the write lock at once.

    It writes most pages of the log back to the database itself, so that other writers need not.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)), hide_parameters=True)
    _set_up(engine, path, "BEGIN IMMEDIATE", f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    return engine


def _set_up(engine: Engine, path: Path, begin: str, *pragmas: str) -> None:
    """Set up an engine's connections; transactions begin when SQLAlchemy says so, even for DDL."""

    def on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401  SQLAlchemy's adapter
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "PRAGMA auto_vacuum=INCREMENTAL",  # a new file needs this before its first page
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=NORMAL",
            "PRAGMA foreign_keys=ON",
            "PRAGMA secure_delete=ON",
            f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}",
            *pragmas,
        ):
            cursor.execute(pragma)
        cursor.close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    event.listen(engine, "handle_error", translator(path), retval=True)
