"""The composition root: settings and a trained model become the running bot."""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from telegram import Bot
from telegram.error import InvalidToken, NetworkError, TelegramError
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    ChatMemberHandler,
    CommandHandler,
    ContextTypes,
    ExtBot,
    MessageHandler,
    MessageReactionHandler,
    PollAnswerHandler,
    filters,
)

from bot.context import Context
from bot.durable import Durable
from bot.errors import StoreError, TelegramUnreachable
from bot.handlers.about import About
from bot.handlers.acting import Acting
from bot.handlers.cast import Cast
from bot.handlers.consenting import Consenting
from bot.handlers.explaining import Explaining
from bot.handlers.failures import report
from bot.handlers.forgetting import Forgetting
from bot.handlers.gate import Gate
from bot.handlers.guessing import Guessing
from bot.handlers.joining import Joining
from bot.handlers.keeping import keeping
from bot.handlers.membership import Membership
from bot.handlers.privacy import Privacy
from bot.handlers.reacting import Reacting
from bot.handlers.receiving import Receiving
from bot.handlers.simulating import Simulating
from bot.handlers.status import Status
from bot.handlers.versions import Versions, told
from bot.handlers.voices import Voices, only_a_voice
from bot.house import House, Shelves
from bot.menus import show_menus
from bot.outgoing import AS_BUTTON, VOICE_SIGN
from bot.polling import Client, client_of
from bot.replies import Replies
from bot.retention import let_vanish
from bot.serving import Exchange, Models, OpenSpeaker, Stand
from bot.settings import Settings
from bot.store.database import opened, prepare
from bot.texts import EN

ALLOWED_UPDATES = (
    "message",
    "edited_message",
    "callback_query",
    "my_chat_member",
    "message_reaction",
    "poll_answer",
)
FIRST, GATE = -2, -1  # the groups of handlers that run before all others
LAST = 1
LOOK_AGAIN = 5.0  # seconds between looks for another version of the model
TIDY_AGAIN = 3600.0
KEPT_HANDLED = timedelta(days=2)  # ids of handled updates: Telegram repeats none for that long

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Me:
    """What Telegram says of the bot."""

    username: str
    reads_all: bool


def build(
    settings: Settings,
    models: Models,
    open_speaker: OpenSpeaker,
    on_up: Callable[[str], object] = print,
    look_again: float = LOOK_AGAIN,
) -> Durable:
    """Return the bot, not yet started; `on_up` is told in a line when it is up.

    Database and weights are opened once Telegram has accepted the token.

    Raises:
        SettingsError: There is no token.
    """
    open_things = AsyncExitStack()
    client = client_of(settings)

    async def set_up(app: Durable) -> None:
        house = await _house(settings, models, open_speaker, client.id, open_things)
        app.bot_data["house"] = house
        app.inbox = house.shelves.inbox
        client.keep_in(app.inbox)
        receiving = Receiving(house)
        open_things.push_async_callback(receiving.close)
        _add_handlers(app, house, receiving)
        await show_menus(app.bot, settings.admins)
        uncertain = await house.shelves.journal.settle()
        replayed = await app.replay(client.read)
        if uncertain or replayed:
            logger.info("%d updates handled anew, %d replies uncertain", replayed, uncertain)
        _keep_up(app, house, open_things, look_again)
        on_up(_up(client, house))

    async def tear_down(_: Any) -> None:  # noqa: ANN401  an application of the library's
        await open_things.aclose()

    app = (
        Application.builder()
        .application_class(Durable)
        .bot(client)
        .context_types(ContextTypes(context=Context))
        .post_init(set_up)  # type: ignore[arg-type]  # the builder knows only the library's own
        .post_shutdown(tear_down)
        .build()
    )
    if not isinstance(app, Durable):
        raise TypeError("the library built another application than ours")
    return app


async def _house(
    settings: Settings,
    models: Models,
    open_speaker: OpenSpeaker,
    bot_id: int,
    open_things: AsyncExitStack,
) -> House:
    await prepare(settings.database_url)
    engine = await open_things.enter_async_context(opened(settings.database_url))
    shelves = Shelves.of(engine)
    stand = Stand(models, open_speaker, bot_id)
    replies = Replies(lambda: stand.now, shelves.messages)
    open_things.callback(replies.close)
    house = House(settings, stand, shelves, replies)
    await house.open()
    return house


