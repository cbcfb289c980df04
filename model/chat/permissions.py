"""Decide what may be done with each person's messages, from what they and the admin said."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from model.chat.person import Decision, Imitate, Learn, Person
from model.chat.roster import Roster

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about people, beside the roster in question.

    `sources` holds decisions by source, such as a dump or the bot's database. Each source lists
    them in the order in which they arrived there, whatever their times: a clock may have been
    wrong. `not_learned` and `not_imitated` are ids with a "no" in the roster of a models folder.
    """

    sources: Mapping[str, Sequence[Decision]] = field(default_factory=dict)
    not_learned: frozenset[int] = frozenset()
    not_imitated: frozenset[int] = frozenset()

    def with_source(self, name: str, decisions: Iterable[Decision]) -> "Facts":
        """Return these facts with another source, unless it has no decisions."""
        told = tuple(decisions)
        return replace(self, sources={**self.sources, name: told}) if told else self


@dataclass(frozen=True, slots=True)
class Permission:
    """What may be done with a person's messages.

    `optouts` are the `/optout`s that count, the latest one last, and `source` is where that one is
    from. `is_excluded` says that a roster says "no" to imitating them, whatever they decided.
    `has_agreed` says that an `/optin` counts, in the chats that the facts are for.
    """

    learn: Learn
    imitate: Imitate
    optouts: tuple[Decision, ...] = ()
    source: str = ""
    is_excluded: bool = False
    has_agreed: bool = False


def permissions(
    people: Iterable[Person],
    facts: Facts,
    linked: Mapping[int, frozenset[int]] | None = None,
) -> list[Permission]:
    """Return what may be done with the messages of each of these people.

    docs/privacy.md has the rules as tables. `linked` are accounts that other rosters know to be the
    same person's: their `/optout`s count, their `/optin`s do not.
    """
    told = _index(facts.sources)
    return [_permit(person, facts, told, linked or {}) for person in people]


def apply_facts(roster: Roster, facts: Facts) -> Roster:
    """Return a version's roster in which only those are voices who may be imitated."""
    people = []
    for person, own in zip(roster.people, permissions(roster.people, facts), strict=True):
        optouts = () if own.is_excluded else own.optouts
        people.append(replace(person, imitate=own.imitate, opted_out=optouts))
    return replace(roster, people=tuple(people))


def apply_to_training(roster: Roster, facts: Facts) -> Roster:
    """Return a roster in which nothing is learned from people who opted out."""
    people = (
        replace(person, learn=own.learn, imitate=own.imitate, opted_out=())
        for person, own in zip(roster.people, permissions(roster.people, facts), strict=True)
    )
    return replace(roster, people=tuple(people))


_Told = Mapping[int, Sequence[tuple[str, Sequence[Decision]]]]
"""The sources with decisions of each user, and these decisions."""


def _index(sources: Mapping[str, Iterable[Decision]]) -> _Told:
    told: dict[int, dict[str, list[Decision]]] = {}
    for name, decisions in sources.items():
        for one in decisions:
            told.setdefault(one.user_id, {}).setdefault(name, []).append(one)
    return {user_id: list(by_source.items()) for user_id, by_source in told.items()}


def _permit(
    person: Person, facts: Facts, told: _Told, linked: Mapping[int, frozenset[int]]
) -> Permission:
    own = {number: [*told.get(number, ())] for number in person.ids}
    for one in person.opted_out:
        own[one.user_id].append(("this version", [one]))
    others = {other for number in person.ids for other in linked.get(number, ())}
    others -= own.keys()
    last = [_find_last(sources) for sources in own.values() if sources]
    last_of_others = [_find_last(told[number]) for number in others if number in told]
    optouts = sorted(
        (one for one in (*last, *last_of_others) if one[1].kind == "optout"),
        key=lambda one: one[1].at,
    )
    has_opted_out = any(
        one.kind == "optout"
        for sources in own.values()
        for _, decisions in sources
        for one in decisions
    )
    is_withheld = person.learn == "no" or not facts.not_learned.isdisjoint(person.ids)
    has_no = person.imitate == "no" and not person.opted_out
    is_excluded = has_no or not facts.not_imitated.isdisjoint(person.ids)
    is_yes = person.imitate == "yes" and not has_opted_out
    may_ask: Imitate = "yes" if is_yes else "ask"
    is_silent = is_excluded or bool(optouts)
    return Permission(
        learn="no" if is_withheld or optouts else "yes",
        imitate="no" if is_silent else may_ask,
        optouts=tuple(one for _, one in optouts),
        source=optouts[-1][0] if optouts else "",
        is_excluded=is_excluded,
        has_agreed=not is_silent
        and not is_withheld
        and any(one.kind == "optin" for _, one in last),
    )


def _find_last(sources: Sequence[tuple[str, Sequence[Decision]]]) -> tuple[str, Decision]:
    """Return a user's decision that counts, and its source.

    A source is outdated by another one that has its last decision and goes on after it. Of the
    last decisions of the others the latest counts. If times are equal, or the `/optin`'s is in the
    future, the `/optout` counts.
    """
    keys = [[(one.kind, one.at) for one in decisions] for _, decisions in sources]

    def is_outdated(own: Sequence[tuple[str, datetime]]) -> bool:
        return any(own[-1] in other and other[-1] not in own for other in keys)

    current = [
        one for one, own in zip(sources, keys, strict=True) if not is_outdated(own)
    ] or sources
    name, decisions = max(current, key=lambda one: _weigh(one[1][-1]))
    return name, decisions[-1]


def _weigh(decision: Decision) -> tuple[datetime, bool]:
    """Return a key: of two sources' last decisions, the one with the greater key counts."""
    is_optout = decision.kind == "optout"
    is_doubtful = not is_optout and decision.at > datetime.now(UTC)
    return _NEVER if is_doubtful else decision.at, is_optout
