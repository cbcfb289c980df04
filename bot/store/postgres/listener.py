"""Listen for changes made by other processes of the bot."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import psycopg
from psycopg.conninfo import make_conninfo

from bot.errors import StoreError
from bot.store.changes import CHANNEL, ChangeKind
from bot.store.postgres.server import InUseError, PostgresDatabase

RETRY_SECONDS = 1.0
CHECK_SECONDS, ANSWER_SECONDS = 5.0, 5.0
"""Seconds between checks that the connection still exists, and for the answer to one."""
CLIENT_KEEPALIVE: Mapping[str, int] = {
    "keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3,
}  # fmt: skip
"""Lets this process notice within 14 s that the server's machine has failed."""

logger = logging.getLogger(__name__)


class ChangeListener:
    """Listens for the changes; `is_current` is set while none can be missed.

    Its connection also has the locks that keep other bots and upgrades away.
    """

    def __init__(
        self,
        backend: PostgresDatabase,
        bot_id: int,
        on_change: Callable[[ChangeKind, int], Awaitable[None]],
        on_connect: Callable[[], Awaitable[None]],
        is_current: asyncio.Event,
    ) -> None:
        """Call `on_change` for each change, and `on_connect` whenever some may have been missed."""
        self._backend, self._bot_id = backend, bot_id
        self._on_change, self._on_connect = on_change, on_connect
        self._is_current = is_current

    async def run(self) -> None:
        """Listen until cancelled; connect again if the connection is lost.

        Raises:
            StoreError: An upgrade or another bot has taken over the database in the meantime.
        """
        while True:
            try:
                await self._listen()
            except InUseError:
                raise
            except (psycopg.Error, StoreError, TimeoutError) as error:
                logger.warning(
                    "the connection that announces changes is lost (%s): reconnecting",
                    type(error).__name__,
                )
            finally:
                self._is_current.clear()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            address = make_conninfo(self._backend.conninfo, **CLIENT_KEEPALIVE)
            connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
        async with connection:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._backend.share_locks(connection, self._bot_id)
                await connection.execute(f"LISTEN {CHANNEL}")
            await self._on_connect()
            self._is_current.set()
            while True:
                async for notice in connection.notifies(timeout=CHECK_SECONDS):
                    kind, _, number = notice.payload.partition(":")
                    await self._on_change(kind, int(number))  # type: ignore[arg-type]  # as announced
                async with asyncio.timeout(ANSWER_SECONDS):
                    await connection.execute("SELECT 1")
