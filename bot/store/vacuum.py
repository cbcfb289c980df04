"""Remove the bytes of erased rows from the database's files.

With `secure_delete`, SQLite overwrites what a transaction deletes. But it leaves copies of rows in
unused parts of its pages when it moves them, and the write-ahead log contains pages as they were.
VACUUM rewrites all rows, and emptying the log then replaces the old pages.

VACUUM loses nothing if it is killed. It writes the rows that are stored now, but no erased ones, to
a temporary file, which has no name from the moment it is opened, and then to the write-ahead log.
"""

import logging
import time

from bot.errors import StoreError
from bot.store.database import Database

QUIET_SECONDS = 10.0  # without an update
MAX_DELAY_SECONDS = 3600.0  # even while updates keep arriving
MAX_FULL_LOG_SECONDS = 120.0
"""Time for which another process, such as a backup, may keep text in the write-ahead log."""

logger = logging.getLogger(__name__)


class Vacuum:
    """Cleans the files of a database while no updates arrive, and when the bot stops.

    A VACUUM is due if text was erased since the last one, and after each start: the previous
    process may have been killed. The write-ahead log is emptied every time, so handled commands
    disappear from it too.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cleaned_at = time.monotonic()
        self._full_since: float | None = None

    async def run_when_quiet(self) -> None:
        """Clean the files if no update has arrived for `QUIET_SECONDS`.

        If updates keep arriving, clean them after `MAX_DELAY_SECONDS`.

        Raises:
            StoreError: The disk is full, or another program keeps the log from being emptied.
        """
        now = time.monotonic()
        is_quiet = now - self._database.last_update_at >= QUIET_SECONDS
        if not is_quiet and now - self._cleaned_at < MAX_DELAY_SECONDS:
            return
        if await self.run():
            self._cleaned_at, self._full_since = now, None
            return
        self._full_since = self._full_since or now
        if now - self._full_since > MAX_FULL_LOG_SECONDS:
            raise StoreError(
                "the write-ahead log cannot be emptied: close other programs that read the database"
            )

    async def run_at_stop(self) -> None:
        """Clean the files; a failure is logged, and the next start makes up for it."""
        try:
            is_clean = await self.run()
        except StoreError as error:
            logger.error("the database was not cleaned: %s", error)  # noqa: TRY400  expected
        else:
            if not is_clean:
                logger.error("the database was not cleaned: another program is reading it")

    async def run(self) -> bool:
        """Clean the files; return whether the write-ahead log is empty.

        Raises:
            StoreError: The disk is full, or another program is writing to the database.
        """
        try:
            if self._database.must_vacuum:
                await self._database.vacuum()
        finally:
            is_empty = await self._database.truncate_log()
        return is_empty
