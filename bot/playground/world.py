"""Chats, users and messages of the playground."""

import json
from collections.abc import Callable
from typing import TypeAlias

from bot.playground.objects import (
    ANONYMOUS_ADMIN,
    ApiError,
    Json,
    Member,
    SimulatedChat,
    Upload,
    User,
    picture_size,
)
from bot.playground.updates import Updates

SERVICE = frozenset(
    {
        "new_chat_members",
        "left_chat_member",
        "new_chat_title",
        "group_chat_created",
        "supergroup_chat_created",
        "pinned_message",
        "migrate_to_chat_id",
        "migrate_from_chat_id",
        "forum_topic_created",
    }
)
UPGRADED = "Bad Request: group chat was upgraded to a supergroup chat"
NO_THREAD = "Bad Request: message thread not found"
NO_REPLIED = "Bad Request: message to be replied not found"
Listener: TypeAlias = Callable[[str, Json], None]
"""Receives the kind of a change and its object."""


class World:
    """State and rules of the simulated Telegram."""

    def __init__(self, me: User, clock: Callable[[], float], *, can_read_all: bool) -> None:
        self.me = me
        self.can_read_all = can_read_all
        self.updates = Updates()
        self.users: dict[int, User] = {me.id: me, ANONYMOUS_ADMIN.id: ANONYMOUS_ADMIN}
        self.chats: dict[int, SimulatedChat] = {}
        self.messages: dict[tuple[int, int], Json] = {}
        self.files: dict[str, Upload] = {}
        self.stickers: dict[str, Json] = {}
        self.commands: dict[str, list[Json]] = {}
        self.queries: dict[str, int] = {}
        """The user who pressed the button, by callback query id."""
        self.votes: dict[str, dict[int, int]] = {}
        """The options that users chose, by poll id and user id."""
        self.reactions: dict[tuple[int, int], dict[int, tuple[str, ...]]] = {}
        """The emoji of each user, by message."""
        self.listeners: list[Listener] = []
        """Called for each change that people see in a chat."""
        self._clock = clock

    def now(self) -> int:
        """Return the Unix time in seconds."""
        return int(self._clock())

    def post(self, chat: SimulatedChat, sender: User, body: Json) -> Json:
        """Add a message to a chat and return it; ids count from 1 in each chat."""
        chat.last_message_id += 1
        message = {
            "message_id": chat.last_message_id,
            "date": self.now(),
            "chat": chat.json(),
            "from": sender.json(),
            **body,
        }
        self.store_message(message)
        if sender.is_bot and sender != ANONYMOUS_ADMIN:
            chat.last_bot = sender.id
        return message

    def store_message(self, message: Json) -> None:
        """Add a message, or replace the one with its id."""
        self.messages[message["chat"]["id"], message["message_id"]] = message
        self.notify("message", message)

    def delete_message(self, chat_id: int, message_id: int) -> None:
        """Delete a message with its reactions."""
        self.reactions.pop((chat_id, message_id), None)
        self.notify("deleted", self.messages.pop((chat_id, message_id)))

    def notify(self, kind: str, body: Json) -> None:
        """Report a change to the listeners."""
        for listener in tuple(self.listeners):
            listener(kind, body)

    def set_menu(self, scope: Json | None, language: str | None, commands: list[Json]) -> None:
        """Store the commands of a scope and a language."""
        self.commands[self._menu_key(scope, language)] = commands
        self.notify("commands", {})

    def menu(self, scope: Json | None, language: str | None) -> list[Json]:
        """Return the commands of a scope and a language."""
        return self.commands.get(self._menu_key(scope, language), [])

    def locate(self, chat: SimulatedChat, thread: int | None, reply_to: Json | None) -> Json:
        """Return the fields for a message's topic and the message that it replies to.

        In a topic, a message without a reply replies to the message that opened the topic.
        Elsewhere in a supergroup a reply has a thread id too, which is not a topic's.

        Raises:
            ApiError: 400 if the thread is not a topic of the chat.
        """
        if thread is None and reply_to is not None and reply_to.get("is_topic_message"):
            thread = reply_to["message_thread_id"]
        if thread is not None and thread not in chat.topics:
            raise ApiError(400, NO_THREAD)
        fields: Json = {}
        if thread is not None:
            fields = {"message_thread_id": thread, "is_topic_message": True}
            reply_to = reply_to or self.messages[chat.id, thread]
        elif reply_to is not None and chat.kind == "supergroup":
            root = reply_to.get("message_thread_id", reply_to["message_id"])
            fields = {"message_thread_id": root}
        if reply_to is not None:
            fields["reply_to_message"] = {
                key: part for key, part in reply_to.items() if key != "reply_to_message"
            }
        return fields

    async def announce(self, chat: SimulatedChat, message: Json, *, edited: bool = False) -> None:
        """Send the bot an update about a message, if it may see the message."""
        if self._is_visible(chat, message):
            await self.updates.push("edited_message" if edited else "message", message)

    async def change_status(self, chat: SimulatedChat, new: Member, by: User) -> None:
        """Change a user's status. Send the bot an update, if Telegram would."""
        old, me = chat.member(new.user), chat.member(self.me)
        chat.members[new.user.id] = new
        change = {
            "chat": chat.json(),
            "from": by.json(),
            "date": self.now(),
            "old_chat_member": old.json(),
            "new_chat_member": new.json(),
        }
        if new.user == self.me:
            await self.updates.push("my_chat_member", change)
        elif me.is_admin:
            await self.updates.push("chat_member", change)

    def store_file(self, upload: Upload) -> Json:
        """Store a file and return its Document."""
        file_id = f"file-{len(self.files) + 1}"
        self.files[file_id] = upload
        return {
            "file_id": file_id,
            "file_unique_id": f"unique-{file_id}",
            "file_name": upload.name,
            "file_size": len(upload.content),
        }

    def store_photo(self, upload: Upload) -> list[Json]:
        """Store a picture and return its PhotoSizes: one, of its own size.

        Raises:
            ApiError: 400 if it is neither PNG nor JPEG.
        """
        size = picture_size(upload.content)
        if size is None:
            raise ApiError(400, "Bad Request: IMAGE_PROCESS_FAILED")
        document = self.store_file(upload)
        del document["file_name"]
        return [document | {"width": size[0], "height": size[1]}]

    def find_chat(self, chat_id: object) -> SimulatedChat:
        """Return the chat of a call.

        Raises:
            ApiError: 400 if there is no such chat, or no longer with this id; 403 if the bot was
                removed from it or blocked.
        """
        if chat_id is None:
            raise ApiError(400, "Bad Request: chat_id is empty")
        chat = self.chats.get(chat_id) if isinstance(chat_id, int) else None
        if chat is None:
            raise ApiError(400, "Bad Request: chat not found")
        if chat.migrated_to is not None:
            raise ApiError(400, UPGRADED, migrate_to_chat_id=chat.migrated_to)
        status = chat.member(self.me).status
        if chat.kind == "private" and status == "kicked":
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if status == "kicked":
            raise ApiError(403, f"Forbidden: bot was kicked from the {chat.kind} chat")
        if status == "left":
            raise ApiError(403, f"Forbidden: bot is not a member of the {chat.kind} chat")
        return chat

    def find_replied(self, chat: SimulatedChat, reply: Json | None) -> Json | None:
        """Return the message that a call's reply_parameters name.

        Raises:
            ApiError: 400 if it does not exist and the call requires it.
        """
        if reply is None:
            return None
        found = self.messages.get((chat.id, int(reply["message_id"])))
        if found is None and not reply.get("allow_sending_without_reply"):
            raise ApiError(400, NO_REPLIED)
        return found

    def _is_visible(self, chat: SimulatedChat, message: Json) -> bool:
        """Apply privacy mode, as core.telegram.org/bots/features#privacy-mode describes it."""
        sender, me = message["from"], chat.member(self.me)
        if not me.is_present or (sender["is_bot"] and sender["id"] != ANONYMOUS_ADMIN.id):
            return False
        sees_all = self.can_read_all or me.is_admin or chat.kind in {"private", "channel"}
        if sees_all or not SERVICE.isdisjoint(message):
            return True
        replied = message.get("reply_to_message", {})
        if self.me.id in (message.get("via_bot", {}).get("id"), replied.get("from", {}).get("id")):
            return True
        text = message.get("text", "")
        if not text.startswith("/"):
            return False
        _, at, name = text.split(maxsplit=1)[0].partition("@")
        if at:
            return bool(name.lower() == (self.me.username or "").lower())
        return chat.last_bot == self.me.id  # a command without a name is for the last bot

    def _menu_key(self, scope: Json | None, language: str | None) -> str:
        scope = scope or {"type": "default"}
        if "chat_id" in scope:
            self.find_chat(scope["chat_id"])
        return json.dumps([scope, language or ""], sort_keys=True)
