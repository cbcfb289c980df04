"""Keeps every message and every edit, before anything else is done with them."""

from telegram import Update
from telegram.ext import BaseHandler, ContextTypes, MessageHandler, filters

from bot.incoming import message_of
from bot.store.messages import Store


def keeping(store: Store) -> BaseHandler[Update, ContextTypes.DEFAULT_TYPE, None]:
    """Return the handler that fills the store; it must run alone and first."""

    async def keep(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        received = update.effective_message
        message = message_of(received) if received else None
        if received and message:
            await store.save(message, edited_at=received.edit_date)

    return MessageHandler(filters.UpdateType.MESSAGES, keep)
