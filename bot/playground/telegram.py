"""An in-memory Telegram with groups, members and messages."""

import asyncio
import inspect
import time
from collections.abc import Callable

from bot.playground.methods import METHODS
from bot.playground.objects import (
    ANONYMOUS_ADMIN,
    ApiError,
    Call,
    Json,
    Member,
    SimulatedChat,
    Upload,
    User,
    sticker,
    text_fields,
)
from bot.playground.world import World

TOKEN = "42:PLAYGROUND"  # noqa: S105  valid on this server only


class Telegram:
    """A simulated Telegram for one bot: a caller acts as people, and it records the bot's calls.

    Privacy mode is on unless `can_read_all`. There are no flood limits and no parse_mode.
    """

    def __init__(
        self,
        token: str = TOKEN,
        *,
        username: str = "understudy_bot",
        first_name: str = "Understudy",
        can_read_all: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.me = User(int(token.partition(":")[0]), first_name, username=username, is_bot=True)
        self.world = World(self.me, clock, can_read_all=can_read_all)
        self.updates = self.world.updates
        self.calls: list[Call] = []
        """Every call except getUpdates, in order, with the refused ones."""
        self._has_new_call = asyncio.Condition()

    def user(
        self,
        user_id: int,
        first_name: str,
        last_name: str | None = None,
        username: str | None = None,
        *,
        is_bot: bool = False,
    ) -> User:
        """Add a person or another bot."""
        user = User(user_id, first_name, last_name, username, is_bot)
        self.world.users[user_id] = user
        return user

    def chat(
        self, chat_id: int, *, title: str, kind: str = "supergroup", is_forum: bool = False
    ) -> SimulatedChat:
        """Add a group, supergroup or channel with the bot as a member."""
        chat = SimulatedChat(chat_id, kind, title, is_forum)
        chat.members[self.me.id] = Member(self.me)
        self.world.chats[chat_id] = chat
        return chat

    def private(self, user: User) -> SimulatedChat:
        """Return the private chat of a person and the bot; its id is the person's."""
        members = {self.me.id: Member(self.me), user.id: Member(user)}
        chat = SimulatedChat(user.id, "private", person=user, members=members)
        return self.world.chats.setdefault(user.id, chat)

    def topic(self, chat: SimulatedChat, name: str) -> int:
        """Open a topic in a forum and return its thread id; the bot gets no update."""
        body = {"is_topic_message": True, "message_thread_id": chat.last_message_id + 1}
        icon = {"name": name, "icon_color": 0x6FB9F0}
        message = self.world.post(chat, ANONYMOUS_ADMIN, body | {"forum_topic_created": icon})
        thread: int = message["message_id"]
        chat.topics[thread] = name
        return thread

    def upload(self, name: str, content: bytes) -> Json:
        """Add a file and return its Document, for `say(…, None, document=…)`."""
        return self.world.store_file(Upload(name, content))

    def sticker(self, emoji: str) -> Json:
        """Add a Sticker, for `say(…, None, sticker=…)`."""
        added = sticker(f"sticker-{len(self.world.stickers) + 1}", emoji)
        self.world.stickers[added["file_id"]] = added
        return added

    def photo(self, content: bytes) -> list[Json]:
        """Add a picture and return its PhotoSizes, for `say(…, None, photo=…)`.

        Raises:
            ApiError: 400 if it is neither PNG nor JPEG.
        """
        return self.world.store_photo(Upload("photo", content))

    async def react(self, message: Json, user: User, *emoji: str) -> None:
        """Change a person's reactions; the bot gets an update where it is an admin."""
        chat = self.world.chats[message["chat"]["id"]]
        reactions = self.world.reactions.setdefault((chat.id, message["message_id"]), {})
        earlier, reactions[user.id] = reactions.get(user.id, ()), emoji
        if current := self.world.messages.get((chat.id, message["message_id"])):
            self.world.notify("message", current)
        if not chat.member(self.me).is_admin:
            return
        change = {
            "chat": chat.json(),
            "message_id": message["message_id"],
            "user": user.json(),
            "date": self.world.now(),
            "old_reaction": [{"type": "emoji", "emoji": symbol} for symbol in earlier],
            "new_reaction": [{"type": "emoji", "emoji": symbol} for symbol in emoji],
        }
        await self.updates.push("message_reaction", change)

    async def say(
        self,
        chat: SimulatedChat,
        user: User | None,
        text: str | None,
        *,
        reply_to: Json | None = None,
        thread: int | None = None,
        **extra: object,
    ) -> Json:
        """Post a message and return it; without a user, an admin speaks as the group.

        `extra` adds or replaces fields of the Bot API's Message: `photo`, `date`, …

        Raises:
            ValueError: The chat became a supergroup.
        """
        if chat.migrated_to is not None:
            raise ValueError(f"chat {chat.id} became chat {chat.migrated_to}")
        sender = user or ANONYMOUS_ADMIN
        if user is not None:
            chat.members.setdefault(user.id, Member(user))
        body = self.world.locate(chat, thread, reply_to) | text_fields(text)
        if user is None:
            body["sender_chat"] = chat.json()
        message = self.world.post(chat, sender, body | extra)
        await self.world.announce(chat, message)
        return message

    async def edit(self, message: Json, text: str) -> Json:
        """Change the text or caption of a person's message and return the new message."""
        chat = self.world.chats[message["chat"]["id"]]
        dropped = {"entities", "caption_entities"}
        kept = {name: part for name, part in message.items() if name not in dropped}
        new_text = text_fields(text, key="text" if "text" in message else "caption")
        edited = {**kept, **new_text, "edit_date": self.world.now()}
        self.world.store_message(edited)
        await self.world.announce(chat, edited, edited=True)
        return edited

    def remove(self, message: Json) -> None:
        """Delete a message; a bot gets no update about this."""
        self.world.delete_message(message["chat"]["id"], message["message_id"])

    def message(self, chat: SimulatedChat, message_id: int) -> Json:
        """Return the current message, or raise KeyError if it was deleted."""
        return self.world.messages[chat.id, message_id]

    async def press(self, message: Json, user: User, data: str) -> str:
        """Press the button with `data` under a message; return the id of the callback query.

        Raises:
            ValueError: The message no longer has such a button.
        """
        current = self.message(self.world.chats[message["chat"]["id"]], message["message_id"])
        rows = current.get("reply_markup", {}).get("inline_keyboard", [])
        buttons = [button.get("callback_data") for row in rows for button in row]
        if data not in buttons:
            raise ValueError(f"no button has the data {data!r}: there are {buttons}")
        query_id = str(len(self.world.queries) + 1)
        self.world.queries[query_id] = user.id
        query = {"id": query_id, "from": user.json(), "message": current, "data": data}
        instance = {"chat_instance": str(current["chat"]["id"])}
        await self.updates.push("callback_query", query | instance)
        return query_id

    async def vote(self, message: Json, user: User, option: int) -> None:
        """Answer a quiz; unless it is anonymous, the bot gets an update about who chose what.

        Raises:
            ValueError: There is no such option, or the user has already voted.
        """
        current = self.world.messages[message["chat"]["id"], message["message_id"]]
        poll: Json = current["poll"]
        if not 0 <= option < len(poll["options"]):
            raise ValueError(f"no option {option}: there are {len(poll['options'])}")
        votes = self.world.votes[poll["id"]]
        if user.id in votes:
            raise ValueError(f"{user.first_name} has already answered")
        votes[user.id] = option
        options = [
            {**one, "voter_count": one["voter_count"] + (place == option)}
            for place, one in enumerate(poll["options"])
        ]
        counted = {**poll, "options": options, "total_voter_count": poll["total_voter_count"] + 1}
        self.world.store_message({**current, "poll": counted})
        await self.updates.push("poll", counted)
        if not poll["is_anonymous"]:
            answer = {"poll_id": poll["id"], "user": user.json(), "option_ids": [option]}
            chosen = {"option_persistent_ids": [str(option)]}
            await self.updates.push("poll_answer", answer | chosen)

    async def migrate(self, chat: SimulatedChat, new_id: int) -> SimulatedChat:
        """Turn a group into the supergroup `new_id` and return it."""
        moved = self.chat(new_id, title=chat.title or "", is_forum=chat.is_forum)
        moved.members = dict(chat.members)
        await self.say(chat, None, None, migrate_to_chat_id=new_id)
        chat.migrated_to = new_id
        await self.say(moved, None, None, migrate_from_chat_id=chat.id)
        return moved

    async def set_status(
        self, chat: SimulatedChat, user: User, status: str, *, by: User | None = None
    ) -> None:
        """Make a user creator, administrator, member, left or kicked; send the bot's updates.

        In a private chat, `kicked` for the bot means that the person blocked it.
        """
        await self.world.change_status(
            chat, Member(user, status), by=by or chat.person or ANONYMOUS_ADMIN
        )

    def sent(self, method: str, *, refused: bool = False, **match: object) -> list[Call]:
        """Return the calls of a method that took effect (or were refused), by parameters."""
        return self._select(method, match, since=0, refused=refused)

    async def wait_for(
        self,
        method: str,
        *,
        since: int = 0,
        timeout: float = 10,  # noqa: ASYNC109  a test chooses how long it waits
        refused: bool = False,
        **match: object,
    ) -> Call:
        """Return the first matching call at or after index `since` of `calls`, or wait for it.

        Raises:
            TimeoutError: None came in time; the text names the methods that were called.
        """

        def matching() -> list[Call]:
            return self._select(method, match, since=since, refused=refused)

        try:
            async with asyncio.timeout(timeout), self._has_new_call:
                await self._has_new_call.wait_for(matching)
        except TimeoutError as error:
            others = [call.method for call in self.calls[since:]]
            raise TimeoutError(
                f"no {method} with {match} in {timeout:g} s; the calls since {since} were {others}"
            ) from error
        return matching()[0]

    async def call(self, method: str, params: Json) -> object:
        """Answer a call of the bot.

        Raises:
            ApiError: The call is refused.
        """
        try:
            result = await self._answer(method, params)
        except ApiError as error:
            await self.record(Call(method, params, error=error))
            raise
        if method != "getUpdates":
            await self.record(Call(method, params, result))
        return result

    async def record(self, call: Call) -> None:
        """Add a call to `calls`, and wake everybody who waits for one."""
        async with self._has_new_call:
            self.calls.append(call)
            self._has_new_call.notify_all()

    def _select(
        self, method: str, match: dict[str, object], *, since: int, refused: bool
    ) -> list[Call]:
        return [
            call
            for call in self.calls[since:]
            if call.method == method
            and (call.error is not None) == refused
            and all(call.params.get(name) == value for name, value in match.items())
        ]

    async def _answer(self, method: str, params: Json) -> object:
        if method not in METHODS:
            raise ApiError(404, "Not Found: method not found")
        answer = METHODS[method](self.world, params)
        return await answer if inspect.isawaitable(answer) else answer


async def add_bot(
    telegram: Telegram, chat: SimulatedChat, by: User, status: str = "member"
) -> None:
    """Add the bot to a chat, even if it is already a member."""
    chat.members[telegram.me.id] = Member(telegram.me, "left")
    chat.members.setdefault(by.id, Member(by))
    await telegram.set_status(chat, telegram.me, status, by=by)
    if chat.kind != "channel":
        await telegram.say(chat, by, None, new_chat_members=[telegram.me.json()])
