"""Report handler errors to the chat and the log."""

import logging
from contextlib import suppress

from telegram import Message, Update
from telegram.error import Forbidden, NetworkError

from bot.errors import StoreError
from bot.services.context import Context
from bot.transport.incoming import place_of

logger = logging.getLogger(__name__)


async def report(update: object, context: Context) -> None:
    """Log a handler's failure, and say so to whoever waits for an answer."""
    chat = update.effective_chat if isinstance(update, Update) else None
    number = update.update_id if isinstance(update, Update) else None
    logger.error(
        "update %s in chat %s failed", number, chat.id if chat else None, exc_info=context.error
    )
    if not isinstance(update, Update) or isinstance(context.error, Forbidden | NetworkError):
        return  # Telegram does not listen: a BadRequest is a NetworkError too
    if waits := _waits(update, context.bot.id):
        with suppress(StoreError):
            await context.delivery.apologise(place_of(waits), context.texts.error)


def _waits(update: Update, bot_id: int) -> Message | None:
    """Return the message beside which somebody waits for an answer; nobody does by just talking."""
    if update.callback_query:
        pressed = update.callback_query.message
        return pressed if isinstance(pressed, Message) else None
    message = update.message
    if message is None:
        return None
    replied = message.reply_to_message
    author = replied.from_user if replied else None
    answers_us = author is not None and author.id == bot_id
    return message if answers_us or (message.text or "").startswith("/") else None
