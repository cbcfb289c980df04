"""Report handler errors to the chat and the log."""

import logging
from contextlib import suppress

from telegram import Message, Update
from telegram.error import Forbidden, NetworkError

from bot.errors import StoreError
from bot.services.context import Context
from bot.transport.incoming import place_of

logger = logging.getLogger(__name__)


async def report_error(update: object, context: Context) -> None:
    """Log a handler's error, and apologise if somebody is waiting for an answer."""
    chat = update.effective_chat if isinstance(update, Update) else None
    update_id = update.update_id if isinstance(update, Update) else None
    logger.error(
        "update %s in chat %s failed", update_id, chat.id if chat else None, exc_info=context.error
    )
    if not isinstance(update, Update) or isinstance(context.error, Forbidden | NetworkError):
        return  # no message can be sent now; a BadRequest is a NetworkError too
    if message := _unanswered_message(update, context.bot.id):
        with suppress(StoreError):
            await context.delivery.apologise(place_of(message), context.texts.error)


def _unanswered_message(update: Update, bot_id: int) -> Message | None:
    """Return the message to answer: a pressed button's, a command, or a reply to the bot."""
    if update.callback_query:
        pressed = update.callback_query.message
        return pressed if isinstance(pressed, Message) else None
    message = update.message
    if message is None:
        return None
    replied = message.reply_to_message
    author = replied.from_user if replied else None
    is_reply_to_bot = author is not None and author.id == bot_id
    return message if is_reply_to_bot or (message.text or "").startswith("/") else None
