"""An in-memory Telegram with groups, members and messages."""

import asyncio
import inspect
import time
from collections.abc import Callable

from bot.playground import methods, world
from bot.playground.faults import CallLog, Fault, Faults
from bot.playground.methods import METHODS
from bot.playground.objects import (
    ANONYMOUS_ADMIN,
    ApiError,
    Call,
    Chat,
    ConnectionDropped,
    Json,
    Member,
    Upload,
    User,
    sticker,
    worded,
)
from bot.playground.world import World

TOKEN = "42:PLAYGROUND"  # noqa: S105 - opens nothing but this server


class Telegram:
    """One bot's Telegram: chats and people to act through, and a record of the bot's calls.

    Privacy mode is on unless `can_read_all`. Floods are not counted, and no parse_mode is known.
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
        self._log, self._faults = CallLog(), Faults()

    def user(
        self,
        user_id: int,
        first_name: str,
        last_name: str | None = None,
        username: str | None = None,
        *,
        is_bot: bool = False,
    ) -> User:
        """Return a new person, or another bot."""
        user = User(user_id, first_name, last_name, username, is_bot)
        self.world.users[user_id] = user
        return user

    def chat(
        self, chat_id: int, *, title: str, kind: str = "supergroup", is_forum: bool = False
    ) -> Chat:
        """Return a new group, supergroup or channel that the bot is a member of."""
        chat = Chat(chat_id, kind, title, is_forum)
        chat.members[self.me.id] = Member(self.me)
        self.world.chats[chat_id] = chat
        return chat

    def private(self, user: User) -> Chat:
        """Return the private chat of a person and the bot, its id the person's."""
        members = {self.me.id: Member(self.me), user.id: Member(user)}
        fresh = Chat(user.id, "private", person=user, members=members)
        return self.world.chats.setdefault(user.id, fresh)

    def topic(self, chat: Chat, name: str) -> int:
        """Open a topic in a forum and return its thread id; the bot is not told."""
        body = {"is_topic_message": True, "message_thread_id": chat.last_message_id + 1}
        icon = {"name": name, "icon_color": 0x6FB9F0}
        message = self.world.post(chat, ANONYMOUS_ADMIN, body | {"forum_topic_created": icon})
        thread: int = message["message_id"]
        chat.topics[thread] = name
        return thread

    def upload(self, name: str, content: bytes) -> Json:
        """Return the Document of a file, to `say(…, None, document=…)`."""
        return self.world.keep_file(Upload(name, content))

    def sticker(self, emoji: str) -> Json:
        """Return a new Sticker, to `say(…, None, sticker=…)`."""
        fresh = sticker(f"sticker-{len(self.world.stickers) + 1}", emoji)
        self.world.stickers[fresh["file_id"]] = fresh
        return fresh

    async def react(self, message: Json, user: User, *emoji: str) -> None:
        """Change a person's reactions to a message, see `bot.playground.world`."""
        await world.react(self.world, message, user, *emoji)

    async def say(
        self,
        chat: Chat,
        user: User | None,
        text: str | None,
        *,
        reply_to: Json | None = None,
        thread: int | None = None,
        **extra: object,
    ) -> Json:
        """Post a message and return it; None as the user is an admin who speaks as the group.

        Fields of the Bot API's Message in `extra` are added, or override: `photo`, `date`, …

        Raises:
            ValueError: the chat moved to a supergroup.
        """
        if chat.migrated_to is not None:
            raise ValueError(f"chat {chat.id} moved: speak in chat {chat.migrated_to}")
        sender = user or ANONYMOUS_ADMIN
        if user is not None:
            chat.members.setdefault(user.id, Member(user))
        body = self.world.place(chat, thread, reply_to) | worded(text)
        if user is None:
            body["sender_chat"] = chat.json()
        message = self.world.post(chat, sender, body | extra)
        await self.world.announce(chat, message)
        return message

    async def edit(self, message: Json, text: str) -> Json:
        """Change the text, or the caption, of a person's message and return the new one."""
        chat = self.world.chats[message["chat"]["id"]]
        gone = {"entities", "caption_entities"}
        kept = {name: part for name, part in message.items() if name not in gone}
        words = worded(text, key="text" if "text" in message else "caption")
        edited = {**kept, **words, "edit_date": self.world.now()}
        self.world.messages[chat.id, message["message_id"]] = edited
        await self.world.announce(chat, edited, edited=True)
        return edited

    def remove(self, message: Json) -> None:
        """Delete a message, of which Telegram tells a bot nothing."""
        del self.world.messages[message["chat"]["id"], message["message_id"]]

    def message(self, chat: Chat, message_id: int) -> Json:
        """Return a message as it stands now; KeyError where it was deleted."""
        return self.world.messages[chat.id, message_id]

    async def press(self, message: Json, user: User, data: str) -> str:
        """Press the button that holds `data` under a message, see `bot.playground.world`."""
        return await world.press(self.world, message, user, data)

    async def vote(self, message: Json, user: User, option: int) -> None:
        """Answer a quiz of the bot's, see `bot.playground.methods`."""
        await methods.vote(self.world, message, user, option)

    async def migrate(self, chat: Chat, new_id: int) -> Chat:
        """Turn a group into the supergroup `new_id`, and return that."""
        moved = self.chat(new_id, title=chat.title or "", is_forum=chat.is_forum)
        moved.members = dict(chat.members)
        leaving = await self.say(chat, None, None, migrate_to_chat_id=new_id)
        chat.migrated_to = new_id
        await self.say(moved, None, None, migrate_from_chat_id=leaving["chat"]["id"])
        return moved

    async def set_status(
        self, chat: Chat, user: User, status: str, *, by: User | None = None
    ) -> None:
        """Make a user creator, administrator, member, left or kicked; tell the bot of itself.

        In a private chat, `kicked` for the bot means that the person blocked it.
        """
        await self.world.change_status(
            chat, Member(user, status), by=by or chat.person or ANONYMOUS_ADMIN
        )

    @property
    def calls(self) -> list[Call]:
        """Every call but getUpdates, refused ones too, in order."""
        return self._log.calls

    def sent(self, method: str, *, refused: bool = False, **match: object) -> list[Call]:
        """Return the calls of a method that took effect (or were refused), by parameters."""
        return self._log.select(method, match, refused=refused)

    async def wait_for(
        self,
        method: str,
        *,
        since: int = 0,
        timeout: float = 10,  # noqa: ASYNC109 - a test says how long it waits
        refused: bool = False,
        **match: object,
    ) -> Call:
        """Return the first call that fits, from place `since` in `calls` on, or wait for it.

        Raises:
            TimeoutError: none came in time.
        """
        return await self._log.wait_for(
            method, match, since=since, refused=refused, seconds=timeout
        )

    def fail_next(
        self, method: str, code: int, description: str, times: int = 1, **parameters: object
    ) -> None:
        """Refuse the next calls of a method, with parameters such as retry_after."""
        self._faults.plan(method, Fault(ApiError(code, description, **parameters)), times)

    def delay_next(self, method: str, seconds: float, times: int = 1) -> None:
        """Let the next calls of a method take effect at once and be answered late."""
        self._faults.plan(method, Fault(delay=seconds), times)

    def drop_next(self, method: str, times: int = 1) -> None:
        """Let the next calls of a method take effect and lose their answer."""
        self._faults.plan(method, Fault(drop=True), times)

    async def call(self, method: str, params: Json) -> object:
        """Answer a call of the bot.

        Raises:
            ApiError: the call is refused.
            ConnectionDropped: it took effect, and must not be answered.
        """
        fault = self._faults.take(method)
        try:
            if fault.error is not None:
                raise fault.error
            result = await self._answer(method, params)
        except ApiError as error:
            await self._log.add(Call(method, params, error=error))
            raise
        if method != "getUpdates":
            await self._log.add(Call(method, params, result))
        await asyncio.sleep(fault.delay)
        if fault.drop:
            raise ConnectionDropped(method)
        return result

    async def _answer(self, method: str, params: Json) -> object:
        if self.world.logged_out:
            raise ApiError(400, "Logged out")
        if method not in METHODS:
            raise ApiError(404, "Not Found: method not found")
        answer = METHODS[method](self.world, params)
        return await answer if inspect.isawaitable(answer) else answer


