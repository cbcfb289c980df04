"""The playground's Telegram with faults, and what happens to a bot's membership."""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass

from bot.playground.objects import ApiError, Call, Json, Member, SimulatedChat, User
from bot.playground.telegram import Telegram

_SEND_METHODS = {"sendMessage", "sendPhoto", "sendPoll", "sendSticker"}
ANSWER_SECONDS = 0.03
"""Delay of the answer to the bot, so that users can react before it has stored its message."""


class ConnectionDropped(Exception):  # noqa: N818  an event, not a mistake
    """The call took effect, but its answer must not reach the bot."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call: an error, or a lost answer; either may be late."""

    error: ApiError | None = None
    delay: float = 0
    drop: bool = False


class FaultyTelegram(Telegram):
    """A simulated Telegram whose next calls can fail."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def fail_next(self, method, code, description, times=1, delay=0, **parameters):
        """Refuse the next calls of a method, with parameters such as retry_after."""
        fault = Fault(ApiError(code, description, **parameters), delay)
        self._faults[method].extend([fault] * times)

    def delay_next(self, method, seconds, times=1):
        """Answer the next calls of a method late; they take effect at once."""
        self._faults[method].extend([Fault(delay=seconds)] * times)

    def drop_next(self, method, times=1):
        """Execute the next calls of a method, but lose the answers."""
        self._faults[method].extend([Fault(drop=True)] * times)

    async def call(self, method: str, params: Json) -> object:
        """Answer a call, with the next fault of its method."""
        faults = self._faults[method]
        fault = faults.popleft() if faults else Fault()
        if fault.error is not None:
            await self.record(Call(method, params, error=fault.error))
            await asyncio.sleep(fault.delay)
            raise fault.error
        result = await super().call(method, params)
        if fault.delay or method in _SEND_METHODS:
            await asyncio.sleep(fault.delay or ANSWER_SECONDS)
        if fault.drop:
            raise ConnectionDropped(method)
        return result


async def remove_bot(telegram: Telegram, chat: SimulatedChat, by: User) -> None:
    """Remove the bot from a chat."""
    await telegram.set_status(chat, telegram.me, "kicked", by=by)


async def move(
    telegram: Telegram, chat: SimulatedChat, new_id: int, by: User, *, order: str
) -> SimulatedChat:
    """Turn a group into the supergroup `new_id` and return it.

    `order` has one letter for each update, in order: `o` the message in the old chat, `n` the
    message in the new chat, `j` that the bot joined the new chat.
    """
    moved = telegram.chat(new_id, title=chat.title or "")
    moved.members = dict(chat.members)
    for update in order:
        if update == "o":
            await telegram.say(chat, by, None, migrate_to_chat_id=new_id)
        elif update == "n":
            await telegram.say(moved, None, None, migrate_from_chat_id=chat.id)
        else:
            moved.members[telegram.me.id] = Member(telegram.me, "left")
            await telegram.set_status(moved, telegram.me, "member", by=by)
    chat.migrated_to = new_id
    return moved
