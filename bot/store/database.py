"""Open, create, check and lock the database; translate its errors."""

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    delete,
    event,
    false,
    inspect,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

import migrations
from bot.errors import StoreError
from bot.store.tables import messages
from model.chat.names import make_printable
from model.errors import describe_error
from model.files import PRIVATE_FILE, locked, make_folder

UPGRADE = "understudy-bot db upgrade"
ANOTHER = "name another file in DATABASE_URL"
BUSY_SECONDS = 5
READERS = 4  # threads that read
CHECKPOINT_PAGES = 250  # a quarter of SQLite's default
LOCK_SECONDS = 1.0
"""How long a starting bot waits for the lock; `understudy-bot check` may hold it briefly."""
LOG_TRIES, LOG_PAUSE = 20, 0.1  # tries to empty the write-ahead log, and seconds between them

_REVISIONS = "alembic_version"  # the table that Alembic keeps
_INCREMENTAL = 2  # SQLite's number for auto_vacuum=INCREMENTAL
_DATABASE_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PRIMARY = 0xFF  # the lowest byte of an extended result code is its primary code

_DAMAGED = ("is damaged", "stop the bot and replace it with the last `understudy-bot db backup`")
_IN_USE = ("cannot be written", "stop other programs that use it")
_FULL = (
    "cannot be written",
    "free space on its disk; stored messages are safe, and a running bot continues on its own",
)
_MEANINGS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,  # a full disk if the bot is the first to write
    sqlite3.SQLITE_READONLY: (
        "cannot be written",
        f"give the bot's user write access to it and its folder, or {ANOTHER}",
    ),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written",
        f"check whether its disk is full or failing, and copy the file or {ANOTHER}",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        f"give the bot's user read and write access to it and its folder, or {ANOTHER}",
    ),
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
"""State and advice by SQLite's result code (sqlite.org/rescode.html).

Other codes are errors in this program.
"""

logger = logging.getLogger(__name__)

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], T]


class Version(Enum):
    """How a database's schema compares with this program's."""

    MISSING = "missing"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"
    FOREIGN = "foreign"


class Database:
    """Runs transactions, each of which is a function: reads in some threads, writes in one.

    SQLite allows only one writer; the others poll for its lock, with pauses of up to 100 ms. All
    writes of this process wait in a queue instead, and so never find the database locked. No
    transaction waits for the event loop, which may be blocked.
    """

    def __init__(self, path: Path, reader: Engine, writer: Engine) -> None:
        """Use engines for a file; a transaction of `writer` takes the write lock when it begins."""
        self.path = path
        self.write_lock = threading.Lock()
        """Held while this process writes; other connections of this process must take it too."""
        self.after_close: list[Callable[[], object]] = []
        """Called in a thread when all connections are closed."""
        self._reading, self._writing = reader, writer
        self._running = 0
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._waiting: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a transaction runs or waits."""
        return bool(self._running or self._waiting)

    async def read(self, work: Work[T]) -> T:
        """Run a function in a thread, in a transaction that reads."""

        def run() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        return await self._run(self._readers, run)

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

    async def wait_for_writer(self) -> None:
        """Wait until the writing thread has nothing to do; it does not return if that hangs."""

        def take_turn() -> None:
            with self.write_lock:
                pass

        await self._run(self._writer, take_turn)

    async def truncate_log(self) -> bool:
        """Empty the write-ahead log, in which deleted text can still be read.

        Returns False if another program, such as a backup, keeps the database busy.

        Raises:
            StoreError: The database cannot be written.
        """
        for _ in range(LOG_TRIES):
            if await self._run(self._writer, self._truncate_log):
                return True
            await asyncio.sleep(LOG_PAUSE)
        return False

    async def close(self) -> None:
        """Finish the waiting writes and close all connections."""
        if self._task is not None:
            await asyncio.wait({self._task})
        for threads in (self._readers, self._writer):
            await asyncio.to_thread(threads.shutdown)
        for close in (self._reading.dispose, self._writing.dispose, *self.after_close):
            await asyncio.to_thread(close)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        finally:
            self._running -= 1

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch = [(work, future) for work, future in self._waiting if not future.done()]
            self._waiting.clear()
            works = [work for work, _ in batch]
            outcomes = await self._run(self._writer, partial(self._commit, works))
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
            with self.write_lock, self._writing.begin() as connection:
                return [(work(connection), None) for work in works]
        except Exception as error:  # noqa: BLE001  the waiting caller gets it
            if len(works) == 1:
                return [(None, error)]
        return [outcome for work in works for outcome in self._commit([work])]

    def _truncate_log(self) -> bool:
        with self.write_lock, self._writing.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA busy_timeout=0")  # else SQLite blocks all writers
            try:
                [is_busy, *_] = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                if error.sqlite_errorcode & _PRIMARY not in _DATABASE_IN_USE:
                    raise StoreError(f"the write-ahead log cannot be emptied ({error})") from error
                is_busy = True
            finally:
                raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        return not is_busy


def database_file(url: str) -> Path:
    """Return the file that a database's URL names."""
    return Path(make_url(url).database or "")


