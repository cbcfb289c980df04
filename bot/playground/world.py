"""Chats, users and messages of the playground."""

from collections.abc import Callable

from bot.playground.objects import (
    ANONYMOUS_ADMIN,
    ApiError,
    Chat,
    Json,
    Member,
    Upload,
    User,
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


class World:
    """The state that people and the bot change, and the rules both are under."""

    def __init__(self, me: User, clock: Callable[[], float], *, can_read_all: bool) -> None:
        self.me = me
        self.can_read_all = can_read_all
        self.updates = Updates()
        self.users: dict[int, User] = {me.id: me, ANONYMOUS_ADMIN.id: ANONYMOUS_ADMIN}
        self.chats: dict[int, Chat] = {}
        self.messages: dict[tuple[int, int], Json] = {}
        self.files: dict[str, Upload] = {}
        self.stickers: dict[str, Json] = {}
        self.commands: dict[str, list[Json]] = {}
        self.queries: set[str] = set()
        self.voters: dict[str, set[int]] = {}
        self.logged_out = False
        self._clock = clock

    def now(self) -> int:
        """Return the time in seconds, as dates are written."""
        return int(self._clock())

    def post(self, chat: Chat, sender: User, body: Json) -> Json:
        """Put a message into a chat, ids rising from 1 in each, and return it."""
        chat.last_message_id += 1
        message = {
            "message_id": chat.last_message_id,
            "date": self.now(),
            "chat": chat.json(),
            "from": sender.json(),
            **body,
        }
        self.messages[chat.id, chat.last_message_id] = message
        if sender.is_bot and sender != ANONYMOUS_ADMIN:
            chat.last_bot = sender.id
        return message

    def place(self, chat: Chat, thread: int | None, reply_to: Json | None) -> Json:
        """Return the fields that say where in a chat a message stands.

        In a topic, what answers nobody answers the message that opened the topic. A reply
        elsewhere in a supergroup carries a thread id too, which is no topic's.

        Raises:
            ApiError: 400 where the thread is not a topic of the chat.
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

    async def announce(self, chat: Chat, message: Json, *, edited: bool = False) -> None:
        """Send the bot what a person did, where it may see it."""
        if self._is_visible(chat, message):
            await self.updates.push("edited_message" if edited else "message", message)

    async def change_status(self, chat: Chat, new: Member, by: User) -> None:
        """Make a user something else in a chat; the bot hears of itself, as an admin of all."""
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

    def keep_file(self, upload: Upload) -> Json:
        """Store a file and return the Bot API's Document of it."""
        file_id = f"file-{len(self.files) + 1}"
        self.files[file_id] = upload
        return {
            "file_id": file_id,
            "file_unique_id": f"unique-{file_id}",
            "file_name": upload.name,
            "file_size": len(upload.content),
        }

    def reach(self, chat_id: object) -> Chat:
        """Return the chat that a call names, where the bot may act in it.

        Raises:
            ApiError: 400 where there is no such chat, or no longer under this id;
                403 where the bot was removed from it or blocked.
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

    def replied(self, chat: Chat, reply: Json | None) -> Json | None:
        """Return the message that a call's reply_parameters name.

        Raises:
            ApiError: 400 where it is not there and the call insists.
        """
        if reply is None:
            return None
        found = self.messages.get((chat.id, int(reply["message_id"])))
        if found is None and not reply.get("allow_sending_without_reply"):
            raise ApiError(400, NO_REPLIED)
        return found

    def _is_visible(self, chat: Chat, message: Json) -> bool:
        """Apply privacy mode, as core.telegram.org/bots/features#privacy-mode has it."""
        sender, me = message["from"], chat.member(self.me)
        if not me.is_present or (sender["is_bot"] and sender["id"] != ANONYMOUS_ADMIN.id):
            return False
        sees_all = self.can_read_all or me.is_admin or chat.kind in {"private", "channel"}
        if sees_all or not SERVICE.isdisjoint(message):
            return True
        if self.me.id in (message.get("via_bot", {}).get("id"), _author_of_replied(message)):
            return True
        return self._is_commanded(chat, message.get("text", ""))

    def _is_commanded(self, chat: Chat, text: str) -> bool:
        """Tell whether a text is a command to the bot: by name, or as the last bot to speak."""
        if not text.startswith("/"):
            return False
        _, at, name = text.split(maxsplit=1)[0].partition("@")
        if at:
            return name.lower() == (self.me.username or "").lower()
        return chat.last_bot == self.me.id


def _author_of_replied(message: Json) -> int | None:
    author: int | None = message.get("reply_to_message", {}).get("from", {}).get("id")
    return author


async def react(world: World, message: Json, user: User, *emoji: str) -> None:
    """Change a person's reactions; the bot hears of it where it is an admin."""
    chat = world.chats[message["chat"]["id"]]
    if not chat.member(world.me).is_admin:
        return
    change = {
        "chat": chat.json(),
        "message_id": message["message_id"],
        "user": user.json(),
        "date": world.now(),
        "old_reaction": [],
        "new_reaction": [{"type": "emoji", "emoji": one} for one in emoji],
    }
    await world.updates.push("message_reaction", change)


async def press(world: World, message: Json, user: User, data: str) -> str:
    """Press the button that holds `data`; return the query's id.

    Raises:
        ValueError: The message, as it stands now, has no such button.
    """
    current = world.messages[message["chat"]["id"], message["message_id"]]
    rows = current.get("reply_markup", {}).get("inline_keyboard", [])
    held = [button.get("callback_data") for row in rows for button in row]
    if data not in held:
        raise ValueError(f"no button holds {data!r}: there are {held}")
    query_id = str(len(world.queries) + 1)
    world.queries.add(query_id)
    query = {"id": query_id, "from": user.json(), "message": current, "data": data}
    instance = {"chat_instance": str(current["chat"]["id"])}
    await world.updates.push("callback_query", query | instance)
    return query_id