async def add_bot(telegram: Telegram, chat: Chat, by: User, status: str = "member") -> None:
    """Let somebody add the bot to a chat; where it was in there, Telegram forgets that first."""
    chat.members[telegram.me.id] = Member(telegram.me, "left")
    chat.members.setdefault(by.id, Member(by))
    await telegram.set_status(chat, telegram.me, status, by=by)
    if chat.kind != "channel":
        await telegram.say(chat, by, None, new_chat_members=[telegram.me.json()])


async def remove_bot(telegram: Telegram, chat: Chat, by: User) -> None:
    """Let somebody remove the bot from a chat."""
    await telegram.set_status(chat, telegram.me, "kicked", by=by)


async def move(telegram: Telegram, chat: Chat, new_id: int, by: User, *, order: str) -> Chat:
    """Turn a group into the supergroup `new_id` and return that.

    `order` has a letter for each thing that the bot is told, in the order of the telling: `o` the
    old chat's message, `n` the new chat's, `j` that the bot joined the new chat, by who moved it.
    """
    moved = telegram.chat(new_id, title=chat.title or "")
    moved.members = dict(chat.members)
    for told in order:
        if told == "o":
            await telegram.say(chat, by, None, migrate_to_chat_id=new_id)
        elif told == "n":
            await telegram.say(moved, None, None, migrate_from_chat_id=chat.id)
        else:
            moved.members[telegram.me.id] = Member(telegram.me, "left")
            await telegram.set_status(moved, telegram.me, "member", by=by)
    chat.migrated_to = new_id
    return moved
