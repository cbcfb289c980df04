"""Carries what the bot says to one update: each part once, whatever is killed when."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from telegram import Bot, Message
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError, TelegramError

from bot.incoming import message_of
from bot.outgoing import Question, never_arrived, send, send_quiz, send_sticker
from bot.replies import Said
from bot.store.journal import Journal, Line, Part, State
from bot.store.messages import Place
from bot.store.stickers import Stickers
from model.marker import spoken
from model.roster import Person

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
PATIENCE = 15 * 60.0
"""Seconds for which a message that certainly did not arrive is sent again."""

Ready: TypeAlias = Callable[[str], Awaitable[bool]]
"""Waits until a message may be sent; returns False where it, and all after it, must not be."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Courier:
    """Sends the parts of what is said to one update, in their order.

    A part that was sent in an earlier life of the process, or may have been, is not sent again.
    """

    bot: Bot
    journal: Journal
    stickers: Stickers
    update_id: int
    parts: int = field(default=0, init=False)

    async def begin(self, place: Place) -> Part | None:
        """Begin the next part; None where it needs no making."""
        part = Part(self.update_id, self.parts)
        self.parts += 1
        return part if await self.journal.begin(part, place) else None

    async def say(self, place: Place, text: str, voices: Sequence[Person] = ()) -> Message | None:
        """Send a text in the bot's own name; None where it did not, or need not, arrive."""
        part = await self.begin(place)
        if part is None:
            return None
        await self.journal.mark(part, "sending")
        sent, state = await self._sent(place, partial(send, self.bot, text=text, voices=voices))
        await self.journal.mark(part, state)
        return sent

    async def ask(
        self, part: Part, place: Place, question: Question
    ) -> tuple[Message | None, State]:
        """Send a quiz and say what became of it; one that is there is marked by who keeps it."""
        await self.journal.mark(part, "sending")
        sent, state = await self._sent(place, partial(send_quiz, self.bot, question=question))
        if sent is None:
            await self.journal.mark(part, state)
        return sent, state

    async def speak(self, part: Part, place: Place, said: Said, ready: Ready) -> bool:
        """Send the messages of a turn, each when it is `ready`, and keep it.

        Returns whether all arrived.
        """
        await self.journal.mark(part, "sending")
        state: State = "refused"
        left = len(said.messages)
        for words in said.messages:
            if not await ready(words):
                break
            sent, state = await self._said(place, said.voice, words)
            if sent is None:
                break
            if message := message_of(sent):
                line = Line(said.voice, said.version, said.sources)
                kept = replace(message, text=spoken(said.voice, words))
                await self.journal.said(part, kept, line)
            left -= 1
        await self.journal.mark(part, state)
        return not left

    async def _said(self, place: Place, voice: str, words: str) -> tuple[Message | None, State]:
        """Send a message in a voice: a lone emoji as the sticker that the group has used for it."""
        sticker = await self.stickers.favourite(place.chat_id, words)
        if sticker is not None:
            sending = partial(send_sticker, self.bot, file_id=sticker, voice=voice)
            sent, state = await self._sent(place, sending)
            if state != "refused":
                return sent, state
        return await self._sent(place, partial(send, self.bot, text=spoken(voice, words)))

    async def _sent(
        self, place: Place, sending: Callable[[Place], Awaitable[Message]]
    ) -> tuple[Message | None, State]:
        """Send something; what certainly did not arrive for want of a network is sent again."""
        loop = asyncio.get_running_loop()
        end, wait = loop.time() + PATIENCE, FIRST_WAIT
        while True:
            try:
                return await sending(place), "sent"
            except ChatMigrated as error:
                place = Place(error.new_chat_id, place.topic_id)
            except TelegramError as error:
                if not never_arrived(error) or loop.time() + wait > end:
                    state = _state(error)
                    logger.warning("chat %d: %s, %s", place.chat_id, type(error).__name__, state)
                    return None, state
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)


def _state(error: TelegramError) -> State:
    """Return what became of a message: Telegram refused it, or nobody knows."""
    refused = isinstance(error, BadRequest | Forbidden) or not isinstance(error, NetworkError)
    return "refused" if refused or never_arrived(error) else "uncertain"