def real_file(url: str) -> Path:
    """Return a database's file with links resolved; SQLite puts its other files beside it."""
    return Path(os.path.realpath(database_file(url)))


def wal_file(url: str) -> Path:
    """Return the path of a database's write-ahead log, which may not exist."""
    return _sibling(real_file(url), "-wal")


async def read_version(url: str) -> Version:
    """Compare a database with this program; nothing is created or changed.

    Raises:
        StoreError: The file is not a database, or cannot be created there.
    """
    path = database_file(url)

    def read() -> Version:
        if not _file_exists(path):
            return Version.MISSING
        with open_read_only(path) as engine, engine.connect() as connection:
            return _read_version(connection)

    try:
        return await asyncio.to_thread(read)
    except DBAPIError as error:
        raise StoreError(
            f"{path} cannot be read as a database ({make_printable(str(error.orig))}): {ANOTHER}"
        ) from error


def describe_mismatch(url: str, version: Version) -> str:
    """Describe what is wrong with a database's version and what to do."""
    path = database_file(url)
    if version is Version.FOREIGN:
        return f"{path} is another program's database: {ANOTHER}"
    if version is Version.NEWER:
        return (
            f"the database {path} was created by a newer version of understudy: install that "
            f"version, or {ANOTHER}"
        )
    return (
        f"the database {path} has an older schema: stop the bot, keep a copy "
        f"(`understudy-bot db backup FILE`) and run `{UPGRADE}`"
    )


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's settings; its scripts are found wherever the package is installed."""
    config = Config()
    folder = Path(migrations.__file__).parent
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


async def prepare_database(url: str) -> None:
    """Create the database if it does not exist, and check that it can be written.

    Raises:
        StoreError: It cannot be written, has another version, belongs to another program, or is
            not a database.
    """
    version = await read_version(url)
    if version not in {Version.MISSING, Version.CURRENT}:
        raise StoreError(describe_mismatch(url, version))
    await _write(url, migrate=version is Version.MISSING)


async def upgrade_database(url: str) -> bool:
    """Migrate the database, creating it if necessary; return whether anything changed.

    Raises:
        StoreError: It cannot be written, is of a newer version, belongs to another program, is not
            a database, or a bot uses it.
    """
    version = await read_version(url)
    if version in {Version.NEWER, Version.FOREIGN}:
        raise StoreError(describe_mismatch(url, version))
    if version is not Version.CURRENT:
        with lock_database(url):
            await _write(url, migrate=True)
    return version is not Version.CURRENT


