"""What the bot does again and again while it runs: it looks for models, tidies, tries again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from telegram.error import TelegramError
from telegram.ext import ExtBot

from bot.durable import Durable
from bot.errors import StoreError
from bot.handlers.receiving import drop_before
from bot.handlers.versions import told
from bot.house import House
from bot.polling import Client
from bot.retention import let_vanish
from bot.serving import Exchange

logger = logging.getLogger(__name__)

TIDY_AGAIN = 3600.0
RELEASE_AGAIN = 30.0  # seconds between tries to handle what could not be stored
KEPT_EXPORT = timedelta(days=2)  # as the bot says where RETRAIN_COMMAND is not set
KEPT_HANDLED = timedelta(days=2)  # ids of handled updates: Telegram repeats none for that long


def keep_up(
    app: Durable, client: Client, house: House, open_things: AsyncExitStack, look_again: float
) -> None:
    """Let what is done again and again run until the bot is taken down."""

    async def tell(exchange: Exchange) -> None:
        await tell_admins(app.bot, house.settings.admins, told(exchange, house.stand.now.artifact))

    async def tidy() -> None:
        old = datetime.now(UTC) - KEPT_HANDLED
        with suppress(StoreError):  # it is tidied later
            if await house.shelves.inbox.drop_before(old):
                await house.shelves.erasing.wipe()
            await house.shelves.journal.release_before(old)
            await let_vanish(house, datetime.now(UTC))
        await asyncio.to_thread(drop_before, house.settings, datetime.now(UTC) - KEPT_EXPORT)

    async def release() -> None:
        await app.release(client.read)

    ended = asyncio.Event()
    chores = [
        asyncio.create_task(again_and_again(tidy, TIDY_AGAIN, ended)),
        asyncio.create_task(again_and_again(release, RELEASE_AGAIN, ended)),
    ]
    watch = asyncio.create_task(house.stand.watch(look_again, tell))
    watch.add_done_callback(_log_failure)

    async def end() -> None:
        ended.set()
        watch.cancel()
        await asyncio.gather(watch, *chores, return_exceptions=True)

    open_things.push_async_callback(end)


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log why the watch over versions ended, where it should not have: nobody awaits it."""
    if not task.cancelled() and (error := task.exception()):
        logger.error("other versions are looked for no more", exc_info=error)


async def again_and_again(
    chore: Callable[[], Awaitable[None]], seconds: float, ended: asyncio.Event
) -> None:
    """Do a chore now and every so many seconds; the end never comes in the middle of one."""
    while not ended.is_set():
        await chore()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ended.wait()


async def tell_admins(bot: ExtBot[Any], admins: frozenset[int], text: str) -> None:
    """Write to each admin in private; who never wrote to the bot cannot be written to."""
    for admin in admins:
        with suppress(TelegramError):
            await bot.send_message(admin, text)
