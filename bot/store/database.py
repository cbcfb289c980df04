"""Create, check, lock and open the bot's database, and run its transactions."""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, delete, false, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

import migrations
from bot.errors import StoreError, SupersededError
from bot.store.backend import ANOTHER, POSTGRES, READERS, Backend
from bot.store.sqlite import SqliteFile
from bot.store.tables import inbox, messages
from model.chat.names import make_printable

UPGRADE = "understudy-bot db upgrade"
LOG_TRIES, LOG_PAUSE = 20, 0.1  # tries to empty the write-ahead log, and seconds between them

_REVISIONS = "alembic_version"  # the table that Alembic keeps
_UNRELEASED = re.compile(r"00\d\d")  # the revisions before 0.1.0

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], T]


class Version(Enum):
    """How a database's schema compares with this program's."""

    MISSING = "missing"
    UNRELEASED = "unreleased"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"
    FOREIGN = "foreign"


class Database:
    """Runs transactions, each of which is a function: reads in some threads, writes in one.

    SQLite allows only one writer; the others poll for its lock, with pauses of up to 100 ms. All
    writes of this process wait in a queue instead, and so never find the database locked. On
    PostgreSQL too, the store relies on a single writer. No transaction waits for the event loop,
    which may be blocked.
    """

    def __init__(self, backend: Backend) -> None:
        """Open the engines of a backend."""
        self.backend = backend
        self.starts: dict[int, int] = {}
        """How often each update that this process handles was started, this time included."""
        self.must_vacuum = True
        """Set by each transaction that erases text, in the writing thread; see `Vacuum`."""
        self.last_update_at = time.monotonic()
        """When updates last arrived, by the monotonic clock."""
        self._reading, self._writing = backend.make_reader(), backend.make_writer()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._urgent: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._background: deque[tuple[Work[Any], asyncio.Future[Any]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def read(self, work: Work[T]) -> T:
        """Run a function in a thread, in a transaction that reads."""

        def run() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        return await _run(self._readers, run)

    async def write(self, work: Work[T], *, is_urgent: bool = True) -> T:
        """Run a function in the writing thread; return its result after the commit.

        Functions that wait at the same time share one transaction. If one of them fails, all are
        rolled back and each runs again in its own transaction, so `work` must change nothing but
        the database. A function that is not urgent runs in its own transaction, after the urgent
        ones that wait.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        (self._urgent if is_urgent else self._background).append((work, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_waiting())
        return await future

    def check_is_own(self, connection: Connection, update_id: int) -> None:
        """Check that no other process has started an update since this one did.

        Another process does that if this one was silent for too long.

        Raises:
            SupersededError: One has: nothing may be stored for the update.
        """
        own = self.starts.get(update_id)
        if own is None or not self.backend.is_shared:
            return
        query = select(inbox.c.begun).where(inbox.c.update_id == update_id)
        if connection.execute(query).scalar() != own:
            raise SupersededError(f"another process is handling update {update_id}")

    async def wait_for_writer(self) -> None:
        """Wait until the writing thread has nothing to do; it does not return if that hangs."""
        await _run(self._writer, lambda: None)

    async def truncate_log(self) -> bool:
        """Empty the write-ahead log, in which deleted text can still be read.

        Returns False if another program, such as a backup, keeps the database busy.

        Raises:
            StoreError: The database cannot be written.
        """
        truncate = partial(self.backend.truncate_log, self._writing)
        for _ in range(LOG_TRIES):
            if await _run(self._writer, truncate):
                return True
            await asyncio.sleep(LOG_PAUSE)
        return False

    async def vacuum(self) -> None:
        """Remove erased rows from the files; transactions that write wait until it ends.

        Raises:
            StoreError: The disk is full, or other programs keep the database busy.
        """

        def vacuum() -> None:
            self.must_vacuum = False
            try:
                self.backend.vacuum(self._writing)
            except StoreError:
                self.must_vacuum = True
                raise

        await _run(self._writer, vacuum)

    async def close(self) -> None:
        """Finish the waiting writes and close all connections."""
        if self._task is not None:
            await asyncio.wait({self._task})
        for threads in (self._readers, self._writer):
            await asyncio.to_thread(threads.shutdown)
        for engine in (self._reading, self._writing):
            await asyncio.to_thread(engine.dispose)

    async def _write_waiting(self) -> None:
        while self._urgent or self._background:
            urgent, self._urgent = self._urgent, []
            await self._write_together(urgent)
            if self._background:
                await self._write_together([self._background.popleft()])

    async def _write_together(
        self, waiting: Sequence[tuple[Work[Any], asyncio.Future[Any]]]
    ) -> None:
        batch = [(work, future) for work, future in waiting if not future.done()]
        works = [work for work, _ in batch]
        if not works:
            return
        outcomes = await _run(self._writer, partial(self._commit, works))
        for (_, future), (result, error) in zip(batch, outcomes, strict=True):
            if future.done():  # its caller was cancelled
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _commit(self, works: Sequence[Work[Any]]) -> list[tuple[Any, Exception | None]]:
        """Run functions in one transaction; return the result or the error of each."""
        try:
            with self._writing.begin() as connection:
                return [(work(connection), None) for work in works]
        except Exception as error:  # noqa: BLE001  the waiting caller gets it
            if len(works) == 1:
                return [(None, error)]
        return [outcome for work in works for outcome in self._commit([work])]


async def _run(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def is_postgres(url: str) -> bool:
    """Whether a database's URL refers to a PostgreSQL server."""
    return make_url(url).get_backend_name() == POSTGRES


def make_backend(url: str) -> Backend:
    """Return the backend for a database's URL; the name of a driver in it has no effect."""
    if is_postgres(url):
        from bot.store.postgres.server import PostgresDatabase  # its driver is optional

        return PostgresDatabase(url)
    return SqliteFile(Path(make_url(url).database or ""))


def database_name(url: str) -> str:
    """Return a database's name for people: its path, or its name and server."""
    return make_backend(url).name


def database_file(url: str) -> Path:
    """Return the file that a database's URL refers to."""
    return make_backend(url).path


async def read_version(url: str) -> Version:
    """Compare a database with this program; nothing is created or changed.

    Raises:
        StoreError: The file is not a database, or cannot be created there.
    """
    backend = make_backend(url)

    def read() -> Version:
        if not backend.exists():
            return Version.MISSING
        with backend.open_read_only() as engine, engine.connect() as connection:
            return _read_version(connection)

    try:
        return await asyncio.to_thread(read)
    except DBAPIError as error:
        raise StoreError(
            f"{backend.name} cannot be read as a database ({make_printable(str(error.orig))}): "
            f"{ANOTHER}"
        ) from error


def describe_mismatch(url: str, version: Version) -> str:
    """Describe what is wrong with a database's version and what to do."""
    name = database_name(url)
    if version is Version.FOREIGN:
        return f"{name} is another program's database: {ANOTHER}"
    if version is Version.UNRELEASED:
        return (
            f"the database {name} is from before 0.1.0: run `understudy-bot dump` with the program "
            f"that created it, pass the file to `understudy retrain`, and {ANOTHER}"
        )
    if version is Version.NEWER:
        return (
            f"the database {name} was created by a newer version of Understudy: install that "
            f"version, or {ANOTHER}"
        )
    return (
        f"the database {name} has an older schema: stop the bot, keep a copy "
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
        StoreError: It cannot be written, has a newer version or one from before 0.1.0, belongs to
        another program, is not a database, or is used by a bot.
    """
    version = await read_version(url)
    if version not in {Version.MISSING, Version.OLDER, Version.CURRENT}:
        raise StoreError(describe_mismatch(url, version))
    if version is not Version.CURRENT:
        with lock_database(url):
            await _write(url, migrate=True)
    return version is not Version.CURRENT


def lock_database(url: str, bot_id: int | None = None) -> AbstractContextManager[None]:
    """Lock a database against other bots and upgrades while the block runs.

    With a bot's id, several processes of that bot may lock a database on a server.

    Raises:
        StoreError: Another process uses it, or it cannot be locked.
    """
    return make_backend(url).lock(bot_id)


def is_locked(url: str) -> bool:
    """Whether a bot or an upgrade is using a database."""
    return make_backend(url).is_locked()


def open_read_only(url: str) -> AbstractContextManager[Engine]:
    """Open an engine that changes nothing in an existing database."""
    return make_backend(url).open_read_only()


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open a database while the block runs; error texts contain no values.

    All its methods raise StoreError for errors that are not this program's, such as a full disk.

    Raises:
        StoreError: It cannot be created.
    """
    backend = make_backend(url)
    await asyncio.to_thread(backend.create)
    database = Database(backend)
    try:
        yield database
    finally:
        await database.close()


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
    if _UNRELEASED.fullmatch(revisions[0]):
        return Version.UNRELEASED
    existing = {script.revision for script in scripts.walk_revisions()}
    return Version.OLDER if revisions[0] in existing else Version.NEWER


async def _write(url: str, *, migrate: bool) -> None:
    """Migrate the database, or only check that it can be written, in one transaction."""
    backend = make_backend(url)

    def change(connection: Connection) -> None:
        if migrate:
            backend.begin_migration(connection)
            command.upgrade(alembic_config(connection), "head")
        else:  # deletes nothing, but SQLite must take the write lock for it
            connection.execute(delete(messages).where(false()))

    try:
        async with open_database(url) as database:
            await database.write(change)
    except OperationalError as error:
        raise StoreError(
            f"the database {backend.name} cannot be written ({make_printable(str(error.orig))}): "
            f"stop other programs that use it, free space, or {ANOTHER}"
        ) from error
