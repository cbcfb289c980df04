"""The composition root: settings and a trained model become the running bot."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from telegram import Bot
from telegram.error import InvalidToken, NetworkError, TelegramError
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    ExtBot,
    MessageHandler,
    filters,
)

from bot import texts
from bot.access import Access, access_of
from bot.errors import TelegramUnreachable
from bot.handlers.about import About
from bot.handlers.acting import Acting
from bot.handlers.failures import report
from bot.handlers.keeping import keeping
from bot.handlers.simulating import Simulating
from bot.handlers.voices import Voices
from bot.outgoing import AS_BUTTON
from bot.polling import client_of
from bot.replies import Replies, Speaker
from bot.settings import Settings
from bot.store.database import opened, prepare
from bot.store.messages import Store
from model.artifact import Artifact, Card

App: TypeAlias = Application[
    ExtBot[Any], ContextTypes.DEFAULT_TYPE, dict[Any, Any], dict[Any, Any], dict[Any, Any], Any
]
OpenSpeaker: TypeAlias = Callable[[Artifact], Speaker]

ALLOWED_UPDATES = ("message", "edited_message", "callback_query")
FIRST = -1  # the group of handlers that runs before all others


@dataclass(frozen=True, slots=True)
class Me:
    """What Telegram says of the bot."""

    username: str
    reads_all: bool


def build(
    settings: Settings,
    artifact: Artifact,
    open_speaker: OpenSpeaker,
    on_up: Callable[[str], object] = print,
) -> App:
    """Return the bot, not yet started; `on_up` is told in a line when it is up.

    Database and weights are opened once Telegram has accepted the token.

    Raises:
        SettingsError: There is no token.
    """
    open_things = AsyncExitStack()

    async def set_up(app: App) -> None:
        store = await _store(settings, open_things)
        speaker = await asyncio.to_thread(open_speaker, artifact)
        access = _assemble(app, settings, artifact.card, speaker, store, open_things)
        await app.bot.set_my_commands(texts.COMMANDS)
        on_up(_up(app.bot, artifact, access))

    async def tear_down(_: App) -> None:
        await open_things.aclose()

    return (
        Application.builder()
        .bot(client_of(settings))
        .post_init(set_up)
        .post_shutdown(tear_down)
        .build()
    )


async def _store(settings: Settings, open_things: AsyncExitStack) -> Store:
    await prepare(settings.database_url)
    return Store(await open_things.enter_async_context(opened(settings.database_url)))


def _assemble(
    app: App,
    settings: Settings,
    card: Card,
    speaker: Speaker,
    store: Store,
    open_things: AsyncExitStack,
) -> Access:
    """Give the bot its handlers; return what they are allowed."""
    roster = card.roster.with_understudy(app.bot.id)
    replies = Replies(speaker, store, roster, card.window)
    open_things.callback(replies.close)
    access = access_of(card, roster, settings.admins, settings.consent)
    _add_handlers(app, access, store, Acting(app.bot, store, replies))
    return access


def run(settings: Settings, app: App) -> None:
    """Run the bot until SIGTERM or SIGINT; replies in progress are finished.

    Telegram is asked about the token first: the library would log what is wrong with it.

    Raises:
        TelegramUnreachable: The token is wrong, or there is no Telegram to talk to.
    """
    asyncio.run(who_am_i(settings))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # run_polling takes it, and closes it
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows has Ctrl-C alone
            loop.add_signal_handler(number, _stop, app, loop)
    try:
        app.run_polling(allowed_updates=ALLOWED_UPDATES, stop_signals=None)
    except TelegramError as error:
        raise _unreachable(error) from error


def _stop(app: App, loop: asyncio.AbstractEventLoop) -> None:
    """Stop the bot, once it has started: the library's own handler breaks a start in the middle."""
    app.stop_running()
    if not app.running:
        loop.call_later(0.1, _stop, app, loop)


async def who_am_i(settings: Settings) -> Me:
    """Ask Telegram about the token.

    Raises:
        SettingsError: There is no token.
        TelegramUnreachable: The token is wrong, or there is no Telegram to talk to.
    """
    bot = Bot(settings.token, base_url=f"{settings.telegram_api_url}/bot")
    try:
        async with bot:
            me = bot.bot
    except TelegramError as error:
        raise _unreachable(error) from error
    return Me(me.username or "", bool(me.can_read_all_group_messages))


def _add_handlers(app: App, access: Access, store: Store, acting: Acting) -> None:
    """Let the store have each update first; what sends must not hold up the next one."""
    new = filters.UpdateType.MESSAGE  # an edited command would answer twice
    voices = Voices(access, acting, store)
    about = About(access)
    app.add_handler(keeping(store, access), group=FIRST)
    app.add_handler(CommandHandler("as", voices.command, new, block=False))
    app.add_handler(
        CommandHandler("simulate", Simulating(access, acting).command, new, block=False)
    )
    app.add_handler(CommandHandler("help", about.help, new, block=False))
    app.add_handler(CommandHandler("start", about.start, new, block=False))
    app.add_handler(
        MessageHandler(new & filters.REPLY & ~filters.COMMAND, voices.reply, block=False)
    )
    app.add_handler(CallbackQueryHandler(voices.press, pattern=AS_BUTTON, block=False))
    app.add_error_handler(report)


def _up(bot: ExtBot[Any], artifact: Artifact, access: Access) -> str:
    names = [person.name for person in access.voices]
    reads_all = bool(bot.bot.can_read_all_group_messages)
    return texts.up(bot.username, artifact.path.name, names, reads_all=reads_all)


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
