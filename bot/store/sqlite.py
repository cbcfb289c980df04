"""An SQLite file as the bot's database (see `bot.store.backend`)."""

import fcntl
import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL

from bot.errors import StoreError
from bot.store.backend import ANOTHER, READERS, in_use
from model.errors import describe_error
from model.files import PRIVATE_FILE, locked, make_folder

BUSY_SECONDS = 5
CHECKPOINT_PAGES = 250  # a quarter of SQLite's default
LOCK_SECONDS = 1.0
"""How long a starting bot waits for the lock; `understudy-bot check` may hold it briefly."""

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


class SqliteFile:
    """An SQLite file.

    `path` is the file as written in the URL. SQLite puts its other files next to the real one,
    `file`.
    """

    is_shared = False

    def __init__(self, path: Path) -> None:
        self.name, self.path = str(path), path
        self.file = Path(os.path.realpath(path))

    def sibling(self, suffix: str) -> Path:
        """Return a file next to the database, such as its write-ahead log (-wal)."""
        return self.file.with_name(f"{self.file.name}{suffix}")

    def exists(self) -> bool:
        """See Backend."""
        path = self.path
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

    @contextmanager
    def open_read_only(self) -> Iterator[Engine]:
        """See Backend; it creates no files.

        Even for a reader SQLite creates -wal and -shm files, unless it is told that the database
        is immutable. This is true if there is no -wal file.
        """
        has_log = self.sibling("-wal").exists()
        query = {"uri": "true", **({"mode": "ro"} if has_log else {"immutable": "1"})}
        url = URL.create("sqlite", database=f"file:{quote(str(self.path))}", query=query)
        engine = create_engine(url, hide_parameters=True)
        try:
            yield engine
        finally:
            engine.dispose()

    def create(self) -> None:
        """See Backend; only the file's owner can read it.

        SQLite gives the files -wal and -shm the permissions of the database itself.
        """
        try:
            make_folder(self.file.parent)
            self.file.touch(mode=PRIVATE_FILE)
            for suffix in ("", "-wal", "-shm"):
                if self.sibling(suffix).exists():
                    self.sibling(suffix).chmod(PRIVATE_FILE)
        except OSError as error:
            raise StoreError(
                f"the database {self.file} cannot be created or made private ({error.strerror}): "
                f"{ANOTHER}"
            ) from error

    def make_reader(self) -> Engine:
        """See Backend."""
        engine = self._make_engine(pool_size=READERS)
        self._set_up(engine, "BEGIN")
        return engine

    def make_writer(self) -> Engine:
        """See Backend. A transaction takes the write lock when it begins.

        It checkpoints early: a large erasure fills the log quickly.
        """
        engine = self._make_engine()
        self._set_up(engine, "BEGIN IMMEDIATE", f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        return engine

    def begin_migration(self, connection: Connection) -> None:
        """Do nothing: only one process uses the file."""

    @contextmanager
    def lock(self, bot_id: int | None = None) -> Iterator[None]:
        """See Backend."""
        del bot_id
        lock = self.sibling(".lock")
        with ExitStack() as stack:
            try:
                is_ours = stack.enter_context(locked(lock, wait=LOCK_SECONDS))
                if is_ours:
                    self.create()
                    is_ours = stack.enter_context(_locked_file(self.file))
            except (OSError, NotImplementedError) as error:
                reason = (
                    error.strerror if isinstance(error, OSError) else "no file can be locked there"
                )
                raise StoreError(
                    f"the lock {lock} cannot be acquired ({reason}): {ANOTHER}"
                ) from error
            if not is_ours:
                raise StoreError(in_use(self.name))
            yield

    def is_locked(self) -> bool:
        """See Backend; creates no file."""
        lock = self.sibling(".lock")
        try:
            with ExitStack() as stack:
                if lock.exists() and not stack.enter_context(locked(lock, wait=False)):
                    return True
                return self.file.exists() and not stack.enter_context(_locked_file(self.file))
        except (OSError, NotImplementedError):  # `run` reports the problem
            return False

    def truncate_log(self, writer: Engine) -> bool:
        """See Backend; another program, such as a backup, may keep the database busy."""
        if not self._log_size():
            return True
        with writer.connect() as connection:
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

    def _log_size(self) -> int:
        log = self.sibling("-wal")
        return log.stat().st_size if log.exists() else 0

    def size(self) -> int:
        """See Backend; includes the write-ahead log."""
        return self._log_size() + (self.file.stat().st_size if self.file.exists() else 0)

    def vacuum(self, writer: Engine) -> None:
        """See Backend; others can read meanwhile. It needs twice the space of all rows."""
        with writer.connect() as connection:
            raw: Any = connection.connection.driver_connection
            try:
                raw.execute("VACUUM")
            except sqlite3.Error as error:
                raise StoreError(
                    f"erased text cannot be removed from {self.file} ({error}): free space for "
                    "two copies of it, one on its disk and one in /var/tmp (or SQLITE_TMPDIR)"
                ) from error

    def _make_engine(self, **options: Any) -> Engine:  # noqa: ANN401  SQLAlchemy's
        url = URL.create("sqlite", database=str(self.file))
        return create_engine(url, hide_parameters=True, **options)

    def _set_up(self, engine: Engine, begin: str, *pragmas: str) -> None:
        """Set an engine's pragmas, how its transactions begin, and how errors are translated."""

        def on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401  SQLAlchemy's adapter
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in (
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
            return StoreError(f"the database {self.file} {state} ({error}): {advice}")

        event.listen(engine, "connect", on_connect)
        event.listen(engine, "begin", on_begin)
        event.listen(engine, "handle_error", translate, retval=True)


@contextmanager
def _locked_file(path: Path) -> Iterator[bool]:
    """Lock a file itself, so that hard links to it are locked too.

    Yields False if another process holds the lock. Linux only: elsewhere this lock conflicts with
    SQLite's own. Closing the file drops SQLite's locks, so this process must not have it open as a
    database.
    """
    if sys.platform != "linux":
        yield True
        return
    file = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_free = False
        else:
            is_free = True
        yield is_free
    finally:
        os.close(file)
