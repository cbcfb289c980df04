"""Keeps each message and each edit of the chats that the bot speaks in, before all else."""

from collections.abc import Callable

from telegram import Chat, Update
from telegram.ext import BaseHandler, MessageHandler, filters

from bot.access import Access
from bot.context import Context
from bot.incoming import is_conversation, message_of
from bot.store.shelves import Shelves


def keeping(shelves: Shelves, access: Callable[[], Access]) -> BaseHandler[Update, Context, None]:
    """Return the handler that fills the store; it must run alone and first.

    It stores nothing from a chat in which the bot stays silent. From an admin's private chat it
    stores only what a reply may need as context.
    """

    async def keep(update: Update, _: Context) -> None:
        received = update.effective_message
        if received is None or not access().speaks_in(received.chat.id):
            return
        is_private = received.chat.type == Chat.PRIVATE
        if is_private and not is_conversation(received):
            return
        if message := message_of(received):
            await shelves.messages.save(message, edited_at=received.edit_date)
        sticker = received.sticker
        if sticker and sticker.emoji and not (received.edit_date or is_private):
            await shelves.stickers.used(
                received.chat.id, sticker.emoji, sticker.file_unique_id, sticker.file_id
            )

    return MessageHandler(filters.UpdateType.MESSAGES, keep)
