"""`/simulate [turns]` and `/stop`: the friends talk, the model choosing who is next."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from telegram import Message, Update

from bot.context import Context
from bot.handlers.acting import Acting
from bot.house import House
from bot.incoming import after_command, place_of
from bot.store.messages import Place

USUAL_TURNS = 5
MOST_TURNS = 20


@dataclass(frozen=True, slots=True)
class Simulating:
    """The handlers of `/simulate` and `/stop`, and the chats in which one goes on."""

    house: House
    acting: Acting
    busy: dict[int, asyncio.Event] = field(default_factory=dict)

    async def command(self, update: Update, context: Context) -> None:
        """Play some turns, or say why not."""
        message = update.message
        if message is None:
            return
        place = place_of(message)
        turns = turns_of(after_command(message))
        if refusal := self._refusal(context, place, turns):
            await context.courier.say(place, refusal)
        elif turns is not None:
            self.busy[place.chat_id] = asyncio.Event()
            try:
                await self._play(message, place, turns, context)
            finally:
                del self.busy[place.chat_id]

    async def stop(self, update: Update, _: Context) -> None:
        """Let no further turn begin in this chat."""
        message = update.message
        if message and (stopped := self.busy.get(message.chat.id)):
            stopped.set()

    def _refusal(self, context: Context, place: Place, turns: int | None) -> str | None:
        """Return why nobody speaks, None where they do."""
        access, texts = self.house.access, context.texts
        if not access.speaks_in(place.chat_id):
            return texts.silent_here
        if not access.voices:
            return texts.no_voices
        if turns is None:
            return texts.turns_wanted.format(usual=USUAL_TURNS, most=MOST_TURNS)
        return texts.already_on if place.chat_id in self.busy else None

    async def _play(self, message: Message, place: Place, turns: int, context: Context) -> None:
        """Play the turns; what is left of them is dropped when the bot is told to stop."""
        stopped = self.busy[place.chat_id]
        at = message.date
        for _ in range(turns):
            voices = [person.name for person in self.house.access.voices]
            if not await self.acting.turn(context, place, voices, at):
                if not stopped.is_set():
                    await context.courier.say(place, context.texts.nothing_to_say)
                return
            if stopped.is_set() or not context.application.running:
                return
            at = datetime.now(UTC)


def turns_of(words: str) -> int | None:
    """Return how many turns are asked for, None where that is no number from 1 to 20."""
    if not words:
        return USUAL_TURNS
    if not (words.isascii() and words.isdecimal()) or len(words) > len(str(MOST_TURNS)):
        return None
    return int(words) if 1 <= int(words) <= MOST_TURNS else None
