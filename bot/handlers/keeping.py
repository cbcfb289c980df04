"""Keeps each message and each edit of the chats that the bot speaks in, before all else."""

from telegram import Update
from telegram.ext import BaseHandler, ContextTypes, MessageHandler, filters

from bot.access import Access
from bot.incoming import message_of
from bot.store.messages import Store


def keeping(store: Store, access: Access) -> BaseHandler[Update, ContextTypes.DEFAULT_TYPE, None]:
    """Return the handler that fills the store; it must run alone and first.

    Of a chat in which the bot stays silent it keeps nothing: that is another group's life.
    """

    async def keep(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        received = update.effective_message
        if received is None or not access.speaks_in(received.chat.id):
            return
        if message := message_of(received):
            await store.save(message, edited_at=received.edit_date)

    return MessageHandler(filters.UpdateType.MESSAGES, keep)
