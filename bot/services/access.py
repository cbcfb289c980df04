"""Decide where the bot may speak, whose voice it may use, and who is an admin."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from telegram import ChatMember, Message
from telegram.error import TelegramError
from telegram.ext import ExtBot

from bot.settings import Consent, Settings
from bot.store.groups import Group
from model.artifacts.artifact import Card
from model.chat.roster import (
    Decision,
    DecisionKind,
    Person,
    Roster,
    newest_decisions,
    remove_decisions,
)

NO_GROUPS: Mapping[int, Group] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Access:
    """The permissions that follow from the card, the roster, the settings, admins and friends.

    `chats`: the chats that the model learned from. A public model may speak in any authorised
    group. `decisions`: people's own decisions by user id.
    """

    roster: Roster
    chats: frozenset[int]
    admins: frozenset[int]
    consent: Consent
    public: bool = False
    decisions: Mapping[int, DecisionKind] = field(default_factory=dict)
    groups: Mapping[int, Group] = field(default_factory=dict)

    def may_speak_in(self, chat_id: int) -> bool:
        """Whether the bot may speak in a chat: an authorised group, or an admin's private chat.

        A private chat has the id of its user. In a group that the model learned from, the bot may
        speak without authorisation: it was there before authorisation was required. This does not
        hold for a public model, which learned from strangers.
        """
        if chat_id > 0:
            return chat_id in self.admins
        group = self.groups.get(chat_id)
        if group is None:
            return chat_id in self.chats
        # An `/allow` counts only for the chats that the model had learned from at that time.
        is_allowed = bool(group.allowed) and self.chats <= group.allowed
        return group.authorised and (is_allowed or self.learned_from(chat_id))

    def learned_from(self, chat_id: int) -> bool:
        """Whether the model learned from this chat, or from the basic group that it was before.

        Always true for a public model.
        """
        group = self.groups.get(chat_id)
        earlier = group.moved_from if group else None
        return self.public or chat_id in self.chats or earlier in self.chats

    def may_imitate(self, person: Person) -> bool:
        """Whether a friend agreed: by their own decision, otherwise by the CONSENT setting.

        An opt-out from any of their accounts always wins. A person who wrote too little has no
        voice.
        """
        decided = {self.decisions[number] for number in person.ids if number in self.decisions}
        if "optout" in decided or not person.may_be_target:
            return False
        asked = person.imitate == "ask" and self.consent == "roster"
        return "optin" in decided or person.imitate == "yes" or asked

    def may_still_agree(self, person: Person) -> bool:
        """Whether a person has neither agreed nor refused, so that they may still send /optin."""
        decided = {self.decisions.get(number) for number in person.ids}
        return person.may_be_target and "optout" not in decided and not self.may_imitate(person)

    def has_agreed(self, author_id: int) -> bool:
        """Whether an author agreed, so that messages may be stored longer than RETENTION_DAYS."""
        person = self.roster.find_by_id(author_id)
        return person is not None and self.may_imitate(person)

    @property
    def voices(self) -> tuple[Person, ...]:
        """Return the friends whose voices may be used."""
        return tuple(person for person in self.roster.voices if self.may_imitate(person))

    @property
    def not_agreed(self) -> tuple[Person, ...]:
        """Return the friends who wrote enough for a voice but have not agreed, or have refused."""
        people = (person for person in self.roster.people if not person.quiet)
        return tuple(person for person in people if not self.may_imitate(person))


def build_access(
    card: Card,
    roster: Roster,
    settings: Settings,
    decisions: Mapping[int, Decision],
    groups: Mapping[int, Group] = NO_GROUPS,
) -> Access:
    """Return what a model's card, the settings and people's decisions allow.

    The card's roster may contain an `/optout` that another machine received. The newest decision
    counts.
    """
    optouts = (decision for person in card.roster.people for decision in person.opted_out)
    newest = newest_decisions([*optouts, *decisions.values()])
    return Access(
        remove_decisions(roster),
        frozenset(chat.chat_id for chat in card.chats),
        settings.admins,
        settings.consent,
        card.public,
        {user_id: one.kind for user_id, one in newest.items()},
        groups,
    )


_ADMINS = {ChatMember.OWNER, ChatMember.ADMINISTRATOR}


def is_admin(member: ChatMember) -> bool:
    """Whether a member of a chat is one of its admins."""
    return member.status in _ADMINS


async def is_group_admin(bot: ExtBot[Any], message: Message, admins: Container[int]) -> bool:
    """Whether a message's author is an admin of the bot or its group; False if Telegram fails.

    An anonymous admin writes as the group itself.
    """
    if message.sender_chat:
        return message.sender_chat.id == message.chat.id
    if message.from_user is None:
        return False
    if message.from_user.id in admins:
        return True
    try:
        member = await bot.get_chat_member(message.chat.id, message.from_user.id)
    except TelegramError:
        return False
    return is_admin(member)
