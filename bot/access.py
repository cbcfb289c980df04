"""Where the bot may speak, and in whose voice."""

from dataclasses import dataclass

from bot.settings import Consent
from model.artifact import Card
from model.roster import Person, Roster


@dataclass(frozen=True, slots=True)
class Access:
    """What the model's card, its roster and the settings allow.

    `chats` are those that the model learned from; a public model may speak anywhere.
    """

    roster: Roster
    chats: frozenset[int]
    admins: frozenset[int]
    consent: Consent
    public: bool = False

    def speaks_in(self, chat_id: int) -> bool:
        """Whether to speak in a chat: one it learned from, or an admin's private one.

        A private chat has the id of the person, so that an admin's is among `admins`.
        """
        return self.public or chat_id in self.chats or chat_id in self.admins

    def may_imitate(self, person: Person) -> bool:
        """Whether a friend agreed, by the rule that CONSENT sets; the quiet are no voice."""
        agreed = person.imitate == "yes" or (person.imitate == "ask" and self.consent == "roster")
        return person.may_be_target and agreed

    @property
    def voices(self) -> tuple[Person, ...]:
        """Return the friends whose voices may be used."""
        return tuple(person for person in self.roster.voices if self.may_imitate(person))


def access_of(card: Card, roster: Roster, admins: frozenset[int], consent: Consent) -> Access:
    """Return what a model's card allows."""
    chats = frozenset(chat.chat_id for chat in card.chats)
    return Access(roster, chats, admins, consent, public=card.public)
