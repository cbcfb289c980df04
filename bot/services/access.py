"""Decide where the bot may speak, whose voice it may use, and who is an admin."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from telegram import ChatMember, Message
from telegram.error import TelegramError
from telegram.ext import ExtBot

from bot.settings import Consent, Settings
from bot.store.groups import DecisionsByUser, Group
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
    """The permissions that follow from a model, the settings, and decisions of admins and friends.

    `chats`: the chats that the model learned from. A public model may speak in any authorised
    group. `decisions`: people's own decisions that count for this model, by user id.
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


def _find_newest(
    decisions: DecisionsByUser, users: Iterable[int], counts_in: Callable[[int], bool]
) -> dict[int, Decision]:
    """Return the newest decision that counts for a model, by user id.

    An `/optout` counts for every model, wherever it was sent. An `/optin` counts for the model of
    the chat in which it was sent: `counts_in` says whether that is this model.
    """
    newest: dict[int, Decision] = {}
    for user_id in users:
        for one in decisions.get(user_id, ()):
            if one.kind == "optout" or counts_in(one.chat_id):
                newest[user_id] = one
    return newest


def build_access(
    card: Card,
    roster: Roster,
    settings: Settings,
    decisions: DecisionsByUser,
    groups: Mapping[int, Group] = NO_GROUPS,
    serves: Callable[[int], bool] = lambda _: True,
) -> Access:
    """Return what a model's card, the settings and people's decisions allow.

    `serves` says whether a chat uses this model. The card's roster may contain an `/optout` that
    another machine received. The newest decision counts.
    """
    optouts = (decision for person in card.roster.people for decision in person.opted_out)
    ids = (number for person in roster.people for number in person.ids)
    newest = newest_decisions([*optouts, *_find_newest(decisions, ids, serves).values()])
    return Access(
        remove_decisions(roster),
        frozenset(chat.chat_id for chat in card.chats),
        settings.admins,
        settings.consent,
        card.public,
        {user_id: one.kind for user_id, one in newest.items()},
        groups,
    )


T = TypeVar("T")


def index_by_chat(models: Iterable[tuple[Card, T]]) -> dict[int, T]:
    """Return the models of groups by the chats that they learned from.

    If two learned from the same chat, the first one has it.
    """
    by_chat: dict[int, T] = {}
    for card, model in models:
        for chat in card.chats:
            by_chat.setdefault(chat.chat_id, model)
    return by_chat


def find_model(by_chat: Mapping[int, T], chat_id: int, groups: Mapping[int, Group]) -> T | None:
    """Return a group's own model, or None if the chat uses the default one.

    A supergroup has the model of the basic group that it was.
    """
    group = groups.get(chat_id)
    earlier = group.moved_from if group else None
    found = by_chat.get(chat_id)
    return by_chat.get(earlier) if found is None and earlier is not None else found


def find_later_ids(groups: Mapping[int, Group]) -> dict[int, int]:
    """Return the ids of supergroups by the ids of the basic groups that they were."""
    return {one.moved_from: one.chat_id for one in groups.values() if one.moved_from is not None}


class StoredPermissions:
    """The permissions in each chat, for commands that read the database without the bot."""

    def __init__(
        self,
        cards: Sequence[Card],
        settings: Settings,
        decisions: DecisionsByUser,
        groups: Mapping[int, Group],
    ) -> None:
        """`cards`: the default model's, then those of groups with models of their own."""
        self.cards, self.groups = cards, groups
        self._settings, self._decisions = settings, decisions
        self._by_chat = index_by_chat((card, card) for card in cards[1:])
        self._later = find_later_ids(groups)
        self._access: dict[int, Access] = {}  # by the id() of the card

    def card_in(self, chat_id: int) -> Card:
        """Return the card of the model that serves a chat, or the supergroup that it became."""
        chat_id = self._later.get(chat_id, chat_id)
        return find_model(self._by_chat, chat_id, self.groups) or self.cards[0]

    def access_in(self, chat_id: int) -> Access:
        """Return the permissions in a chat."""
        return self.access_of(self.card_in(chat_id))

    def access_of(self, card: Card) -> Access:
        """Return the permissions that follow from a model."""
        if id(card) not in self._access:
            self._access[id(card)] = build_access(
                card, card.roster, self._settings, self._decisions, self.groups,
                lambda chat_id: self.card_in(chat_id) is card,
            )  # fmt: skip
        return self._access[id(card)]


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
