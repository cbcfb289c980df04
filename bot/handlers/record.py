"""Store messages, edits and reactions."""

from collections.abc import Callable
from dataclasses import dataclass

from telegram import Chat, ReactionTypeEmoji, Update
from telegram.ext import BaseHandler, MessageHandler, filters

from bot.services.access import Access
from bot.services.context import Context
from bot.services.state import BotState
from bot.store.store import Store
from bot.transport.incoming import is_conversation, message_of


def keeping(store: Store, access: Callable[[], Access]) -> BaseHandler[Update, Context, None]:
    """Return the handler that fills the store; it must run alone and first.

    It stores nothing from a chat in which the bot stays silent. From an admin's private chat it
    stores only what a reply may need as context.
    """

    async def keep(update: Update, _: Context) -> None:
        received = update.effective_message
        if received is None or not access().may_speak_in(received.chat.id):
            return
        is_private = received.chat.type == Chat.PRIVATE
        if is_private and not is_conversation(received):
            return
        if message := message_of(received):
            await store.messages.save(message, edited_at=received.edit_date)
        sticker = received.sticker
        if sticker and sticker.emoji and not (received.edit_date or is_private):
            await store.stickers.used(
                received.chat.id, sticker.emoji, sticker.file_unique_id, sticker.file_id
            )

    return MessageHandler(filters.UpdateType.MESSAGES, keep)


@dataclass(frozen=True, slots=True)
class Reacting:
    """The handler of reactions."""

    state: BotState

    async def changed(self, update: Update, _: Context) -> None:
        """Keep what somebody's reactions are now; custom emoji count as none."""
        change = update.message_reaction
        if change is None or change.user is None:
            return
        if not self.state.access.may_speak_in(change.chat.id):
            return
        emoji = [one.emoji for one in change.new_reaction if isinstance(one, ReactionTypeEmoji)]
        await self.state.store.reactions.replace(
            change.chat.id, change.message_id, change.user.id, emoji
        )
