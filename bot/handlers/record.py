"""Select the parts of an update that are stored, and store reactions."""

from telegram import Chat, ReactionTypeEmoji, Update

from bot.services.context import Context
from bot.services.state import BotState
from bot.store.inbox import Received
from bot.store.messages import Sticker
from bot.transport.incoming import is_conversation, message_of


def select_stored(state: BotState, update: Update) -> Received | None:
    """Return the message and the sticker of an update that are stored.

    Nothing is stored from a chat in which the bot is silent. In an admin's private chat, only the
    messages that a reply may need as context are stored.
    """
    message = update.message or update.edited_message
    if message is None or not state.access.may_speak_in(message.chat.id):
        return None
    is_private = message.chat.type == Chat.PRIVATE
    if is_private and not is_conversation(message):
        return None
    found, sticker = message.sticker, None
    if found and found.emoji and not (message.edit_date or is_private):
        sticker = Sticker(message.chat.id, found.emoji, found.file_unique_id, found.file_id)
    return Received(message_of(message), message.edit_date, sticker)


async def record_reactions(update: Update, context: Context) -> None:
    """Store somebody's current reactions to a message, except custom emoji."""
    change = update.message_reaction
    if change is None or change.user is None:
        return
    emoji = [one.emoji for one in change.new_reaction if isinstance(one, ReactionTypeEmoji)]
    await context.state.store.reactions.replace(
        change.chat.id, change.message_id, change.user.id, emoji
    )
