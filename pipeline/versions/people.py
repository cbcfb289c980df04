"""Say what may be done with each person's messages, and why."""

from collections.abc import Iterator
from dataclasses import dataclass

from model.artifacts.registry import Registry
from model.chat.permissions import Facts, Permission, permissions
from model.chat.person import Decision, Imitate, Learn, Person
from pipeline.versions.ledger import load_current_card, load_people_and_facts


@dataclass(frozen=True, slots=True)
class PersonStatus:
    """A person, what may be done with their messages, and why, as a phrase."""

    name: str
    learn: Learn
    imitate: Imitate
    reason: str


def list_statuses(registry: Registry) -> list[PersonStatus]:
    """Return everybody in the last roster of a models folder, then those only its model knows.

    Raises:
        ArtifactError: The database is damaged, or the current version cannot be used.
    """
    card = load_current_card(registry)
    people, facts = load_people_and_facts(registry.root, card)
    known = {number for person in people for number in person.ids}
    if card:
        people += tuple(one for one in card.roster.people if known.isdisjoint(one.ids))
    return [
        PersonStatus(person.name, found.learn, found.imitate, _explain(person, found, facts))
        for person, found in permissions(people, facts)
    ]


def _explain(person: Person, found: Permission, facts: Facts) -> str:
    return ", ".join(_list_reasons(person, found, facts))


def _list_reasons(person: Person, found: Permission, facts: Facts) -> Iterator[str]:
    if person.learn == "no":
        yield 'learn = "no" in the roster'
    elif found.is_excluded:
        yield 'imitate = "no" in the roster'
    if found.optouts:
        yield _describe(found.optouts[-1], facts)
    elif found.has_agreed:
        told = (one for source in facts.sources.values() for one in source)
        own = [one for one in told if one.kind == "optin" and one.user_id in person.ids]
        yield _describe(max(own, key=lambda one: one.at), facts)
    elif found.imitate == "yes":
        yield 'imitate = "yes" in the roster'
    elif found.imitate == "ask":
        yield "has not agreed yet"
    if person.is_only_quiet:
        yield "too few messages for a voice"


def _describe(decision: Decision, facts: Facts) -> str:
    names = (name for name, told in facts.sources.items() if decision in told)
    source = next((name.rpartition("#")[0] for name in names), "the version's roster")
    return f"/{decision.kind} on {decision.at:%Y-%m-%d}, from {source}"
