"""Decisions and forgotten messages of a chat, kept across retrainings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from model.chat.roster import (
    Decision,
    Person,
    Roster,
    decision_from_json,
    decision_to_json,
    newest_decisions,
)


@dataclass(frozen=True, slots=True)
class Notes:
    """A dump's own words: its chat in the Bot API's form, decisions, forgotten messages' ids."""

    file: Path
    chat_id: int
    written_at: datetime
    decisions: tuple[Decision, ...] = ()
    forgotten: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Somebody who may not be learned from; `since` is None where the roster alone says so."""

    name: str
    ids: tuple[int, ...]
    since: datetime | None = None

    @property
    def why(self) -> str:
        """Return how they withdrew, as a sentence without a full stop."""
        if self.since:
            return f"{self.name} told the bot /optout on {self.since:%Y-%m-%d}"
        return f'{self.name} may not be learned from (learn = "no" in the roster)'


@dataclass(frozen=True, slots=True)
class Ledger:
    """A chat's newest decisions by user, its forgotten messages, our bots, and who withdrew.

    `deleted` counts its messages that were deleted in Telegram after they had been stored.
    `aliases` maps the ids that the bot saw in a basic group to the ids in its exports.
    `forgotten_words` are the forgotten ids that belong to people's messages: the others are the
    bot's own lines, or messages that are in no export and no dump.
    """

    decisions: Mapping[int, Decision] = field(default_factory=dict)
    forgotten: frozenset[int] = frozenset()
    understudies: frozenset[int] = frozenset()
    withdrawn: tuple[Withdrawn, ...] = ()
    deleted: int = 0
    aliases: Mapping[int, int] = field(default_factory=dict)
    forgotten_words: frozenset[int] = frozenset()

    @property
    def opted_out(self) -> frozenset[int]:
        """Return the users whose newest word is no, whoever the roster takes them for."""
        decided = self.decisions.values()
        return frozenset(one.user_id for one in decided if one.kind == "optout")

    def with_notes(self, notes: Iterable[Notes]) -> "Ledger":
        """Return this ledger with what dumps say: of one user the newest decision counts."""
        notes = list(notes)
        forgotten = self.forgotten.union(*(note.forgotten for note in notes))
        told = self.with_decisions(one for note in notes for one in note.decisions)
        return replace(told, forgotten=forgotten)

    def with_decisions(self, decisions: Iterable[Decision]) -> "Ledger":
        """Return this ledger with more decisions: for each user the newest counts."""
        newest = newest_decisions([*self.decisions.values(), *decisions])
        return replace(self, decisions=newest)

    def over(self, roster: Roster) -> Roster:
        """Return a roster in which people's own decisions hold, whatever it says.

        An optout is a no to both; an optin lets the bot speak as whom the roster asks, never as
        whom it says no of: so the bot itself has it.
        """
        people = tuple(map(self._decided, roster.people))
        return replace(roster, people=people)

    def still_out(self, person: Person) -> Person:
        """Return a person whom no roster names now: the no of an earlier one still holds."""
        by_roster = (one.ids for one in self.withdrawn if one.since is None)
        out = any(not set(ids).isdisjoint(person.ids) for ids in by_roster)
        return replace(person, learn="no") if out else person

    def noting(self, roster: Roster) -> "Ledger":
        """Return this ledger knowing whom a roster withholds, and since when."""
        out = (person for person in roster.people if person.learn == "no")
        return replace(self, withdrawn=tuple(map(self._withdrawn, out)))

    def _decided(self, person: Person) -> Person:
        decision = self._newest(person)
        if decision is None:
            return person
        if decision.kind == "optout":
            return replace(person, learn="no", imitate="no")
        return replace(person, imitate="yes") if person.imitate == "ask" else person

    def _withdrawn(self, person: Person) -> Withdrawn:
        decision = self._newest(person)
        told = decision.at if decision and decision.kind == "optout" else None
        return Withdrawn(person.name, person.ids, told)

    def _newest(self, person: Person) -> Decision | None:
        """Return a person's newest decision; a no of any account wins over all yeses."""
        own = [self.decisions[number] for number in person.ids if number in self.decisions]
        return max(own, key=lambda one: (one.kind == "optout", one.at), default=None)


def to_json(ledger: Ledger) -> dict[str, Any]:
    """Return a ledger as plain values."""
    return {
        "decisions": [decision_to_json(one) for one in ledger.decisions.values()],
        "forgotten": sorted(ledger.forgotten),
        "deleted": ledger.deleted,
        "understudies": sorted(ledger.understudies),
        "withdrawn": [
            {
                "name": one.name,
                "ids": list(one.ids),
                "since": one.since.isoformat() if one.since else None,
            }
            for one in ledger.withdrawn
        ],
        "aliases": sorted(ledger.aliases.items()),
        "forgotten_words": sorted(ledger.forgotten_words),
    }


def from_json(value: Mapping[str, Any]) -> Ledger:
    """Read what `to_json` wrote."""
    decisions = map(decision_from_json, value["decisions"])
    withdrawn = (
        Withdrawn(
            one["name"],
            tuple(one["ids"]),
            datetime.fromisoformat(one["since"]) if one["since"] else None,
        )
        for one in value["withdrawn"]
    )
    return Ledger(
        decisions={one.user_id: one for one in decisions},
        forgotten=frozenset(value["forgotten"]),
        understudies=frozenset(value["understudies"]),
        withdrawn=tuple(withdrawn),
        deleted=value.get("deleted", 0),
        aliases=dict(map(tuple, value["aliases"])),
        forgotten_words=frozenset(value.get("forgotten_words", ())),
    )
