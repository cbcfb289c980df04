"""The composition root: settings and a trained model become the running bot."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

from telegram.ext import Application, ContextTypes

from bot.chores import keep_up
from bot.context import Context
from bot.durable import Durable
from bot.handlers.gate import is_open
from bot.handlers.receiving import Receiving
from bot.house import House
from bot.polling import Client, client_of
from bot.replies import Replies
from bot.routes import add_handlers
from bot.serving import Models, OpenSpeaker, Stand
from bot.settings import Settings
from bot.store.database import opened, prepare
from bot.store.scrubbing import Json, chat_of, wordless
from bot.store.shelves import Shelves
from bot.texts import EN

LOOK_AGAIN = 5.0  # seconds between looks for another version of the model

logger = logging.getLogger(__name__)


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
        house = await _house(app, settings, models, open_speaker, open_things)
        app.bot_data["house"] = house
        app.inbox = house.shelves.inbox
        client.keep_in(app.inbox, partial(_trim_update, house, client))
        receiving = Receiving(house)
        open_things.push_async_callback(receiving.close)
        add_handlers(app, house, receiving)
        await _go_on(app, client, house)
        keep_up(app, client, house, open_things, look_again)
        on_up(_up(client, house))

    async def tear_down(_: Durable) -> None:
        await open_things.aclose()

    return _application(client, set_up, tear_down)


def _application(
    client: Client,
    set_up: Callable[[Durable], Awaitable[None]],
    tear_down: Callable[[Durable], Awaitable[None]],
) -> Durable:
    app = (
        Application.builder()
        .application_class(Durable)
        .bot(client)
        .context_types(ContextTypes(context=Context))
        .post_init(set_up)  # type: ignore[arg-type]  # the builder knows only the library's own
        .post_shutdown(tear_down)  # type: ignore[arg-type]  # likewise
        .build()
    )
    if not isinstance(app, Durable):
        raise TypeError("the library built another application than ours")
    return app


async def _house(
    app: Durable,
    settings: Settings,
    models: Models,
    open_speaker: OpenSpeaker,
    open_things: AsyncExitStack,
) -> House:
    await prepare(settings.database_url)
    engine = await open_things.enter_async_context(opened(settings.database_url))
    shelves = Shelves.of(engine)
    stand = Stand(models, open_speaker, app.bot.id)
    replies = Replies(lambda: stand.now, shelves.messages)
    open_things.callback(replies.close)
    house = House(settings, stand, shelves, replies, jobs=app.jobs)
    await house.open()
    return house


def _trim_update(house: House, client: Client, update: Json) -> Json:
    """Return an update as it is stored: without text if the bot is silent in its chat."""
    chat = chat_of(update)
    if chat is None or house.access.speaks_in(chat):
        return update
    return wordless(update, lambda command: is_open(command, client.username))


async def _go_on(app: Durable, client: Client, house: House) -> None:
    """Take up what the bot was at when it last ended."""
    uncertain = await house.shelves.journal.settle()
    replayed = await app.replay(client.read)
    if uncertain or replayed:
        logger.info("%d updates handled anew, %d replies uncertain", replayed, uncertain)


def _up(client: Client, house: House) -> str:
    """Say, in the terminal, that the bot is up."""
    voices = ", ".join(person.name for person in house.access.voices)
    speaks = f"speaking as {voices}" if voices else "with no voice that may be used (see CONSENT)"
    line = f"@{client.username} is up, model {house.stand.now.version}, {speaks}."
    return line if client.bot.can_read_all_group_messages else f"{line} {EN.privacy_is_on}"
