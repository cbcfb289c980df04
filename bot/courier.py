"""Carries what the bot says to one update: each part once, whatever is killed when."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from telegram import Message
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.ext import ExtBot

from bot.errors import StoppingError
from bot.house import House
from bot.incoming import message_of
from bot.outgoing import (
    Question,
    never_arrived,
    seconds_of,
    send,
    send_quiz,
    send_sticker,
)
from bot.replies import Said
from bot.store.journal import Line, Part, State
from bot.store.messages import Place
from model.marker import spoken
from model.roster import Person

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
PATIENCE = 15 * 60.0
"""Seconds for which a message that certainly did not arrive is sent again."""
GLANCE = 0.5  # seconds between looks whether the bot is being stopped
MOST_MOVES = 3  # of one chat, while one message is sent
APOLOGY = -1  # the part that says that something failed: it may come after any other
NOTICE = -2  # the part that says that the answer takes a while: once for each update

Ready: TypeAlias = Callable[[str], Awaitable[bool]]
"""Waits until a message may be sent; returns False where it, and all after it, must not be."""

UNSENT: State = "generating"
"""What became of what must not be sent any more: nobody refused it."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Courier:
    """Sends the parts of what is said to one update, in their order.

    A part that was sent in an earlier life of the process, or may have been, is not sent again.
    `is_repeated`: the update was begun in an earlier life. A chat that refused is left alone.
    """

    bot: ExtBot[Any]
    house: House
    update_id: int
    is_repeated: bool = False
    runs: Callable[[], bool] = lambda: True
    parts: int = field(default=0, init=False)
    refused: set[Place] = field(default_factory=set, init=False)

    async def begin(self, place: Place) -> Part | None:
        """Begin the next part; None where it needs no making."""
        part = Part(self.update_id, self.parts)
        self.parts += 1
        return part if await self.house.shelves.journal.begin(part, place) else None

    async def say(
        self, place: Place, text: str, voices: Sequence[Person] = (), part: Part | None = None
    ) -> Message | None:
        """Send a text in the bot's own name, as the next part or as one begun already.

        None where it did not, or need not, arrive.
        """
        if place in self.refused:
            return None
        part = part or await self.begin(place)
        if part is None:
            return None
        sending = partial(send, self.bot, text=text, voices=voices)
        sent, state = await self._sent(part, place, sending)
        await self._mark(part, place, state)
        return sent

    async def apologise(self, place: Place, text: str) -> None:
        """Say that something failed; what else was being made for the update is given up."""
        part = Part(self.update_id, APOLOGY)
        if await self.house.shelves.journal.begin(part, place):
            await self.house.shelves.journal.give_up(self.update_id, but=part)
            await self.say(place, text, part=part)

    async def notify(self, place: Place, text: str) -> None:
        """Say that the answer takes a while, unless the update's asker was told so before."""
        part = Part(self.update_id, NOTICE)
        if await self.house.shelves.journal.begin(part, place):
            await self.say(place, text, part=part)

    async def ask(
        self, part: Part, place: Place, question: Question, ready: Ready
    ) -> tuple[Message | None, State]:
        """Send a quiz and say what became of it; one that is there is marked by who keeps it."""
        sending = partial(send_quiz, self.bot, question=question)
        sent, state = await self._sent(part, place, sending, again=partial(ready, question.text))
        if sent is None:  # a group may forbid polls alone: it is not left alone for that
            end: State = "refused" if state == UNSENT else state
            await self.house.shelves.journal.mark(part, end)
        return sent, state

    async def speak(self, part: Part, place: Place, said: Said, ready: Ready) -> bool:
        """Send the messages of a turn, each when it is `ready`, and keep it.

        Returns whether all arrived.
        """
        if said.generation:
            await self.house.shelves.journal.keep_generation(part, said.generation)
        state: State = "refused"
        left = len(said.messages)
        for number, words in enumerate(said.messages):
            if not await ready(words):  # nobody refused it: the chat hears what else there is
                await self.house.shelves.journal.mark(part, state)
                return False
            rests: State = "sending" if number else "generating"
            again = partial(ready, words)
            sent, came = await self._said(part, place, said.voice, words, rests, again)
            if came == UNSENT:
                await self.house.shelves.journal.mark(part, state)
                return False
            state = came
            if sent is None:
                break
            if message := message_of(sent):
                line = Line(said.voice, said.version, said.sources)
                kept = replace(message, text=spoken(said.voice, words))
                await self.house.shelves.journal.said(part, kept, line)
            left -= 1
        await self._mark(part, place, state)
        return not left

    async def _mark(self, part: Part, place: Place, state: State) -> None:
        if state == "refused":
            self.refused.add(place)
        await self.house.shelves.journal.mark(part, state)

    async def _said(
        self,
        part: Part,
        place: Place,
        voice: str,
        words: str,
        rests: State,
        again: Callable[[], Awaitable[bool]],
    ) -> tuple[Message | None, State]:
        """Send a message in a voice: a lone emoji as the sticker that the group has used for it."""
        sticker = await self.house.shelves.stickers.favourite(place.chat_id, words)
        if sticker is not None:
            sending = partial(send_sticker, self.bot, file_id=sticker, voice=voice)
            sent, state = await self._sent(part, place, sending, rests, again)
            if state != "refused":
                return sent, state
        sending = partial(send, self.bot, text=spoken(voice, words))
        return await self._sent(part, place, sending, rests, again)

    async def _sent(
        self,
        part: Part,
        place: Place,
        sending: Callable[[Place], Awaitable[Message]],
        rests: State = "generating",
        again: Callable[[], Awaitable[bool]] | None = None,
    ) -> tuple[Message | None, State]:
        """Send; what certainly did not arrive is sent again, once it is time, if `again` says so.

        While it waits the part `rests`: where nothing of it has arrived yet, a kill loses nothing.
        """
        journal, loop = self.house.shelves.journal, asyncio.get_running_loop()
        end, wait, moves = loop.time() + PATIENCE, FIRST_WAIT, 0
        while True:
            address = self.house.address(place)
            await journal.mark(part, "sending")
            try:
                return await sending(address), "sent"
            except TelegramError as error:
                if isinstance(error, ChatMigrated) and moves < MOST_MOVES:
                    moves += 1
                    await self.house.move(address.chat_id, error.new_chat_id)
                    continue
                pause = seconds_of(error) if isinstance(error, RetryAfter) else wait
                if not _may_repeat(error) or loop.time() + pause > end:
                    return None, self._given_up(place, error)
            await journal.mark(part, rests)
            await self._pause(pause)
            if again and not await again():
                return None, UNSENT
            wait = min(2 * wait, LONGEST_WAIT)

    def _given_up(self, place: Place, error: TelegramError) -> State:
        state = _state(error)
        logger.warning("chat %d: %s, %s", place.chat_id, type(error).__name__, state)
        return state

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the bot is being stopped: then the update waits for its next life.

        Raises:
            StoppingError: It is.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            if not self.runs():
                raise StoppingError("the bot is being stopped: this is said when it starts again")
            await asyncio.sleep(min(left, GLANCE))


def _may_repeat(error: TelegramError) -> bool:
    """Whether a message certainly did not arrive, and may later."""
    return isinstance(error, RetryAfter) or never_arrived(error)


def _state(error: TelegramError) -> State:
    """Return what became of a message: Telegram refused it, or nobody knows."""
    refused = isinstance(error, BadRequest | Forbidden) or not isinstance(error, NetworkError)
    return "refused" if refused or never_arrived(error) else "uncertain"
