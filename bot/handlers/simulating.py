"""`/simulate [turns]`: the friends talk to each other, the model choosing who is next."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from telegram import Message, Update
from telegram.ext import ContextTypes

from bot import texts
from bot.access import Access
from bot.handlers.acting import Acting
from bot.incoming import after_command, place_of
from bot.outgoing import send
from bot.store.messages import Place

USUAL_TURNS = 5
MOST_TURNS = 20


@dataclass(frozen=True, slots=True)
class Simulating:
    """The handler of `/simulate`, and the chats in which one goes on."""

    access: Access
    acting: Acting
    busy: set[int] = field(default_factory=set)

    async def command(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """Play some turns, or say why not."""
        message = update.message
        if message is None:
            return
        place = place_of(message)
        turns = turns_of(after_command(message))
        if refusal := self._refusal(place, turns):
            await send(context.bot, place, refusal)
        elif turns is not None:
            self.busy.add(place.chat_id)
            try:
                await self._play(message, place, turns, context)
            finally:
                self.busy.discard(place.chat_id)

    def _refusal(self, place: Place, turns: int | None) -> str | None:
        """Return why nobody speaks, None where they do."""
        if not self.access.speaks_in(place.chat_id):
            return texts.SILENT_HERE
        if not self.access.voices:
            return texts.NO_VOICES
        if turns is None:
            return texts.turns_wanted(USUAL_TURNS, MOST_TURNS)
        return texts.ALREADY_ON if place.chat_id in self.busy else None

    async def _play(
        self, message: Message, place: Place, turns: int, context: ContextTypes.DEFAULT_TYPE
    ) -> None:
        """Play the turns; what is left of them is dropped when the bot is told to stop."""
        voices = [person.name for person in self.access.voices]
        at = message.date
        for _ in range(turns):
            if not await self.acting.turn(place, voices, at):
                await send(context.bot, place, texts.NOTHING_TO_SAY)
                return
            if not context.application.running:
                return
            at = datetime.now(UTC)


def turns_of(words: str) -> int | None:
    """Return how many turns are asked for, None where that is no number from 1 to 20."""
    if not words:
        return USUAL_TURNS
    if not (words.isascii() and words.isdecimal()) or len(words) > len(str(MOST_TURNS)):
        return None
    return int(words) if 1 <= int(words) <= MOST_TURNS else None
