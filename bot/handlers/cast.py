"""`/voices`: who can be spoken as, from how much, and who has not agreed."""

from dataclasses import dataclass

from telegram import Update

from bot.context import Context
from bot.house import House
from bot.incoming import place_of
from bot.texts.wording import Wording
from model.marker import MASK


@dataclass(frozen=True, slots=True)
class Cast:
    """The handler that lists the voices."""

    house: House

    async def voices(self, update: Update, context: Context) -> None:
        """List them, where names may be told."""
        message = update.message
        if message is None:
            return
        access, chat_id = self.house.access, message.chat.id
        at_home = chat_id > 0 or access.learned_from(chat_id)
        here = access.speaks_in(chat_id)
        text = self._listed(context.texts, tell_all=at_home) if here else context.texts.silent_here
        await context.courier.say(place_of(message), text)

    def _listed(self, texts: Wording, *, tell_all: bool) -> str:
        """Return a line for each voice, then who may still agree and who wrote too little.

        These people are not named in a group that the model did not learn from.
        """
        access, card = self.house.access, self.house.stand.now.card
        voices = []
        for person in access.voices:
            lines = card.lines_of(person.name)
            learned = ""
            if lines is not None:
                learned = texts.learned_from.format(messages=texts.count(texts.messages, lines))
            voices.append(f"• {MASK} {person.name}{learned}")  # a mask first would be a line
        others = [person for person in access.roster.people if tell_all]
        quiet = [person.name for person in others if person.is_only_quiet]
        silent = [person.name for person in others if access.may_still_agree(person)]
        parts = [
            "\n".join(voices) or texts.no_voices,
            texts.have_not_agreed.format(names=", ".join(silent)) if silent else "",
            texts.heard_too_little.format(names=", ".join(quiet)) if quiet else "",
        ]
        return "\n\n".join(filter(None, parts))
