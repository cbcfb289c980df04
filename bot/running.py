"""Runs the bot until it is told to stop: it asks Telegram for updates, or has them brought."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from telegram import Bot
from telegram.error import InvalidToken, NetworkError, TelegramError

from bot.durable import Durable
from bot.errors import TelegramUnreachable
from bot.routes import ALLOWED_UPDATES
from bot.settings import Settings
from bot.webhook import listening

SWITCH_SECONDS = 0.001
"""After which a thread that reads messages lets the event loop go first, a fifth of the usual."""


def run(settings: Settings, app: Durable) -> None:
    """Run the bot until SIGTERM or SIGINT; replies in progress are finished.

    Telegram is asked about the token first: the library would log what is wrong with it.

    Raises:
        TelegramUnreachable: The token is wrong, or there is no Telegram to talk to.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    asyncio.run(_greet(settings))
    try:
        if settings.webhook_url:
            asyncio.run(_serve(settings, app))
        else:
            _poll(app)
    except TelegramError as error:
        raise _unreachable(error) from error


async def _greet(settings: Settings) -> None:
    """Ask Telegram about the token.

    Raises:
        SettingsError: There is no token.
        TelegramUnreachable: The token is wrong, or there is no Telegram to talk to.
    """
    try:
        async with Bot(settings.token, base_url=f"{settings.telegram_api_url}/bot"):
            pass
    except TelegramError as error:
        raise _unreachable(error) from error


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


def _poll(app: Durable) -> None:
    """Ask Telegram for updates, once it has forgotten the webhook that may be set."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # run_polling takes it, and closes it
    _on_stop_signals(loop, lambda: _stop(app, loop))
    app.run_polling(allowed_updates=ALLOWED_UPDATES, stop_signals=None)


async def _serve(settings: Settings, app: Durable) -> None:
    """Have Telegram bring updates."""
    told_to_stop = asyncio.Event()
    _on_stop_signals(asyncio.get_running_loop(), told_to_stop.set)
    async with started(app), listening(settings, app, ALLOWED_UPDATES):
        await told_to_stop.wait()


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


def _on_stop_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows has Ctrl-C alone
            loop.add_signal_handler(number, stop)


def _stop(app: Durable, loop: asyncio.AbstractEventLoop) -> None:
    """Stop the bot, once it has started: the library's own handler breaks a start in the middle."""
    app.stop_running()
    if not app.running:
        loop.call_later(0.1, _stop, app, loop)
