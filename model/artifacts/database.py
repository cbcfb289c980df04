"""Open `models.db`: what happened to the models of a folder, and what people decided."""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from model.artifacts.commands import models_option
from model.errors import ArtifactError
from model.files import PRIVATE_FILE, make_folder

DATABASE = "models.db"
"""The database's file in a models folder."""

DAMAGED = f"{DATABASE}.damaged"
"""Prefix of the names under which `models rebuild` keeps damaged databases."""

_FORMAT = 2
_LAST_FORMAT = 999  # a higher number means damage
_TRANSIENT = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_NOMEM,
}  # fmt: skip
"""SQLite's errors that do not mean that the file is damaged."""
_BUSY = 30.0  # seconds to wait for another process's transaction
_SCHEMA = f"""
PRAGMA user_version = {_FORMAT};
CREATE TABLE versions (
  name TEXT PRIMARY KEY, origin TEXT NOT NULL, added_at TEXT NOT NULL, removed_at TEXT
);
CREATE TABLE promotions (
  place INTEGER PRIMARY KEY, version TEXT NOT NULL, at TEXT NOT NULL, is_done INTEGER NOT NULL
);
CREATE TABLE receipts (version TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE erasures (dataset TEXT PRIMARY KEY, at TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE facts (
  source TEXT, place INTEGER, user_id INTEGER NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL,
  chat_id INTEGER, PRIMARY KEY (source, place)
) WITHOUT ROWID;
CREATE TABLE people (place INTEGER PRIMARY KEY, person TEXT NOT NULL);
CREATE TABLE chats (
  chat_id INTEGER PRIMARY KEY, number INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
  former INTEGER, utc_offsets TEXT NOT NULL, understudies TEXT NOT NULL, deleted INTEGER NOT NULL
);
CREATE TABLE exports (
  chat_id INTEGER, place INTEGER, sha256 TEXT NOT NULL, PRIMARY KEY (chat_id, place)
) WITHOUT ROWID;
CREATE TABLE export_ranges (
  chat_id INTEGER, place INTEGER, first INTEGER NOT NULL, last INTEGER NOT NULL,
  begin INTEGER NOT NULL, newest INTEGER NOT NULL, PRIMARY KEY (chat_id, place)
) WITHOUT ROWID;
CREATE TABLE messages (
  chat_id INTEGER, space TEXT, number INTEGER, kind INTEGER NOT NULL, at INTEGER NOT NULL,
  author_id INTEGER NOT NULL, name TEXT, text TEXT NOT NULL, reply_space TEXT, reply INTEGER,
  flags INTEGER NOT NULL, edited INTEGER NOT NULL, PRIMARY KEY (chat_id, space, number)
) WITHOUT ROWID;
CREATE TABLE forgotten (
  chat_id INTEGER, number INTEGER, is_word INTEGER NOT NULL, PRIMARY KEY (chat_id, number)
) WITHOUT ROWID;
CREATE TABLE aliases (
  chat_id INTEGER, bot_number INTEGER, space TEXT NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY (chat_id, bot_number)
) WITHOUT ROWID;
"""


class DamagedDatabaseError(ArtifactError):
    """The database of a models folder is damaged."""


@contextmanager
def read_database(root: Path) -> Iterator[sqlite3.Connection]:
    """Open a folder's database for reading; a folder without one has an empty one.

    Raises:
        ArtifactError: The database is damaged, or cannot be read.
    """
    path = root / DATABASE
    with _explain_errors(path):
        if not path.exists():
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
                connection.executescript(_SCHEMA)
                yield connection
            return
        with closing(_connect(path)) as connection:
            connection.execute("PRAGMA query_only = ON")
            yield connection


@contextmanager
def write_database(root: Path) -> Iterator[sqlite3.Connection]:
    """Open a folder's database, created if missing, in one transaction that ends with the block.

    An error in the block, or a kill, undoes everything that was written. What is deleted is
    overwritten, and `erase_deleted` removes what the file still has of it.

    Raises:
        ArtifactError: The database is damaged, in use for too long, or cannot be written.
    """
    path = make_folder(root) / DATABASE
    with _explain_errors(path):
        if not path.exists():
            _create(path)
        with closing(_connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:  # SQLite ends it if the disk is full
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def erase_deleted(root: Path) -> None:
    """Rewrite a folder's database, so that nothing that was deleted is left in a file.

    Damaged databases that `models rebuild` kept are deleted.

    Raises:
        ArtifactError: The database is damaged, in use for too long, or the disk is too small.
    """
    path = root / DATABASE
    for damaged in root.glob(f"{DAMAGED}*"):
        damaged.unlink(missing_ok=True)
    if path.exists():
        with _explain_errors(path), closing(_connect(path)) as connection:
            connection.execute("VACUUM")


def stamp_database(root: Path) -> int:
    """Return a number that changes with each transaction that wrote to a folder's database."""
    try:
        return (root / DATABASE).stat().st_mtime_ns
    except OSError:
        return 0


def _connect(path: Path) -> sqlite3.Connection:
    """Open an existing database; a file that may not be written is opened for reading.

    Without a write-ahead log, the database is one file that can be copied, and each transaction
    changes the file's time.
    """
    address = f"{path.resolve().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, timeout=_BUSY, isolation_level=None, uri=True)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        (number,) = connection.execute("PRAGMA user_version").fetchone()
    except BaseException:
        connection.close()
        raise
    if _FORMAT < number <= _LAST_FORMAT:
        connection.close()
        raise ArtifactError(f"{path} was written by a newer version of Understudy: update this one")
    if number != _FORMAT:
        connection.close()
        raise sqlite3.DatabaseError(f"its format is {number}, not {_FORMAT}")
    return connection


def _create(path: Path) -> None:
    """Create an empty database; it gets its name when it is complete, so no kill leaves a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.touch(PRIVATE_FILE)
        with closing(sqlite3.connect(temporary)) as connection:
            connection.executescript(_SCHEMA)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return  # another process was faster
        except OSError:  # the file system has no links
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    """Raise the errors of SQLite as an ArtifactError of one line."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _TRANSIENT:
            raise ArtifactError(f"{path} cannot be used ({error}): try again") from error
        raise DamagedDatabaseError(
            f"{path} is damaged ({error}), so nobody's consent is known: restore it from a backup, "
            "or rebuild it from the bot's dumps with `understudy models rebuild DUMP..."
            f"{models_option(path.parent)}`"
        ) from error