def _keep_up(app: Durable, house: House, open_things: AsyncExitStack, look_again: float) -> None:
    """Let what is done again and again run until the bot is taken down."""

    async def tell(exchange: Exchange) -> None:
        await tell_admins(app.bot, house.settings.admins, told(exchange, house.stand.now.artifact))

    tidying = asyncio.Lock()

    async def tidy() -> None:
        while True:
            async with tidying:
                await _tidy(house)
            await asyncio.sleep(TIDY_AGAIN)

    async def let_finish() -> None:  # an erasure that is cut short leaves its connection open
        await tidying.acquire()

    for chore in (house.stand.watch(look_again, tell), tidy()):
        task = asyncio.create_task(chore)
        open_things.callback(task.cancel)
    open_things.push_async_callback(let_finish)


async def _tidy(house: House) -> None:
    """Drop what is old; what could not be dropped for want of room is, when there is some."""
    try:
        await house.shelves.inbox.drop_before(datetime.now(UTC) - KEPT_HANDLED)
        await let_vanish(house, datetime.now(UTC))
    except StoreError:
        logger.exception("what is old could not be dropped")


async def tell_admins(bot: ExtBot[Any], admins: frozenset[int], text: str) -> None:
    """Write to each admin in private; who never wrote to the bot cannot be written to."""
    for admin in admins:
        with suppress(TelegramError):
            await bot.send_message(admin, text)


def run(settings: Settings, app: Durable) -> None:
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


def _stop(app: Durable, loop: asyncio.AbstractEventLoop) -> None:
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


def _add_handlers(app: Durable, house: House, receiving: Receiving) -> None:
    """Let the store have each update first; what sends must not hold up the next one."""
    new = filters.UpdateType.MESSAGE  # an edited command would answer twice
    acting = Acting(house)
    voices, simulating, guessing = Voices(house, acting), Simulating(house, acting), Guessing(house)
    joining = Joining(house, acting)
    about, membership, versions = About(house), Membership(house), Versions(house)
    forgetting, privacy = Forgetting(house), Privacy(house)
    consenting = Consenting(house, forgetting)
    app.add_handler(keeping(house), group=FIRST)
    app.add_handler(Gate(house).handler(), group=GATE)
    for name, callback in (
        ("as", voices.command),
        ("simulate", simulating.command),
        ("stop", simulating.stop),
        ("voices", Cast(house).voices),
        ("guess", guessing.command),
        ("help", about.help),
        ("start", about.start),
        ("allow", membership.allow),
        ("status", Status(house).command),
        ("model", versions.show),
        ("rollback", versions.roll_back),
        ("why", Explaining(house).why),
        ("chatty", joining.chatty),
        ("quiet", joining.quiet),
        ("optin", consenting.opt_in),
        ("optout", consenting.opt_out),
        ("forget", forgetting.command),
        ("privacy", privacy.command),
    ):
        app.add_handler(CommandHandler(name, callback, new, block=False))
    in_private = new & filters.ChatType.PRIVATE
    app.add_handler(
        MessageHandler(in_private & filters.Document.ALL, receiving.document, block=False)
    )
    app.add_handler(MessageHandler(filters.StatusUpdate.MIGRATE, membership.moved))
    app.add_handler(ChatMemberHandler(membership.changed, ChatMemberHandler.MY_CHAT_MEMBER))
    app.add_handler(
        MessageHandler(new & filters.REPLY & ~filters.COMMAND, voices.reply, block=False)
    )
    in_groups = new & filters.ChatType.GROUPS & ~filters.COMMAND
    app.add_handler(MessageHandler(in_groups, joining.talk, block=False), group=LAST)
    app.add_handler(MessageReactionHandler(Reacting(house).changed))
    app.add_handler(CallbackQueryHandler(only_a_voice, pattern=VOICE_SIGN, block=False))
    app.add_handler(CallbackQueryHandler(voices.press, pattern=AS_BUTTON, block=False))
    app.add_handler(PollAnswerHandler(guessing.answered))
    app.add_error_handler(report)


def _up(client: Client, house: House) -> str:
    """Say, in the terminal, that the bot is up."""
    voices = ", ".join(person.name for person in house.access.voices)
    speaks = f"speaking as {voices}" if voices else "with no voice that may be used (see CONSENT)"
    line = f"@{client.username} is up, model {house.stand.now.version}, {speaks}."
    return line if client.bot.can_read_all_group_messages else f"{line} {EN.privacy_is_on}"


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
