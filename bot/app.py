"""The composition root: settings and a trained model become the running bot."""

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from telegram import Bot
from telegram.error import InvalidToken, NetworkError, TelegramError
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    ChatMemberHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    MessageReactionHandler,
    PollAnswerHandler,
    filters,
)

from bot.chores import keep_up
from bot.context import Context
from bot.durable import Durable
from bot.errors import TelegramUnreachable
from bot.handlers.about import About
from bot.handlers.acting import Acting
from bot.handlers.cast import Cast
from bot.handlers.consenting import Consenting
from bot.handlers.explaining import Explaining
from bot.handlers.failures import report
from bot.handlers.forgetting import Forgetting
from bot.handlers.gate import Gate
from bot.handlers.guessing import Guessing
from bot.handlers.hearing import Hearing
from bot.handlers.joining import Joining
from bot.handlers.keeping import keeping
from bot.handlers.membership import Membership
from bot.handlers.privacy import Privacy
from bot.handlers.reacting import Reacting
from bot.handlers.receiving import Receiving
from bot.handlers.simulating import Simulating
from bot.handlers.status import Status
from bot.handlers.versions import Versions
from bot.handlers.voices import Voices, only_a_voice
from bot.house import House, Shelves
from bot.menus import show_menus
from bot.outgoing import AS_BUTTON, VOICE_SIGN
from bot.polling import Client, client_of
from bot.replies import Replies
from bot.serving import Models, OpenSpeaker, Stand
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
        keep_up(app, client, house, open_things, look_again)
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
        raise unreachable(error) from error
    return Me(me.username or "", bool(me.can_read_all_group_messages))


def _add_handlers(app: Durable, house: House, receiving: Receiving) -> None:
    """Let the store have each update first; what sends must not hold up the next one."""
    new = filters.UpdateType.MESSAGE  # an edited command would answer twice
    hearing = Hearing(house)
    acting = Acting(house, hearing)
    voices, simulating, guessing = Voices(house, acting), Simulating(house, acting), Guessing(house)
    joining = Joining(house, acting)
    about, membership = About(house), Membership(house, hearing)
    versions = Versions(house)
    forgetting, privacy = Forgetting(house), Privacy(house)
    consenting = Consenting(house, forgetting)
    app.add_handler(keeping(house.shelves, lambda: house.access), group=FIRST)
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


def unreachable(error: TelegramError) -> TelegramUnreachable:
    """Say what is wrong without the token, which the library's own text has."""
    if isinstance(error, InvalidToken):
        return TelegramUnreachable(
            "Telegram does not know this BOT_TOKEN: copy it again from @BotFather into .env"
        )
    kind = "cannot be reached" if isinstance(error, NetworkError) else "refused"
    return TelegramUnreachable(
        f"Telegram {kind} ({type(error).__name__}): check the network and TELEGRAM_API_URL"
    )
