"""The interface to a place for the bot's tables: an SQLite file or a database on a server."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine

ANOTHER = "choose another file in DATABASE_URL"
POSTGRES = "postgresql"
READERS = 4  # threads that read


class Backend(Protocol):
    """A place for the bot's tables.

    `name` is its name in messages to people. `is_shared`: several processes of one bot may use it
    at the same time. `path` is the file in its URL, `file` the same with links resolved. The lock,
    the heartbeat and other small files have the name of `file` plus a suffix.
    """

    name: str
    is_shared: bool
    path: Path
    file: Path

    def exists(self) -> bool:
        """Return whether it exists.

        Raises:
            StoreError: It cannot be reached, or cannot be created there.
        """

    def open_read_only(self) -> AbstractContextManager[Engine]:
        """Open an engine that changes nothing."""

    def create(self) -> None:
        """Create it, empty and private, unless it exists."""

    def make_reader(self) -> Engine:
        """Return an engine for `READERS` threads that read."""

    def make_writer(self) -> Engine:
        """Return an engine for the thread that writes."""

    def begin_migration(self, connection: Connection) -> None:
        """Wait in a migration's transaction until no other process migrates."""

    def lock(self, bot_id: int | None = None) -> AbstractContextManager[None]:
        """Lock it against other bots and upgrades while the block runs.

        With a bot's id, a shared database is only locked against upgrades and other bots, not
        against processes of the same bot.

        Raises:
            StoreError: Another process uses it, or it cannot be locked.
        """

    def is_locked(self) -> bool:
        """Whether a bot or an upgrade is using it."""

    def truncate_log(self, writer: Engine) -> bool:
        """Empty its write-ahead log, if the bot is responsible for that; False if it is busy."""

    def size(self) -> int:
        """Return its size in bytes."""

    def vacuum(self, writer: Engine) -> None:
        """Remove erased rows from its files, as far as it allows.

        Raises:
            StoreError: The disk is full, or other programs keep it busy.
        """


def in_use(name: str) -> str:
    """Return the message for a database that another bot uses."""
    return f"another understudy-bot is using the database {name}: stop that one first, or {ANOTHER}"
