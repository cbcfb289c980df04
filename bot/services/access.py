"""Decide where the bot may speak, whose voice it may use, and who is an admin."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from telegram import ChatMember, Message
from telegram.error import TelegramError
from telegram.ext import ExtBot

from bot.settings import Consent, Settings
from bot.store.groups import DecisionsByUser, Group, StoredDecision
from model.artifacts.artifact import Card
from model.chat.roster import (
    DecisionKind,
    Person,
    Roster,
    newest_decisions,
    remove_decisions,
)


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


def build_access(
    card: Card,
    roster: Roster,
    settings: Settings,
    decisions: DecisionsByUser,
    groups: Mapping[int, Group],
    linked: Mapping[int, frozenset[int]],
    counts: Callable[[StoredDecision], bool],
) -> Access:
    """Return what a model's card, the settings and people's decisions allow.

    `counts` says whether a decision counts for this model. The card's roster may contain an
    `/optout` that another machine received. The newest decision of each account counts. `linked`:
    accounts that other models' rosters know to be the same person's.
    """
    accounts = {number for person in roster.people for number in person.ids}
    known = accounts.union(*(linked.get(number, ()) for number in accounts))
    counting = (one for number in known for one in decisions.get(number, ()) if counts(one))
    last = {decision.user_id: decision for decision in counting}
    optouts = (decision for person in card.roster.people for decision in person.opted_out)
    newest = newest_decisions([*optouts, *last.values()])
    kinds = {number: newest[number].kind for number in accounts & newest.keys()}
    # accounts that only another roster knows count for opt-outs, but not for opt-ins
    for one in newest.values():
        if one.kind == "optout":
            kinds |= dict.fromkeys(linked.get(one.user_id, frozenset()) & accounts, "optout")
    return Access(
        remove_decisions(roster),
        frozenset(chat.chat_id for chat in card.chats),
        settings.admins,
        settings.consent,
        card.public,
        kinds,
        groups,
    )


def link_accounts(rosters: Iterable[Roster]) -> dict[int, frozenset[int]]:
    """Return all accounts of each person with several, by account, as all rosters together say."""
    linked: dict[int, set[int]] = {}
    for roster in rosters:
        for person in roster.people:
            if len(person.ids) > 1:
                together = set(person.ids).union(*(linked.get(n, ()) for n in person.ids))
                linked.update(dict.fromkeys(together, together))
    return {number: frozenset(together) for number, together in linked.items()}


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
        self._linked = link_accounts(card.roster for card in self.cards.values())
        self._access: dict[str | None, Access] = {}

    def folder_in(self, chat_id: int) -> str | None:
        """Return the folder of the model that serves a chat, None for the default model."""
        chat_id = self._later.get(chat_id, chat_id)
        return find_model(self._by_chat, chat_id, self.groups)

    def access_in(self, chat_id: int) -> Access:
        """Return the permissions in a chat."""
        return self.access_of(self.folder_in(chat_id))

    def access_of(self, folder: str | None) -> Access:
        """Return the permissions that follow from a model."""
        if folder not in self._access:
            card = self.cards[folder]
            self._access[folder] = build_access(
                card, card.roster, self._settings, self._decisions, self.groups, self._linked,
                lambda one: self.counts(one, folder),
            )  # fmt: skip
        return self._access[folder]

    def find_accounts(self, user_id: int) -> frozenset[int]:
        """Return the ids of all accounts of a person, by the rosters of all models."""
        return self._linked.get(user_id, frozenset({user_id}))

    def counts(self, decision: StoredDecision, folder: str | None) -> bool:
        """Whether a decision counts for a model."""
        return does_count(decision, folder, self.folder_in(decision.chat_id))


def does_count(decision: StoredDecision, folder: str | None, folder_of_chat: str | None) -> bool:
    """Whether a decision counts for the model in `folder`; None is the default model.

    An `/optout` counts for every model, wherever it was sent. An `/optin` counts for a group's own
    model if it was sent in a chat of that model, and for the default model if it was sent where
    that one was used.
    """
    if decision.kind == "optout":
        return True
    return decision.model_folder is None if folder is None else folder == folder_of_chat


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
