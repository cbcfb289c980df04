"""Decide where the bot may speak, whose voice it may use, and who is an admin."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from telegram import ChatMember, Message
from telegram.error import TelegramError
from telegram.ext import ExtBot

from bot.settings import ConsentRule, Settings
from bot.store.groups import DecisionsByUser, Group, StoredDecision
from model.artifacts.artifact import Card
from model.chat.permissions import Facts, Permission, permissions
from model.chat.person import Person
from model.chat.roster import Roster, link_accounts, remove_decisions


@dataclass(frozen=True, slots=True)
class Access:
    """The permissions in a chat: from its model, the settings, and decisions of admins and friends.

    `chats`: the chats that the model learned from. A public model may speak in any authorised
    group. `permissions`: what people's decisions allow in this chat, by name.
    """

    roster: Roster
    chats: frozenset[int]
    admins: frozenset[int]
    consent: ConsentRule
    public: bool = False
    permissions: Mapping[str, Permission] = field(default_factory=dict)
    groups: Mapping[int, Group] = field(default_factory=dict)

    def may_speak_in(self, chat_id: int) -> bool:
        """Whether the bot may speak in a chat: an authorised group, or an admin's private chat.

        A private chat has the id of its user. In a group that the model learned from, the bot may
        speak without authorisation: it was there before authorisation was required. This does not
        apply to a public model, which learned from strangers.
        """
        if chat_id > 0:
            return chat_id in self.admins
        group = self.groups.get(chat_id)
        if group is None:
            return chat_id in self.chats
        return group.authorised and self.may_be_used_in(chat_id)

    def may_be_used_in(self, chat_id: int) -> bool:
        """Whether the model may be used in a group if an admin has added the bot to it.

        An `/allow` counts only for the chats that the model had learned from at that time.
        """
        group = self.groups.get(chat_id)
        allowed = group.allowed if group else frozenset[int]()
        return self.learned_from(chat_id) or (bool(allowed) and self.chats <= allowed)

    def learned_from(self, chat_id: int) -> bool:
        """Whether the model learned from this chat, or from the basic group that it was before.

        Always true for a public model.
        """
        group = self.groups.get(chat_id)
        earlier = group.moved_from if group else None
        return self.public or chat_id in self.chats or earlier in self.chats

    def roster_in(self, chat_id: int) -> Roster:
        """Return the roster of the people that a chat may learn about.

        In a group that the model did not learn from, these are only the voices. In private, where
        the bot speaks only with admins, they are all people.
        """
        if chat_id > 0 or self.learned_from(chat_id):
            return self.roster
        return replace(self.roster, people=self.voices)

    def may_imitate(self, person: Person) -> bool:
        """Whether a friend agreed: by their own decision, otherwise by the CONSENT setting.

        An opt-out from any of their accounts always wins. A person who wrote too few messages has
        no voice.
        """
        own = self.permissions.get(person.name)
        if own is None or own.optouts or not person.may_be_target:
            return False
        asked = own.imitate == "ask" and self.consent == "roster"
        return own.has_agreed or own.imitate == "yes" or asked

    def may_still_agree(self, person: Person) -> bool:
        """Whether a person has neither agreed nor refused, so that they may still send /optin."""
        own = self.permissions.get(person.name)
        has_refused = own is None or bool(own.optouts)
        return person.may_be_target and not has_refused and not self.may_imitate(person)

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


ANY_PRIVATE_CHAT = 1
"""Stands for the id of any private chat: the permissions of all are the same."""


def build_access(
    card: Card,
    roster: Roster,
    settings: Settings,
    decisions: DecisionsByUser,
    groups: Mapping[int, Group],
    linked: Mapping[int, frozenset[int]],
    chat_id: int,
    *,
    is_default: bool,
) -> Access:
    """Return what is allowed in a chat with a model, which may be the default one.

    `roster` is the card's without decisions; the card's may contain an `/optout` that another
    machine received. `linked`: accounts that other models' rosters know to be the same person's.
    """
    chats = frozenset(chat.chat_id for chat in card.chats)
    access = Access(
        roster, chats, settings.admins, settings.consent, public=card.public, groups=groups
    )
    accounts = {number for person in roster.people for number in person.ids}
    known = accounts.union(*(linked.get(number, ()) for number in accounts))
    counting = (
        one
        for number in known
        for one in decisions.get(number, ())
        if does_count(one, chat_id, access, is_default=is_default)
    )
    facts = Facts(linked=linked).with_source("the bot", counting)
    found = permissions(card.roster.people, facts)
    return replace(access, permissions={person.name: own for person, own in found})


def does_count(decision: StoredDecision, chat_id: int, access: Access, *, is_default: bool) -> bool:
    """Whether a decision counts in a chat, whose model may be the default one.

    An `/optout` counts everywhere. An `/optin` counts in the group in which it was sent, even after
    it became a supergroup. One that was sent in private counts for the default model: in the groups
    that it learned from, and in private.
    """
    if decision.kind == "optout":
        return True
    if decision.chat_id > 0:
        return is_default and (chat_id > 0 or access.learned_from(chat_id))
    group = access.groups.get(chat_id)
    return decision.chat_id in {chat_id, group.moved_from if group else None}


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
        cards: Mapping[str | None, Card],
        settings: Settings,
        decisions: DecisionsByUser,
        groups: Mapping[int, Group],
    ) -> None:
        """`cards`: those of groups' own models by folder, and the default model's for None."""
        self.cards, self.groups = cards, groups
        self._settings, self._decisions = settings, decisions
        self._by_chat = index_by_chat((card, folder) for folder, card in cards.items() if folder)
        self._later = find_later_ids(groups)
        self._linked = link_accounts(
            person for card in self.cards.values() for person in card.roster.people
        )
        self._rosters = {folder: remove_decisions(card.roster) for folder, card in cards.items()}
        self._access: dict[tuple[str | None, int], Access] = {}

    def folder_in(self, chat_id: int) -> str | None:
        """Return the folder of the model that serves a chat, None for the default model."""
        chat_id = self._later.get(chat_id, chat_id)
        return find_model(self._by_chat, chat_id, self.groups)

    def access_in(self, chat_id: int) -> Access:
        """Return the permissions in a chat."""
        return self._build_access(self.folder_in(chat_id), chat_id)

    def access_of(self, folder: str | None) -> Access:
        """Return the permissions in the chat that a model learned from."""
        return self._build_access(folder, find_own_chat(self.cards[folder]))

    def find_accounts(self, user_id: int) -> frozenset[int]:
        """Return the ids of all of a person's accounts, according to the rosters of all models."""
        return self._linked.get(user_id, frozenset({user_id}))

    def counts(self, decision: StoredDecision, chat_id: int) -> bool:
        """Whether a decision counts in a chat."""
        is_default = self.folder_in(chat_id) is None
        return does_count(decision, chat_id, self.access_in(chat_id), is_default=is_default)

    def _build_access(self, folder: str | None, chat_id: int) -> Access:
        chat_id = self._later.get(chat_id, chat_id)
        if (folder, chat_id) not in self._access:
            self._access[folder, chat_id] = build_access(
                self.cards[folder], self._rosters[folder], self._settings, self._decisions,
                self.groups, self._linked, chat_id, is_default=folder is None,
            )  # fmt: skip
        return self._access[folder, chat_id]


def find_own_chat(card: Card) -> int:
    """Return the id of the chat that a model learned from; a private one if there is none."""
    return card.chats[0].chat_id if card.chats else ANY_PRIVATE_CHAT


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
