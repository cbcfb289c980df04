"""Select the parts of an update that are stored, and store reactions."""

from collections import ChainMap
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from telegram import Chat, ReactionTypeEmoji, Update

from bot.application import Context
from bot.handlers.membership import MEMBER_STATUSES, PUBLIC_GROUP_COMMANDS
from bot.services.access import Access
from bot.services.state import BotState
from bot.store.groups import Group
from bot.store.inbox import Received
from bot.store.messages import Sticker
from bot.store.updates import Json, find_chat_id, find_command, remove_text
from bot.transport.incoming import is_conversation, message_of, names_in


async def trim_updates(state: BotState, username: str, updates: Sequence[Json]) -> list[Json]:
    """Return updates as they are stored: without text if the bot is silent in their chat.

    Those behind an unhandled update that lets the bot speak in their chat keep their text: after a
    kill or a stop, and in another process, it is read from the database.
    """
    chats = {chat_id for one in updates if (chat_id := find_chat_id(one)) is not None}
    groups = [chat_id for chat_id in chats if chat_id < 0]
    find = state.store.inbox.waiting
    waiting = await find(*_PERMISSION_MARKS, unless_begun=_ALLOW_MARK) if groups else []
    for chat_id in groups:
        if not state.may_speak_in(chat_id):  # what was handled before that is in the database
            await state.reload_group(chat_id)
    permissions = _PendingPermissions(state, username, ChainMap({}, state.groups))
    for one in waiting:
        permissions.note(one)
    return [permissions.note(one) for one in updates]


_ALLOW_MARK = '"/allow'
_PERMISSION_MARKS = (
    '"my_chat_member"', _ALLOW_MARK, '"migrate_to_chat_id"', '"migrate_from_chat_id"',
)  # fmt: skip
"""Every update that lets the bot speak in a chat, or silences it, contains one of them.

An `/allow` that is being handled is left out: the database may have its effect already, and
counting it twice would open the chat.
"""


@dataclass(frozen=True, slots=True)
class _PendingPermissions:
    """Finds the chats in which the bot may speak once earlier updates are handled.

    It mirrors `bot.handlers.membership` for updates that are not handled yet: change both together.
    `groups` are the groups as they are then.
    """

    state: BotState
    username: str
    groups: ChainMap[int, Group]

    def note(self, update: Json) -> Json:
        """Return an update as it is stored, and note which chat it opens or closes."""
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

    def _group(self, chat_id: int) -> Group:
        return self.groups.get(chat_id) or Group(chat_id)

    def _access_in(self, chat_id: int) -> Access | None:
        """Return the permissions in a chat, or None if its own model cannot be used."""
        earlier = self._group(chat_id).moved_from
        chat_id = chat_id if earlier is None else earlier
        if self.state.is_without_model(chat_id):
            return None
        return replace(self.state.access_in(chat_id), groups=self.groups)

    def _may_speak_in(self, chat_id: int) -> bool:
        access = self._access_in(chat_id)
        return access is not None and access.may_speak_in(chat_id)

    def _note_message(self, message: Json, chat_id: int) -> None:
        old, new = chat_id, message.get("migrate_to_chat_id")
        if "migrate_from_chat_id" in message:
            old, new = message["migrate_from_chat_id"], chat_id
        if isinstance(old, int) and isinstance(new, int):
            self._note_move(old, new)
        elif chat_id < 0 and self._is_allow(message) and (access := self._access_in(chat_id)):
            group = self._group(chat_id)
            is_informed = group.authorised and not access.learned_from(chat_id)
            allowed = group.allowed | access.chats if is_informed else group.allowed
            self.groups[chat_id] = replace(group, authorised=True, allowed=allowed)

    def _note_move(self, old: int, new: int) -> None:
        there, known = self._group(new), self._group(old)
        if there.moved_from != old:
            let_in = known.authorised or self._may_speak_in(old) or there.authorised
            self.groups[new] = replace(known, chat_id=new, authorised=let_in, moved_from=old)

    def _note_change(self, change: Json, chat_id: int) -> None:
        was_member, is_member = (
            _is_member(change.get(key)) for key in ("old_chat_member", "new_chat_member")
        )
        if was_member == is_member:
            return
        group, is_channel = self._group(chat_id), change["chat"].get("type") == Chat.CHANNEL
        let_in = self._is_from_admin(change) and not is_channel
        was_there = group.authorised and group.moved_from is not None
        self.groups[chat_id] = replace(group, authorised=is_member and (let_in or was_there))

    def _is_allow(self, message: Json) -> bool:
        """Whether a message is an `/allow` that its handler accepts: an admin's, not a copy."""
        command = find_command(message) or ""
        is_copy = message.get("forward_origin") or message.get("via_bot")
        is_own = _is_own_command(command, self.username, {"allow"})
        return is_own and not is_copy and self._is_from_admin(message)

    def _is_from_admin(self, body: Json) -> bool:
        sender = body.get("from")
        if not isinstance(sender, dict) or sender.get("is_bot"):
            return False
        return sender.get("id") in self.state.settings.admins

    def _is_public(self, command: str) -> bool:
        return _is_own_command(command, self.username, PUBLIC_GROUP_COMMANDS)


def select_stored(state: BotState, update: Update) -> Received | None:
    """Return the message and the sticker of an update that are stored, and people's new names.

    Nothing is stored from a group in which the bot is silent. In an admin's private chat, only the
    messages that a reply may need as context are stored; in other private chats, none.
    """
    chat = update.effective_chat
    is_private = chat is None or chat.type == Chat.PRIVATE
    may_speak = chat is not None and state.may_speak_in(chat.id)
    if not (is_private or may_speak):
        return None
    names = {
        number: name
        for number, name in names_in(update).items()
        if state.models.is_new_name(number, name)
    }
    message = update.message or update.edited_message
    if message is None or not may_speak or (is_private and not is_conversation(message)):
        return Received(None, names=names)
    found, sticker = message.sticker, None
    if found and found.emoji and not (message.edit_date or is_private):
        sticker = Sticker(message.chat.id, found.emoji, found.file_unique_id, found.file_id)
    return Received(message_of(message), message.edit_date, sticker, names)


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
