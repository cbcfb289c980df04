"""The group in the browser: what the page shows, and what its people do there."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeAlias

from bot.errors import PlaygroundError
from bot.playground.group import LANGUAGES, SimulatedGroup
from bot.playground.methods import LONGEST_CAPTION, LONGEST_TEXT
from bot.playground.objects import ApiError, Json, Upload, User, utf16_length

MAX_SHOWN = 500
"""How many of the newest messages a page gets when it connects."""
MAX_WAITING = 1000
"""How many changes may wait for a slow page before it must connect again."""
END_SECONDS = 2.0
LARGEST_PICTURE = 5 * 2**20
LONGEST_EMOJI = 16
Changes: TypeAlias = asyncio.Queue[Json | None]
Action: TypeAlias = Callable[[Json], Awaitable[Json]]


class ActionRefused(PlaygroundError):  # noqa: N818  an answer to the page
    """An action of the page that is not possible; the text says why."""


class GroupPage:
    """A view of a group that pages in the browser show, and on which their people act.

    `actions` are what the page may ask for, by name; each raises ActionRefused.
    """

    def __init__(self, group: SimulatedGroup) -> None:
        self._group, self._chat = group, group.chat
        self._telegram, self._world = group.telegram, group.telegram.world
        self._people = {user.id: user for user in group.people.values()}
        self._pages: set[Changes] = set()
        group.views.append(self._send)
        self.actions: Mapping[str, Action] = {
            "say": self._say,
            "edit": self._edit,
            "delete": self._delete,
            "react": self._react,
            "press": self._press,
            "vote": self._vote,
            "sticker": self._send_sticker,
            "picture": self._send_picture,
        }

    @contextmanager
    def subscribe(self) -> Iterator[Changes]:
        """Yield a queue of changes: the first contains the whole group, and None ends it.

        A page that is too slow gets no more changes. Call task_done() for each that is sent.
        """
        changes: Changes = asyncio.Queue()
        changes.put_nowait(self._group.describe(MAX_SHOWN))
        self._pages.add(changes)
        try:
            yield changes
        finally:
            self._pages.discard(changes)

    async def end(self) -> None:
        """Tell the pages that the bot has stopped, and end their streams."""
        pages = tuple(self._pages)
        for changes in pages:
            changes.put_nowait({"kind": "stopped"})
            changes.put_nowait(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await asyncio.gather(*(changes.join() for changes in pages))

    def file(self, file_id: object) -> Upload:
        """Return a picture or a document of the group.

        Raises:
            ActionRefused: There is no such file.
        """
        upload = self._world.files.get(file_id) if isinstance(file_id, str) else None
        if upload is None:
            raise ActionRefused("there is no such file")
        return upload

    def _send(self, change: Json) -> None:
        for changes in tuple(self._pages):
            is_slow = changes.qsize() >= MAX_WAITING
            changes.put_nowait(None if is_slow else change)
            if is_slow:
                self._pages.discard(changes)

    async def _say(self, params: Json) -> Json:
        text = _text(params, LONGEST_TEXT)
        reply_to = self._message(params, "reply") if params.get("reply") else None
        await self._telegram.say(self._chat, self._person(params), text, reply_to=reply_to)
        return {}

    async def _edit(self, params: Json) -> Json:
        message = self._own_message(params)
        if "text" not in message and "caption" not in message:
            raise ActionRefused("this message has no text")
        is_text = "text" in message
        await self._telegram.edit(
            message, _text(params, LONGEST_TEXT if is_text else LONGEST_CAPTION)
        )
        return {}

    async def _delete(self, params: Json) -> Json:
        self._telegram.remove(self._own_message(params))
        return {}

    async def _react(self, params: Json) -> Json:
        emoji = params.get("emoji")
        given = [] if emoji is None else [_emoji(params)]
        await self._telegram.react(self._message(params), self._person(params), *given)
        return {}

    async def _press(self, params: Json) -> Json:
        message, data = self._message(params), params.get("data")
        try:
            await self._telegram.press(message, self._person(params), str(data))
        except ValueError as error:
            raise ActionRefused("this button no longer exists") from error
        return {}

    async def _vote(self, params: Json) -> Json:
        message, option = self._message(params), params.get("option")
        if "poll" not in message or not isinstance(option, int):
            raise ActionRefused("this is not a quiz")
        try:
            await self._telegram.vote(message, self._person(params), option)
        except ValueError as error:
            raise ActionRefused("you have already answered") from error
        return {}

    async def _send_sticker(self, params: Json) -> Json:
        emoji, user = _emoji(params), self._person(params)
        existing = (one for one in self._world.stickers.values() if one["emoji"] == emoji)
        sticker = next(existing, None) or self._telegram.sticker(emoji)
        await self._telegram.say(self._chat, user, None, sticker=sticker)
        return {}

    async def _send_picture(self, params: Json) -> Json:
        user = self._person(params)
        caption = _text(params, LONGEST_CAPTION) if params.get("text") else None
        try:
            content = base64.b64decode(str(params.get("content")), validate=True)
            if len(content) > LARGEST_PICTURE:
                raise ActionRefused("this picture is too large")
            photo = self._telegram.photo(content)
        except (ValueError, ApiError) as error:
            raise ActionRefused("this is not a PNG or JPEG picture") from error
        extra: Json = {"photo": photo} | ({"caption": caption} if caption else {})
        await self._telegram.say(self._chat, user, None, **extra)
        return {}

    def _person(self, params: Json) -> User:
        """Return the person who acts, with the page's language."""
        number = params.get("person")
        if not isinstance(number, int) or number not in self._people:
            raise ActionRefused("there is no such person here")
        language = params.get("language")
        return replace(
            self._people[number], language_code=language if language in LANGUAGES else None
        )

    def _message(self, params: Json, name: str = "message") -> Json:
        number = params.get(name)
        messages = self._world.messages
        if not isinstance(number, int) or (self._chat.id, number) not in messages:
            raise ActionRefused("this message was deleted")
        return messages[self._chat.id, number]

    def _own_message(self, params: Json) -> Json:
        message = self._message(params)
        if message["from"]["id"] != self._person(params).id:
            raise ActionRefused("this is somebody else's message")
        return message


def _text(params: Json, longest: int) -> str:
    text = params.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ActionRefused("write something first")
    if utf16_length(text) > longest:
        raise ActionRefused(f"write at most {longest:,} characters")
    return text.strip()


def _emoji(params: Json) -> str:
    emoji = params.get("emoji")
    if not isinstance(emoji, str) or not 0 < len(emoji) <= LONGEST_EMOJI:
        raise ActionRefused("choose an emoji")
    return emoji
