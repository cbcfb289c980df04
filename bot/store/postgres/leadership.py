"""Elect a leader among the bot's processes with an advisory lock, which ends with its process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg

from bot.store.postgres.server import LEADER_LOCK

TRY_SECONDS = 2.0  # between attempts to lead, and between checks that this process still leads
_ANSWER_SECONDS = 5.0
SERVER_KEEPALIVE = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3"
"""Lets the server notice within 14 s that this machine has failed, and free the lock."""

logger = logging.getLogger(__name__)


class Leadership:
    """Leads if no other process does; `is_leading` says whether this one does now."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self.is_leading = asyncio.Event()

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Await `lead()` whenever this process leads, and cancel it when it no longer does.

        Raises what `lead` raises.
        """
        while True:
            try:
                async with self._locked() as connection:
                    if connection is not None:
                        await self._lead(lead, connection)
            except (psycopg.Error, TimeoutError) as error:
                logger.warning("no leader can be elected (%s): retrying", type(error).__name__)
            await asyncio.sleep(TRY_SECONDS)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator["psycopg.AsyncConnection[tuple[object]] | None"]:
        """Yield the connection that has the lock, None if another process has it."""
        async with asyncio.timeout(_ANSWER_SECONDS):
            connection = await psycopg.AsyncConnection.connect(
                self._conninfo, autocommit=True, options=SERVER_KEEPALIVE
            )
        async with connection:
            cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,))
            row = await cursor.fetchone()
            yield connection if row and row[0] else None

    async def _lead(
        self,
        lead: Callable[[], Awaitable[None]],
        connection: "psycopg.AsyncConnection[tuple[object]]",
    ) -> None:
        logger.info("this process is now the leader")
        self.is_leading.set()
        task = asyncio.ensure_future(lead())
        try:
            while not (await asyncio.wait({task}, timeout=TRY_SECONDS))[0]:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await connection.execute("SELECT 1")
            await task
        finally:
            self.is_leading.clear()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
