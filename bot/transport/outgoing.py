"""Send messages, polls and typing actions within Telegram's limits."""

import asyncio
import logging
import random
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx
from aiolimiter import AsyncLimiter
from telegram import Bot, CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, Poll
from telegram.constants import ChatAction, FloodLimit, MessageLimit
from telegram.error import RetryAfter, TelegramError
from telegram.ext import AIORateLimiter, ExtBot

from bot.store.inbox import record_wait
from bot.store.messages import Place
from model.chat.eligibility import VOICE_EMOJI
from model.chat.person import Person

MAX_RETRIES = 5  # before a message is given up
TYPING_SECONDS = 4.5  # Telegram shows a typing action for 5 s
NO_WAIT = -1
"""The limiter raises RetryAfter at once: the caller waits. The library treats 0 as unset."""
PRIVATE_PER_SECOND = FloodLimit.MESSAGES_PER_SECOND // 2
"""Messages to all private chats together, so that a flood there does not delay the groups."""
BUTTONS_PER_ROW = 2
MAX_DATA_BYTES = 64  # bytes of a button's callback data
MAX_BUTTONS = 100  # Telegram's limit under one message
UNCOUNTED = frozenset(
    {
        "sendChatAction",
        "getChat",
        "getChatMember",
        "getChatAdministrators",
        "setMessageReaction",
        "deleteMessage",
        "editMessageReplyMarkup",
    }
)
"""Methods that Telegram's limit of 20 messages a minute in a group does not count."""

Callback: TypeAlias = Callable[[], Awaitable[None]]

_BEFORE_SENDING: ContextVar[Callback | None] = ContextVar("before_sending", default=None)

logger = logging.getLogger(__name__)

_PREFIX = "as:"
AS_BUTTON = rf"^{_PREFIX}(-?\d+)$"
"""The pattern of a voice button's callback data."""


@dataclass(frozen=True, slots=True)
class QuizQuestion:
    """A quiz: its text and options, the index of the correct one, and an explanation."""

    text: str
    options: tuple[str, ...]
    right: int
    explanation: str


CountMessage: TypeAlias = Callable[[str, int, float], Awaitable[float]]
"""Arguments: key, limit, seconds.

Counts a message and returns 0 if fewer than `limit` were counted in the last `seconds`; otherwise
returns the seconds to wait.
"""


class Limiter(AIORateLimiter):
    """Respects Telegram's limits; a chat that must wait does not delay other chats.

    With `count`, several processes count their messages together.
    """

    def __init__(
        self,
        count: CountMessage | None = None,
        *,
        group_max_rate: float = FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP,
        group_time_period: float = 60.0,
    ) -> None:
        """Limit the number of messages to a group within some seconds."""
        self._count = count
        self._private_limiter = AsyncLimiter(PRIVATE_PER_SECOND, 1)
        self._group_limit = int(group_max_rate), group_time_period
        if count:
            super().__init__(overall_max_rate=0, group_max_rate=0)
        else:
            super().__init__(group_max_rate=group_max_rate, group_time_period=group_time_period)

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,  # noqa: ANN401
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Any:  # noqa: ANN401
        """Call uncounted methods at once; repeat calls that Telegram asked to delay."""
        await record_wait()
        if endpoint in UNCOUNTED:
            return await callback(*args, **kwargs)
        await self._wait_for_turn(data.get("chat_id"))
        request = (callback, args, kwargs, endpoint, data, 0)
        times = MAX_RETRIES if rate_limit_args is None else rate_limit_args
        for _ in range(times):
            try:
                return await super().process_request(*request)
            except RetryAfter as error:
                await asyncio.sleep(retry_seconds(error))
        return await super().process_request(*request)

    async def _wait_for_turn(self, chat_id: object) -> None:
        """Wait until neither this group, nor private chats, nor all chats exceed their limits.

        Without `count`, the library counts groups and all chats.
        """
        if not isinstance(chat_id, int):
            return
        if self._count is None:
            if chat_id > 0:
                await self._private_limiter.acquire()
            return
        if chat_id > 0:
            await _wait(self._count, "private chats", PRIVATE_PER_SECOND, 1.0)
        else:
            await _wait(self._count, f"chat {chat_id}", *self._group_limit)
        await _wait(self._count, "all chats", FloodLimit.MESSAGES_PER_SECOND, 1.0)


async def _wait(count: CountMessage, key: str, limit: int, seconds: float) -> None:
    while pause := await count(key, limit, seconds):  # noqa: ASYNC110  it is known how long
        await asyncio.sleep(pause)


_VOICE_PREFIX = "voice:"
VOICE_BUTTON = rf"^{_VOICE_PREFIX}(.+)$"
"""The pattern of the callback data below a sticker, which names its voice."""


async def send_sticker(bot: ExtBot[Any], place: Place, file_id: str, voice: str) -> Message:
    """Send a sticker in a voice, with a button that names the voice.

    Raises:
        RetryAfter: Telegram asks the bot to wait; the caller retries.
    """
    data = f"{_VOICE_PREFIX}{voice}".encode()[:MAX_DATA_BYTES].decode("utf-8", "ignore")
    button = InlineKeyboardButton(f"{VOICE_EMOJI} {voice}", callback_data=data)
    return await bot.send_sticker(
        place.chat_id,
        file_id,
        message_thread_id=place.topic_id,
        reply_markup=InlineKeyboardMarkup([[button]]),
        rate_limit_args=NO_WAIT,
    )


