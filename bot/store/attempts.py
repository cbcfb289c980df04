"""Note which update's own code is running, so that one that crashes the bot is found."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from bot.store.inbox import Inbox


class Attempt:
    """One attempt to handle an update that was started before."""

    def __init__(self, inbox: Inbox, update_id: int) -> None:
        self._inbox = inbox
        self._update_id = update_id
        self.has_waited = asyncio.Event()

    async def wait(self) -> None:
        """Record that the update waits, unless that is recorded already."""
        if not self.has_waited.is_set():
            await self.mark(working=False)

    async def mark(self, *, working: bool) -> None:
        """Record whether the update's own code runs from now on."""
        self.has_waited.set()
        await self._inbox.mark(self._update_id, working=working)


CURRENT: ContextVar[Attempt | None] = ContextVar("attempt", default=None)
"""The attempt that the running code belongs to; tasks inherit it."""


async def waits() -> None:
    """Record that the current update is about to wait for something external."""
    if attempt := CURRENT.get():
        await attempt.wait()


@asynccontextmanager
async def generating() -> AsyncIterator[None]:
    """Record that the model generates for the current update while the block runs."""
    attempt = CURRENT.get()
    if attempt is None:
        yield
        return
    await attempt.mark(working=True)
    try:
        yield
    finally:
        await attempt.mark(working=False)
