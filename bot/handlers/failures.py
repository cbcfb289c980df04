"""What happens when a handler fails: the log has the traceback, the chat a friendly line."""

import logging
from contextlib import suppress

from telegram import Update
from telegram.error import Forbidden, NetworkError, TelegramError
from telegram.ext import ContextTypes

from bot import texts
from bot.incoming import place_of
from bot.outgoing import send

logger = logging.getLogger(__name__)


async def report(update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
    """Log a handler's failure, and say so where a command or a press waits for an answer."""
    chat = update.effective_chat if isinstance(update, Update) else None
    number = update.update_id if isinstance(update, Update) else None
    logger.error(
        "update %s in chat %s failed", number, chat.id if chat else None, exc_info=context.error
    )
    if not isinstance(update, Update) or isinstance(context.error, Forbidden | NetworkError):
        return  # Telegram does not listen: a BadRequest is a NetworkError too
    message = update.message
    waits = message is not None and (message.text or "").startswith("/")
    if message is not None and waits:
        with suppress(TelegramError):
            await send(context.bot, place_of(message), texts.FAILED)
