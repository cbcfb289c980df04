"""What SQLite's failures mean to whoever runs the bot, and what they can do about them."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import AsyncAdaptedQueuePool, ExceptionContext, PoolProxiedConnection
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot.errors import StoreError
from bot.store.version import ANOTHER

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
