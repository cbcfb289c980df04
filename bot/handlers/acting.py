"""Speaks in a friend's voice in a chat: types, sends each message of the turn, remembers it."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from telegram import Bot

from bot import texts
from bot.incoming import message_of
from bot.outgoing import send, typing
from bot.replies import Replies
from bot.store.messages import Place, Store
from model.errors import VoiceError
from model.marker import spoken

logger = logging.getLogger(__name__)


class Acting:
    """The one way in which the bot speaks as somebody; one turn at a time in each chat."""

    def __init__(self, bot: Bot, store: Store, replies: Replies) -> None:
        self._bot = bot
        self._store = store
        self._replies = replies
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def answer(self, place: Place, voice: str, at: datetime) -> None:
        """Answer in a voice what was said last."""
        async with self._locks[place.chat_id], typing(self._bot, place):
            try:
                said = await self._replies.answer(place, voice, at)
            except VoiceError:
                logger.info("nothing sayable came out in chat %d", place.chat_id)
                await send(self._bot, place, texts.speechless(voice))
            else:
                await self._say(place, voice, said)

    async def turn(self, place: Place, voices: Sequence[str], at: datetime) -> bool:
        """Let the model choose who speaks next, and speak; return whether anybody did."""
        async with self._locks[place.chat_id], typing(self._bot, place):
            try:
                voice, said = await self._replies.turn(place, voices, at)
            except VoiceError:
                return False
            await self._say(place, voice, said)
            return True

    async def _say(self, place: Place, voice: str, said: Sequence[str]) -> None:
        """Send each message of a turn and keep it as it stands in the chat."""
        for words in said:
            sent = await send(self._bot, place, spoken(voice, words))
            if message := message_of(sent):
                await self._store.save(message)
        logger.info("said %d messages in chat %d", len(said), place.chat_id)