@contextmanager
def lock_database(url: str) -> Iterator[None]:
    """Lock a database against other bots and upgrades while the block runs.

    Raises:
        StoreError: Another process uses it, or its lock file cannot be created.
    """
    lock = _sibling(real_file(url), ".lock")
    with ExitStack() as stack:
        try:
            is_ours = stack.enter_context(locked(lock, wait=LOCK_SECONDS))
        except (OSError, NotImplementedError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no file can be locked there"
            raise StoreError(f"the lock {lock} cannot be taken ({reason}): {ANOTHER}") from error
        if not is_ours:
            raise StoreError(
                f"another understudy-bot uses the database {database_file(url)}: stop that one "
                f"first, or {ANOTHER}"
            )
        yield


def is_locked(url: str) -> bool:
    """Whether a bot or an upgrade uses a database now; creates no file."""
    lock = _sibling(real_file(url), ".lock")
    if not lock.exists():
        return False
    try:
        with locked(lock, wait=False) as is_free:
            return not is_free
    except (OSError, NotImplementedError):  # `run` reports the problem
        return False


@contextmanager
def open_read_only(path: Path) -> Iterator[Engine]:
    """Open an engine that only reads and creates no files.

    Even for a reader SQLite creates -wal and -shm files, unless it is told that the database is
    immutable. This is true if there is no -wal file.
    """
    has_log = _sibling(path, "-wal").exists()
    query = {"uri": "true", **({"mode": "ro"} if has_log else {"immutable": "1"})}
    url = URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)
    engine = create_engine(url, hide_parameters=True)
    try:
        yield engine
    finally:
        engine.dispose()


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open a database while the block runs; error texts contain no values.

    All its methods raise StoreError for errors of SQLite, such as a full disk.

    Raises:
        StoreError: The file cannot be created.
    """
    path = real_file(url)
    await asyncio.to_thread(_make_private, path)
    address = URL.create("sqlite", database=str(path))
    reader = create_engine(address, hide_parameters=True, pool_size=READERS)
    _set_up(reader, path, "BEGIN")
    # The writer checkpoints early: a large erasure fills the log quickly.
    writer = create_engine(address, hide_parameters=True)
    _set_up(writer, path, "BEGIN IMMEDIATE", f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    database = Database(path, reader, writer)
    try:
        yield database
    finally:
        await database.close()


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


def _file_exists(path: Path) -> bool:
    """Return whether there is a file.

    Raises:
        StoreError: The path is not a file, or no file can be created there.
    """
    try:
        if path.exists() and not path.is_file():
            raise StoreError(f"the database {path} is not a file: {ANOTHER}")
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir():
            raise StoreError(f"the database {path} cannot be created below a file: {ANOTHER}")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise StoreError(f"the database {path} is in a folder that is not yours: {ANOTHER}")
        return path.exists()
    except OSError as error:
        raise StoreError(
            f"the database {path} cannot be reached ({describe_error(error)}): {ANOTHER}"
        ) from error


def _read_version(connection: Connection) -> Version:
    revisions = MigrationContext.configure(connection).get_current_heads()
    inspector = inspect(connection)
    if not revisions and not set(inspector.get_table_names()) - {_REVISIONS}:
        return Version.MISSING
    # Many programs call their first revision 0001, so also look for our table of messages.
    has_messages = inspector.has_table(messages.name)
    columns = inspector.get_columns(messages.name) if has_messages else []
    names = {column["name"] for column in columns}
    if len(revisions) != 1 or not names.issuperset(c.name for c in messages.primary_key):
        return Version.FOREIGN
    scripts = ScriptDirectory.from_config(alembic_config())
    if revisions[0] == scripts.get_current_head():
        return Version.CURRENT
    existing = {script.revision for script in scripts.walk_revisions()}
    return Version.OLDER if revisions[0] in existing else Version.NEWER


async def _write(url: str, *, migrate: bool) -> None:
    """Migrate the database, or only check that it can be written, in one transaction."""

    def change(connection: Connection) -> None:
        if migrate:
            command.upgrade(alembic_config(connection), "head")
        else:  # deletes nothing, but SQLite must take the write lock for it
            connection.execute(delete(messages).where(false()))

    path = database_file(url)
    try:
        async with open_database(url) as database:
            await database.write(change)
    except OperationalError as error:
        raise StoreError(
            f"the database {path} cannot be written ({make_printable(str(error.orig))}): stop "
            f"other programs that use it, free space, or {ANOTHER}"
        ) from error
    await asyncio.to_thread(_enable_incremental_vacuum, path)


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
    """Create the file if it does not exist, readable by its owner only.

    SQLite gives the files -wal and -shm the permissions of the database itself.
    """
    try:
        make_folder(path.parent)
        path.touch(mode=PRIVATE_FILE)
        for suffix in ("", "-wal", "-shm"):
            if _sibling(path, suffix).exists():
                _sibling(path, suffix).chmod(PRIVATE_FILE)
    except OSError as error:
        raise StoreError(
            f"the database {path} cannot be created or made private ({error.strerror}): {ANOTHER}"
        ) from error


def _set_up(engine: Engine, path: Path, begin: str, *pragmas: str) -> None:
    """Set an engine's pragmas, how its transactions begin, and how its errors are translated."""

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

    def translate(context: ExceptionContext) -> StoreError | None:
        error = context.original_exception
        code = getattr(error, "sqlite_errorcode", 0)
        meaning = _MEANINGS.get(code) or _MEANINGS.get(code & _PRIMARY)
        if meaning is None:
            return None
        state, advice = meaning
        return StoreError(f"the database {path} {state} ({error}): {advice}")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    event.listen(engine, "handle_error", translate, retval=True)