async def send(bot: ExtBot[Any], place: Place, text: str, voices: Sequence[Person] = ()) -> Message:
    """Send a text with a button for each of `voices`; return the sent message.

    Raises:
        RetryAfter: Telegram asks the bot to wait; the caller retries.
    """
    return await bot.send_message(
        place.chat_id,
        truncate(text),
        message_thread_id=place.topic_id,
        reply_markup=_buttons(voices) if voices else None,
        rate_limit_args=NO_WAIT,
    )


async def send_photo(bot: ExtBot[Any], place: Place, photo: bytes, caption: str) -> Message:
    """Send a picture with a text below it.

    Raises:
        RetryAfter: Telegram asks the bot to wait; the caller retries.
    """
    return await bot.send_photo(
        place.chat_id,
        photo,
        truncate(caption, MessageLimit.CAPTION_LENGTH),
        message_thread_id=place.topic_id,
        rate_limit_args=NO_WAIT,
    )


async def send_quiz(bot: ExtBot[Any], place: Place, question: QuizQuestion) -> Message:
    """Send a quiz that shows everybody's answers.

    Raises:
        RetryAfter: Telegram asks the bot to wait; the caller retries.
    """
    return await bot.send_poll(
        place.chat_id,
        question.text,
        question.options,
        type=Poll.QUIZ,
        is_anonymous=False,
        explanation=question.explanation,
        message_thread_id=place.topic_id,
        # Bot API 9.6 renamed this parameter, so both names are sent.
        api_kwargs={
            "correct_option_id": question.right,
            "correct_option_ids": [question.right],
        },
        rate_limit_args=NO_WAIT,
    )


async def answer_query(query: CallbackQuery, text: str | None = None) -> None:
    """Show a text to the person who pressed a button; without one, only end its animation."""
    with suppress(TelegramError):
        await query.answer(text)


@asynccontextmanager
async def typing(bot: Bot, place: Place) -> AsyncIterator[None]:
    """Show the typing action in a chat while the block runs."""
    task = asyncio.create_task(_type(bot, place))
    try:
        yield
    finally:
        task.cancel()
        [failure] = await asyncio.gather(task, return_exceptions=True)
        if isinstance(failure, Exception):  # the reply is sent even if the typing action fails
            logger.error("the typing action failed", exc_info=failure)


def never_arrived(error: TelegramError) -> bool:
    """Whether a call failed before it reached Telegram: no connection was made."""
    return isinstance(
        error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
    )


def truncate(text: str, most: int = MessageLimit.MAX_TEXT_LENGTH) -> str:
    """Cut a text to the length of one message, which Telegram counts in UTF-16 units."""
    return text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", "ignore")


async def _type(bot: Bot, place: Place) -> None:
    while True:
        with suppress(TelegramError):  # the reply matters more
            await bot.send_chat_action(
                place.chat_id, ChatAction.TYPING, message_thread_id=place.topic_id
            )
        await asyncio.sleep(TYPING_SECONDS)


def _buttons(voices: Sequence[Person]) -> InlineKeyboardMarkup:
    buttons = [
        InlineKeyboardButton(person.name, callback_data=f"{_PREFIX}{person.ids[0]}")
        for person in voices[:MAX_BUTTONS]
        if person.ids
    ]
    rows = range(0, len(buttons), BUTTONS_PER_ROW)
    return InlineKeyboardMarkup([buttons[start : start + BUTTONS_PER_ROW] for start in rows])


def retry_seconds(error: RetryAfter) -> float:
    """Return how many seconds to wait; the setting PTB_TIMEDELTA decides the type."""
    wait = error.retry_after
    return 0.1 + (wait if isinstance(wait, int) else wait.total_seconds())


CHARACTERS_PER_SECOND = 9.0
"""Characters: three times what people type on phones (36 words a minute, Palin et al. 2019)."""
SHORTEST, LONGEST = 0.8, 4.0
_SPREAD = 0.3


def typing_seconds(text: str, rng: random.Random) -> float:
    """Return a random time that a person might take to type this text, within bounds.

    Telegram lets a bot send 20 messages a minute to a group, one every 3 s.
    """
    usual = SHORTEST + len(text) / CHARACTERS_PER_SECOND
    return min(LONGEST, max(SHORTEST, usual * rng.lognormvariate(0, _SPREAD)))


async def pause(bot: Bot, place: Place, seconds: float, stopped: asyncio.Event) -> None:
    """Show the typing action for some seconds; end at once when `stopped` is set."""
    if seconds <= 0:
        return
    async with typing(bot, place):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stopped.wait()


@contextmanager
def calling_before_sending(callback: Callback) -> Iterator[None]:
    """Await `callback` just before each request in the block is sent.

    If it fails, the request is not sent.
    """
    token = _BEFORE_SENDING.set(callback)
    try:
        yield
    finally:
        _BEFORE_SENDING.reset(token)


async def call_before_sending() -> None:
    """Await the callback of the surrounding block, if there is one."""
    if callback := _BEFORE_SENDING.get():
        await callback()


async def watch_sending(request: httpx.Request) -> None:
    """Await the callback when httpx starts to send a request; this is an httpx event hook.

    The names of the events: https://www.python-httpx.org/advanced/extensions/#trace.
    """
    if _BEFORE_SENDING.get() is None:
        return

    async def trace(event: str, _: Mapping[str, Any]) -> None:
        if event.endswith(".send_request_headers.started"):
            await call_before_sending()

    request.extensions = {**request.extensions, "trace": trace}
