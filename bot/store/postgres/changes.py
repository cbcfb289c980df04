"""Hear what other processes of the bot have changed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg

from bot.errors import StoreError
from bot.store.changes import CHANNEL, Kind

RETRY_SECONDS = 1.0
CHECK_SECONDS = 10.0  # between checks that the connection still exists

logger = logging.getLogger(__name__)


class ChangeListener:
    """Hears of the changes; `is_listening` is false while some could be missed."""

    def __init__(
        self,
        conninfo: str,
        on_change: Callable[[Kind, int], Awaitable[None]],
        on_connect: Callable[[], Awaitable[None]],
    ) -> None:
        """Call `on_change` for each change, and `on_connect` whenever some may have been missed."""
        self._conninfo = conninfo
        self._on_change, self._on_connect = on_change, on_connect
        self.is_listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; connect again if the connection is lost."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, StoreError) as error:
                logger.warning("changes cannot be heard (%s): retrying", type(error).__name__)
            finally:
                self.is_listening.clear()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            await self._on_connect()
            self.is_listening.set()
            while True:
                async for notice in connection.notifies(timeout=CHECK_SECONDS):
                    kind, _, number = notice.payload.partition(":")
                    await self._on_change(kind, int(number))  # type: ignore[arg-type]  # as announced
                await connection.execute("SELECT 1")
