"""Select what is stored of an update, and store reactions."""

from dataclasses import dataclass

from telegram import Chat, ReactionTypeEmoji, Update

from bot.services.context import Context
from bot.services.state import BotState
from bot.store.inbox import Received
from bot.store.messages import Sticker
from bot.transport.incoming import is_conversation, message_of


def select_stored(state: BotState, update: Update) -> Received | None:
    """Return the message and the sticker of an update that are stored.

    Nothing is stored from a chat in which the bot stays silent. From an admin's private chat only
    messages are stored that a reply may need as context.
    """
    received = update.message or update.edited_message
    if received is None or not state.access.may_speak_in(received.chat.id):
        return None
    is_private = received.chat.type == Chat.PRIVATE
    if is_private and not is_conversation(received):
        return None
    found, sticker = received.sticker, None
    if found and found.emoji and not (received.edit_date or is_private):
        sticker = Sticker(received.chat.id, found.emoji, found.file_unique_id, found.file_id)
    return Received(message_of(received), received.edit_date, sticker)


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
