"""Runs the bot until it is told to stop: it asks Telegram for updates, or has them brought."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from telegram.error import (
    BadRequest,
    Conflict,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from bot.durable import Durable
from bot.errors import BotEnded, StoppingError, TelegramUnreachable
from bot.outgoing import never_arrived, seconds_of
from bot.routes import ALLOWED_UPDATES
from bot.settings import Settings
from bot.store.database import lock_database
from bot.store.version import version_of
from bot.webhook import keep_webhook, listening

T = TypeVar("T")

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds between calls that are repeated at the start
WEBHOOK_SECONDS = 300.0  # between looks whether the webhook is still set
MOST_GREETINGS = 5  # getMe, at the start: whoever starts a bot wants to know soon what is wrong

logger = logging.getLogger(__name__)

SWITCH_SECONDS = 0.001
"""After which a thread that reads messages lets the event loop go first, a fifth of the usual."""


def run(settings: Settings, app: Durable) -> None:
    """Run the bot until SIGTERM or SIGINT; replies in progress are finished.

    Raises:
        TelegramUnreachable: The token is wrong or was revoked, or no Telegram can be reached.
        StoreError: The database cannot be used, or another bot uses it.
        BotEnded: A task that the bot cannot do without has ended.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    with suppress(StoppingError):
        asyncio.run(_run(settings, app))


async def _run(settings: Settings, app: Durable) -> None:
    stop = asyncio.Event()
    _on_stop_signals(asyncio.get_running_loop(), stop.set)
    await run_until_stopped(settings, app, stop)


async def run_until_stopped(settings: Settings, app: Durable, stop: asyncio.Event) -> None:
    """Run the bot until `stop` is set; raise what `run` does, or StoppingError while it starts."""
    try:
        await _keep_trying("getMe", app.bot.initialize, stop, MOST_GREETINGS)
        await version_of(settings.database_url)  # what is wrong with its place is told first
        with lock_database(settings.database_url):
            async with started(app), receiving(settings, app, stop):
                try:
                    await _watch(app, stop)
                finally:
                    app.begin_to_stop()
    except TelegramError as error:
        raise _unreachable(error) from error
    finally:
        await app.bot.shutdown()


@asynccontextmanager
async def started(app: Durable) -> AsyncIterator[None]:
    """Let the bot handle updates while the block runs, wherever they come from."""
    try:
        async with app:
            try:
                if app.post_init:
                    await app.post_init(app)
                await app.start()
                yield
            finally:
                if app.running:
                    await app.stop()
    finally:
        if app.post_shutdown:
            await app.post_shutdown(app)


@asynccontextmanager
async def receiving(settings: Settings, app: Durable, stop: asyncio.Event) -> AsyncIterator[None]:
    """Receive updates while the block runs: by webhook where one is set, else by polling."""
    if settings.webhook_url:
        async with listening(settings, app) as set_webhook:
            await _keep_trying("setWebhook", set_webhook, stop)
            check = partial(keep_webhook, app.bot, settings.webhook_url, set_webhook)
            app.jobs.repeat("webhook", check, WEBHOOK_SECONDS)
            yield
        return
    if app.updater is None:
        raise TypeError("only a bot that has an updater can poll")
    start = partial(
        app.updater.start_polling, allowed_updates=ALLOWED_UPDATES, error_callback=_log_poll_error
    )
    try:
        await _keep_trying("deleteWebhook", start, stop)
        yield
    finally:
        if app.updater.running:
            with suppress(TelegramError):  # what ended polling is known by then
                await app.updater.stop()


async def _watch(app: Durable, stop: asyncio.Event) -> None:
    """Wait until the bot is told to stop, or a task of the library's that it needs ends.

    The library tells nobody that such a task ended: the bot would go on, and hear nothing.

    Raises:
        TelegramError: Telegram refuses the token.
        BotEnded: A task ended for another reason.
    """
    told = asyncio.create_task(stop.wait())
    needed = library_tasks(app)
    try:
        done, _ = await asyncio.wait({told, *needed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
    if told in done:
        return
    task = done.pop()
    error = None if task.cancelled() else task.exception()
    if isinstance(error, TelegramError):
        raise error
    logger.error("the task %s ended", task.get_name(), exc_info=error)
    raise BotEnded("the bot hears nothing any more, the log says why: start it again")


def library_tasks(app: Durable) -> set[asyncio.Task[object]]:
    """Return the tasks in which the library polls and hands updates on: it names them."""
    names = {
        f"Application:{app.bot.id}:update_fetcher",
        "Updater:start_polling:polling_task",
    }
    return {task for task in asyncio.all_tasks() if task.get_name() in names}


async def _keep_trying(
    method: str,
    call: Callable[[], Coroutine[Any, Any, T]],
    stop: asyncio.Event,
    times: int | None = None,
) -> T:
    """Call Telegram until it answers; raise at once what another try cannot change.

    With `times` it also gives up after so many tries, and where nothing listens.

    Raises:
        StoppingError: The bot is told to stop meanwhile.
        TelegramError: Telegram refuses, or gives no answer.
    """
    wait, tries = FIRST_WAIT, 1
    while True:
        try:
            return await _unless_stopped(call(), stop)
        except (NetworkError, RetryAfter) as error:
            gives_up = times is not None and (tries >= times or never_arrived(error))
            if isinstance(error, BadRequest) or gives_up:
                raise
            pause = seconds_of(error) if isinstance(error, RetryAfter) else wait
            logger.warning("%s failed (%s): next try in %g s", method, type(error).__name__, pause)
        await _unless_stopped(asyncio.sleep(pause), stop)
        wait, tries = min(2 * wait, LONGEST_WAIT), tries + 1


async def _unless_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T:
    """Return what comes of some work; end it where the bot is told to stop first.

    Raises:
        StoppingError: The bot is told to stop.
    """
    task, told = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise StoppingError("the bot is told to stop while it starts")
    finally:
        for one in (task, told):
            one.cancel()
        await asyncio.gather(task, told, return_exceptions=True)


def _log_poll_error(error: TelegramError) -> None:
    """Log why asking for updates failed; the library asks again."""
    if isinstance(error, Conflict):
        logger.error(
            "another process polls with this token, or a webhook was set: stop it, or have "
            "@BotFather make a new token (/revoke); of two that poll each hears half"
        )
    else:
        logger.warning("asking for updates failed (%s): tried again", type(error).__name__)


def _unreachable(error: TelegramError) -> TelegramUnreachable:
    """Say what is wrong without the token, which the library's own text has."""
    if isinstance(error, InvalidToken):
        return TelegramUnreachable(
            "Telegram does not know this BOT_TOKEN: copy it again from @BotFather into .env"
        )
    kind = "cannot be reached" if isinstance(error, NetworkError) else "refused"
    return TelegramUnreachable(
        f"Telegram {kind} ({type(error).__name__}): check the network and TELEGRAM_API_URL"
    )


def _on_stop_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows has Ctrl-C alone
            loop.add_signal_handler(number, stop)
