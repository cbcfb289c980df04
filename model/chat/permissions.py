"""Decide what may be done with each person's messages, from what they and the admin said."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from model.chat.person import Decision, Imitate, Learn, Person
from model.chat.roster import Roster

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about people besides what a roster says.

    `sources` holds decisions by source, such as a dump or the bot's database. Each source lists
    them in the order in which they arrived there, whatever their times: a clock may have been
    wrong. `not_learned` and `not_imitated` are ids with a "no" in the roster of a models folder.
    `linked` maps each account to all accounts of the same person, where rosters list several: their
    `/optout`s count, their `/optin`s do not.
    """

    sources: Mapping[str, Sequence[Decision]] = field(default_factory=dict)
    not_learned: frozenset[int] = frozenset()
    not_imitated: frozenset[int] = frozenset()
    linked: Mapping[int, frozenset[int]] = field(default_factory=dict)

    def with_source(self, name: str, decisions: Iterable[Decision]) -> "Facts":
        """Return these facts with another source, unless it has no decisions."""
        told = tuple(decisions)
        return replace(self, sources={**self.sources, name: told}) if told else self


@dataclass(frozen=True, slots=True)
class Permission:
    """What may be done with a person's messages.

    `optouts` are the `/optout`s that count, the latest one last. `is_excluded` says that a roster
    says "no" to imitating them, whatever they decided. `has_agreed` says that an `/optin` counts,
    in the chats that the facts are for.
    """

    learn: Learn
    imitate: Imitate
    optouts: tuple[Decision, ...] = ()
    is_excluded: bool = False
    has_agreed: bool = False


def permissions(people: Iterable[Person], facts: Facts) -> list[tuple[Person, Permission]]:
    """Return each of these people with what may be done with their messages.

    docs/privacy.md and docs/development/consent-and-history.md have the rules as tables.
    """
    told = _index(facts.sources.values())
    return [(person, _permit(person, facts, told)) for person in people]


def apply_facts(roster: Roster, facts: Facts) -> Roster:
    """Return a version's roster in which only people who may be imitated are voices.

    Also add the accounts that other rosters list for each person.
    """
    people, others = [], list(roster.optouts)
    taken = {number for person in roster.people for number in person.ids}
    taken |= roster.bots | roster.understudies
    for person, own in permissions(roster.people, facts):
        linked = {other for number in person.ids for other in facts.linked.get(number, ())}
        ids = (*person.ids, *sorted(linked - taken))
        taken |= linked
        optouts = tuple(one for one in own.optouts if one.user_id in ids and not own.is_excluded)
        others += (one for one in own.optouts if one not in optouts)
        people.append(replace(person, ids=ids, imitate=own.imitate, opted_out=optouts))
    return replace(roster, people=tuple(people), optouts=tuple(dict.fromkeys(others)))


def apply_to_training(roster: Roster, facts: Facts) -> Roster:
    """Return a roster that excludes the messages of people who opted out."""
    people = (
        replace(person, learn=own.learn, imitate=own.imitate, opted_out=())
        for person, own in permissions(roster.people, facts)
    )
    return replace(roster, people=tuple(people))


_Told = Mapping[int, Sequence[Sequence[Decision]]]
"""Each user's decisions, by source."""


def _index(sources: Iterable[Iterable[Decision]]) -> _Told:
    told: dict[int, list[list[Decision]]] = {}
    for source in sources:
        own: dict[int, list[Decision]] = {}
        for one in source:
            own.setdefault(one.user_id, []).append(one)
        for user_id, decisions in own.items():
            told.setdefault(user_id, []).append(decisions)
    return told


def _permit(person: Person, facts: Facts, told: _Told) -> Permission:
    own = {number: [*told.get(number, ())] for number in person.ids}
    for one in person.opted_out:
        own[one.user_id].append([one])
    others = {other for number in person.ids for other in facts.linked.get(number, ())}
    others -= own.keys()
    last = [_find_last(sources) for sources in own.values() if sources]
    last_of_others = [_find_last(told[number]) for number in others if number in told]
    optouts = tuple(
        sorted(
            (one for one in (*last, *last_of_others) if one.kind == "optout"),
            key=lambda one: one.at,
        )
    )
    has_opted_out = any(
        one.kind == "optout" for sources in own.values() for source in sources for one in source
    )
    is_withheld = person.learn == "no" or not facts.not_learned.isdisjoint(person.ids)
    has_no = person.imitate == "no" and not person.opted_out
    is_excluded = has_no or not facts.not_imitated.isdisjoint(person.ids)
    is_yes = person.imitate == "yes" and not has_opted_out
    may_ask: Imitate = "yes" if is_yes else "ask"
    is_silent = is_excluded or bool(optouts)
    has_agreed = any(one.kind == "optin" for one in last)
    return Permission(
        learn="no" if is_withheld or optouts else "yes",
        imitate="no" if is_silent else may_ask,
        optouts=optouts,
        is_excluded=is_excluded,
        has_agreed=has_agreed and not is_silent and not is_withheld,
    )


def _find_last(sources: Sequence[Sequence[Decision]]) -> Decision:
    """Return a user's decision that counts.

    A source does not count if another one contains its last decision and continues after it. Of the
    other sources' last decisions the latest counts. If times are equal, or the `/optin`'s is in the
    future, the `/optout` counts.
    """
    keys = [[(one.kind, one.at) for one in source] for source in sources]
    ends = defaultdict(set)  # by a decision: the last decisions of the sources that contain it
    for own in keys:
        for key in own:
            ends[key].add(own[-1])
    current = [
        one[-1] for one, own in zip(sources, keys, strict=True) if ends[own[-1]].issubset(own)
    ]
    return max(current or (one[-1] for one in sources), key=_weigh)


def _weigh(decision: Decision) -> tuple[datetime, bool]:
    """Return a key: of two sources' last decisions, the one with the greater key counts."""
    is_optout = decision.kind == "optout"
    is_doubtful = not is_optout and decision.at > datetime.now(UTC)
    return _NEVER if is_doubtful else decision.at, is_optout
