"""Speaks in a friend's voice in a chat: types, sends each message of the turn, remembers it."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from bot.context import Context
from bot.handlers.hearing import Hearing
from bot.house import House
from bot.outgoing import typing
from bot.replies import BusyError, Said, SlowError
from bot.store.journal import Part
from bot.store.messages import Place
from model.errors import VoiceError

BUSY_AGAIN = 60.0  # seconds before a chat is told again that the bot is busy

logger = logging.getLogger(__name__)


class Acting:
    """The one way in which the bot speaks as somebody; one turn at a time in each chat."""

    def __init__(self, house: House, hearing: Hearing) -> None:
        self._house = house
        self._hearing = hearing
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._told_busy: dict[int, float] = {}

    async def answer(self, context: Context, place: Place, voice: str, at: datetime) -> None:
        """Answer in a voice what was said last, or say why not."""
        if (part := await context.courier.begin(place)) is None:
            return
        excuse = ""
        try:
            with self._house.replies.admitted(place.chat_id):
                async with self._locks[place.chat_id], typing(context.bot, place):
                    said = await self._house.replies.answer(place, voice, at)
                    if await self._say(context, part, place, said):
                        await self._hearing.hint(context, place)
                    return
        except BusyError:
            excuse = self._busy(place, context)
        except SlowError:
            excuse = context.texts.too_slow
        except VoiceError:
            excuse = context.texts.speechless.format(name=voice)
        logger.info("no reply in chat %d", place.chat_id)
        if excuse:
            await context.courier.say(place, excuse, part=part)
        else:
            await self._house.shelves.journal.mark(part, "refused")

    async def turn(
        self, context: Context, place: Place, voices: Sequence[str], at: datetime
    ) -> bool:
        """Let the model choose who speaks next, and speak; return whether the talk can go on.

        A turn that was said in an earlier life of the process is not said again.
        """
        if (part := await context.courier.begin(place)) is None:
            return True
        try:
            with self._house.replies.admitted(place.chat_id):
                async with self._locks[place.chat_id], typing(context.bot, place):
                    said = await self._house.replies.turn(place, voices, at)
                    return await self._say(context, part, place, said)
        except VoiceError:
            await self._house.shelves.journal.mark(part, "refused")
            return False

    async def _say(self, context: Context, part: Part, place: Place, said: Said) -> bool:
        """Send a turn unless its voice was withdrawn meanwhile; return whether it arrived."""
        if self._may_still_say(said, place):
            return await context.courier.speak(part, place, said)
        await self._house.shelves.journal.mark(part, "refused")
        return False

    def _may_still_say(self, said: Said, place: Place) -> bool:
        """Whether a voice may be used now: somebody may have said no since it was asked for."""
        access = self._house.access
        person = access.roster.called(said.voice)
        return access.speaks_in(place.chat_id) and bool(person and access.may_imitate(person))

    def _busy(self, place: Place, context: Context) -> str:
        """Return what a chat is told that asks too much, at most once a minute."""
        now = time.monotonic()
        if now - self._told_busy.get(place.chat_id, -BUSY_AGAIN) < BUSY_AGAIN:
            return ""
        self._told_busy[place.chat_id] = now
        return context.texts.one_moment
