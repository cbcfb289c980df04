"""Select the parts of an update that are stored, and store reactions."""

from collections.abc import Container

from telegram import Chat, ReactionTypeEmoji, Update

from bot.application import Context
from bot.handlers.membership import PUBLIC_GROUP_COMMANDS
from bot.services.state import BotState
from bot.store.inbox import Received
from bot.store.messages import Sticker
from bot.store.updates import Json, find_chat_id, find_command, remove_text
from bot.transport.incoming import is_conversation, message_of


def trim_update(state: BotState, username: str, update: Json) -> Json:
    """Return an update as it is stored: without text if the bot is silent in its chat.

    Updates that follow an unhandled `/allow` keep their text, which is needed after a kill.
    """
    chat = find_chat_id(update)
    if chat is None or state.may_speak_in(chat) or chat in state.chats_to_allow:
        return update
    if _will_be_allowed(update, chat, state, username):
        state.chats_to_allow.add(chat)
    return remove_text(
        update, lambda command: _is_own_command(command, username, PUBLIC_GROUP_COMMANDS)
    )


def select_stored(state: BotState, update: Update) -> Received | None:
    """Return the message and the sticker of an update that are stored.

    Nothing is stored from a chat in which the bot is silent. In an admin's private chat, only the
    messages that a reply may need as context are stored.
    """
    message = update.message or update.edited_message
    if message is None or not state.may_speak_in(message.chat.id):
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
    emoji = [
        reaction.emoji
        for reaction in change.new_reaction
        if isinstance(reaction, ReactionTypeEmoji)
    ]
    await context.state.store.reactions.replace(
        change.chat.id, change.message_id, change.user.id, emoji
    )


def _is_own_command(command: str, username: str, names: Container[str]) -> bool:
    """Whether a command such as `/help@the_bot` is for this bot and one of `names`."""
    name, _, target = command.removeprefix("/").partition("@")
    return name.lower() in names and target.lower() in {"", username.lower()}


def _will_be_allowed(update: Json, chat_id: int, state: BotState, username: str) -> bool:
    """Whether an update, as Telegram sent it, is an `/allow` that lets the bot speak in a group."""
    message = update.get("message")
    sender = message.get("from") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(sender, dict):
        return False
    is_from_admin = sender.get("id") in state.settings.admins and not sender.get("is_bot")
    is_allow = _is_own_command(find_command(message) or "", username, {"allow"})
    return is_allow and is_from_admin and state.group(chat_id).authorised
