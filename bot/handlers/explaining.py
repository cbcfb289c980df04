"""`/why` in reply to a line of the bot's: whose voice, which version, from what."""

from collections.abc import Mapping
from dataclasses import dataclass

from telegram import Update

from bot.context import Context
from bot.house import House
from bot.incoming import place_of


@dataclass(frozen=True, slots=True)
class Explaining:
    """The handler of `/why`."""

    house: House

    async def why(self, update: Update, context: Context) -> None:
        """Say how a line was made."""
        message = update.message
        replied = message.reply_to_message if message else None
        if message is None or not self.house.access.speaks_in(message.chat.id):
            return
        place = place_of(message)
        line = None
        if replied and not replied.poll:  # it would tell the answer of a quiz
            line = await self.house.shelves.journal.line(message.chat.id, replied.message_id)
        if replied is None or line is None:
            await context.courier.say(place, context.texts.why_what)
            return
        found = await self.house.shelves.reactions.counts(message.chat.id, replied.message_id)
        text = context.texts.why.format(
            voice=line.voice, version=line.version, sources=len(line.sources)
        )
        await context.courier.say(place, "\n".join(filter(None, (text, _reactions(found)))))


def _reactions(counts: Mapping[str, int]) -> str:
    return "  ".join(f"{emoji} {number}" for emoji, number in sorted(counts.items()))
