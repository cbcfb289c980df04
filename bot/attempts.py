"""Which update's own code runs now, noted so that one that crashes the bot is found.

Noted are only updates that were begun before without an end: they are few, and one that crashes
the bot is among them. An update's own code runs from its start until it first waits for something
outside (the queue, the rate limiter, Telegram, an erasure), and while its reply is generated.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from bot.store.inbox import Inbox


class Attempt:
    """One attempt to handle an update that was begun before."""

    def __init__(self, inbox: Inbox, update_id: int) -> None:
        self._inbox = inbox
        self._update_id = update_id
        self.has_waited = asyncio.Event()

    async def wait(self) -> None:
        """Note that the update waits, if it does for the first time."""
        if not self.has_waited.is_set():
            await self.mark(working=False)

    async def mark(self, *, working: bool) -> None:
        """Note whether the update's own code runs from now on."""
        self.has_waited.set()
        await self._inbox.mark(self._update_id, working=working)


CURRENT: ContextVar[Attempt | None] = ContextVar("attempt", default=None)
"""The attempt that the running code belongs to; tasks inherit it."""


async def waits() -> None:
    """Note that the running update is about to wait for something outside."""
    if attempt := CURRENT.get():
        await attempt.wait()


@asynccontextmanager
async def generating() -> AsyncIterator[None]:
    """Note that the model works for the running update while the block runs."""
    attempt = CURRENT.get()
    if attempt is None:
        yield
        return
    await attempt.mark(working=True)
    try:
        yield
    finally:
        await attempt.mark(working=False)
