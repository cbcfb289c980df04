"""`/why` in reply to a line of the bot's: whose voice, which version, from what."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from telegram import Update

from bot.context import Context
from bot.house import House
from bot.incoming import person_id, place_of
from bot.store.journal import Line
from bot.texts.wording import Wording


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
        parts = [explained(line, context.texts), _reactions(found)]
        if person_id(message.from_user) in self.house.settings.admins:
            parts.insert(1, rejected(line, context.texts))
        await context.courier.say(place, "\n".join(filter(None, parts)))


def explained(line: Line, texts: Wording) -> str:
    """Return whose voice a line is in, and what the model read for it if it is known."""
    read = line.generation.read if line.generation else len(line.sources)
    text = texts.why if read else texts.why_unread
    messages = texts.count(texts.messages, read)
    return text.format(voice=line.voice, version=line.version, messages=messages)


def rejected(line: Line, texts: Wording) -> str:
    """Return how many candidates were rejected in favour of a line, and why."""
    if line.generation is None:
        return ""
    counts = Counter(line.generation.rejected)
    if not counts:
        return texts.why_none_rejected
    each = (f"{number} × {texts.rejections[reason]}" for reason, number in counts.most_common())
    return texts.why_rejected.format(count=counts.total(), reasons=", ".join(each))


def _reactions(counts: Mapping[str, int]) -> str:
    return "  ".join(f"{emoji} {number}" for emoji, number in sorted(counts.items()))
