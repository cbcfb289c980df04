"""Erase messages: overwrite them, delete the bot's lines in the chat, delete the rows."""

from dataclasses import dataclass

from bot.attempts import waits
from bot.context import Context
from bot.house import House
from bot.store.wanted import Wanted
from bot.taking_back import take_back
from bot.texts.wording import Wording


@dataclass(frozen=True, slots=True)
class Gone:
    """What was forgotten: messages of people, lines taken back in the chat, those that stay."""

    messages: int
    taken_back: int
    stays: int

    def told(self, first: str, texts: Wording) -> str:
        """Say what happened, after a first sentence."""
        said = [first]
        if self.taken_back:
            deleted = texts.count(texts.messages, self.taken_back)
            said.append(texts.taken_back.format(messages=deleted))
        if self.stays:
            left = texts.count(texts.messages, self.stays)
            said.append(texts.cannot_take_back.format(messages=left))
        return "\n".join(said)


async def erase(wanted: Wanted, house: House, context: Context) -> Gone:
    """Overwrite it, delete the bot's lines in the chat, then erase all.

    A kill in between loses nothing: the update that asked for it is handled again.
    """
    if wanted == Wanted():
        return Gone(0, 0, 0)
    await waits()  # for the database, which may take long
    marked = await house.mark(wanted)
    if marked.lines:  # deleting them may take minutes
        await house.shelves.erasing.wipe()
    stays = await take_back(context.bot, marked.lines)
    await house.shelves.erasing.erase(wanted, context.courier.update_id)
    return Gone(marked.messages, len(marked.lines) - stays, stays)
