"""Select the parts of an update that are stored, and store reactions."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from telegram import Chat, ReactionTypeEmoji, Update

from bot.application import Context
from bot.handlers.membership import MEMBER_STATUSES, PUBLIC_GROUP_COMMANDS
from bot.services.state import BotState
from bot.store.inbox import Received
from bot.store.messages import Sticker
from bot.store.updates import Json, find_chat_id, find_command, remove_text
from bot.transport.incoming import is_conversation, message_of


async def trim_updates(state: BotState, username: str, updates: Sequence[Json]) -> list[Json]:
    """Return updates as they are stored: without text if the bot is silent in their chat.

    Those behind an unhandled update that lets the bot speak in their chat keep their text: after a
    kill or a stop, and in another process, it is read from the database.
    """
    chats = {chat_id for one in updates if (chat_id := find_chat_id(one)) is not None}
    silent = {chat_id for chat_id in chats if chat_id < 0 and not state.may_speak_in(chat_id)}
    permissions = _PendingPermissions(state, username)
    if silent:
        for one in await state.store.inbox.waiting(*_PERMISSION_MARKS):
            permissions.note(one)
    for chat_id in silent:  # what was handled before that is in the database
        await state.reload_group(chat_id)
    return [permissions.note(one) for one in updates]


_PERMISSION_MARKS = '"my_chat_member"', '"/allow', '"migrate_to_chat_id"', '"migrate_from_chat_id"'
"""Every update that lets the bot speak in a chat contains one of them."""


@dataclass(frozen=True, slots=True)
class _PendingPermissions:
    """Finds the chats in which the bot may speak once earlier updates are handled.

    It mirrors `bot.handlers.membership` for updates that are not handled yet: change both together.
    `added` are those to which one of the bot's admins has added it, or sent `/allow`, which counts
    as adding it; in `open` it may speak.
    """

    state: BotState
    username: str
    added: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)

    def note(self, update: Json) -> Json:
        """Return an update as it is stored, and note which chat it opens."""
        chat_id = find_chat_id(update)
        if chat_id is None:
            return update
        is_open = self._may_speak_in(chat_id)
        message = update.get("message")
        if isinstance(message, dict):
            self._note_message(message, chat_id)
        elif isinstance(change := update.get("my_chat_member"), dict):
            self._note_change(change, chat_id)
        return update if is_open else remove_text(update, self._is_public)

    def _may_speak_in(self, chat_id: object) -> bool:
        return isinstance(chat_id, int) and (
            chat_id in self.open or self.state.may_speak_in(chat_id)
        )

    def _note_message(self, message: Json, chat_id: int) -> None:
        old, new = chat_id, message.get("migrate_to_chat_id")
        if "migrate_from_chat_id" in message:
            old, new = message["migrate_from_chat_id"], chat_id
        if isinstance(new, int) and self._may_speak_in(old):
            self.open.add(new)
        command = find_command(message) or ""
        is_allow = chat_id < 0 and _is_own_command(command, self.username, {"allow"})
        has_effect = is_allow and not self.state.is_without_model(chat_id)
        if has_effect and self._is_from_admin(message):
            if chat_id in self.added or self.state.group(chat_id).authorised:
                self.open.add(chat_id)
            self._note_added(chat_id)

    def _note_change(self, change: Json, chat_id: int) -> None:
        was_member, is_member = (
            _is_member(change.get(key)) for key in ("old_chat_member", "new_chat_member")
        )
        if is_member and not was_member and self._is_from_admin(change):
            self._note_added(chat_id)

    def _note_added(self, chat_id: int) -> None:
        self.added.add(chat_id)
        if self.state.access_in(chat_id).may_be_used_in(chat_id):
            self.open.add(chat_id)

    def _is_from_admin(self, body: Json) -> bool:
        sender = body.get("from")
        if not isinstance(sender, dict) or sender.get("is_bot"):
            return False
        return sender.get("id") in self.state.settings.admins

    def _is_public(self, command: str) -> bool:
        return _is_own_command(command, self.username, PUBLIC_GROUP_COMMANDS)


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


def _is_member(member: object) -> bool:
    """Whether a chat's member, as Telegram sends it, is in the chat."""
    if not isinstance(member, dict):
        return False
    return member.get("status") in MEMBER_STATUSES or bool(member.get("is_member"))
