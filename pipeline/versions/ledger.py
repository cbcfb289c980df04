"""Store the consent decisions and forgotten messages of a chat between retrainings."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from model.artifacts.consent import HISTORY_INDEX
from model.chat.person import Decision, Person
from model.chat.roster import (
    Roster,
    apply_decisions,
    decision_from_json,
    decision_to_json,
    find_optouts,
    merge_decisions,
)
from model.errors import DatasetError, describe_error


@dataclass(frozen=True, slots=True)
class DumpNotes:
    """The decisions, the ids of forgotten messages and people's names in a dump of one chat."""

    file: Path
    chat_id: int
    written_at: datetime
    decisions: tuple[Decision, ...] = ()
    forgotten: tuple[int, ...] = ()
    names: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WithdrawnPerson:
    """A person whose messages must not be used; `since` is None if only the roster says so."""

    name: str
    ids: tuple[int, ...]
    since: datetime | None = None

    @property
    def reason(self) -> str:
        """Return how the person withdrew, as a sentence without a full stop."""
        if self.since:
            return f"{self.name} told the bot /optout on {self.since:%Y-%m-%d}"
        return f'{self.name} may not be learned from (learn = "no" in the roster)'


@dataclass(frozen=True, slots=True)
class ConsentLedger:
    """Each user's decisions, forgotten messages, the bot's ids, and people who withdrew.

    Of a user's decisions the last one counts. All are kept, because they show which of two dumps
    is older.

    `deleted` counts the messages that were deleted in Telegram after they were stored. `aliases`
    maps the ids that the bot gave to a basic group's messages to the ids in exports.
    `forgotten_words` are the forgotten ids that belong to people's messages. The other forgotten
    ids belong to the bot's own messages, or to messages that are in no export and no dump.
    """

    decisions: Mapping[int, Sequence[Decision]] = field(default_factory=dict)
    forgotten: frozenset[int] = frozenset()
    understudies: frozenset[int] = frozenset()
    withdrawn: tuple[WithdrawnPerson, ...] = ()
    deleted: int = 0
    aliases: Mapping[int, int] = field(default_factory=dict)
    forgotten_words: frozenset[int] = frozenset()

    @property
    def opted_out(self) -> frozenset[int]:
        """Return the ids of users whose last decision is `/optout`."""
        return frozenset(decision.user_id for decision in find_optouts(self.decisions))

    def add_dumps(self, dumps: Iterable[DumpNotes]) -> "ConsentLedger":
        """Return this ledger with the decisions and forgotten messages of dumps."""
        dumps = list(dumps)
        forgotten = self.forgotten.union(*(dump.forgotten for dump in dumps))
        updated = self.add_decisions(*(dump.decisions for dump in dumps))
        return replace(updated, forgotten=forgotten)

    def add_decisions(self, *sources: Iterable[Decision]) -> "ConsentLedger":
        """Return this ledger with the decisions of more sources."""
        return replace(self, decisions=merge_decisions(self._list_decisions(), *sources))

    def _list_decisions(self) -> list[Decision]:
        return [decision for told in self.decisions.values() for decision in told]

    def apply_to(self, roster: Roster) -> Roster:
        """Return a roster that follows people's own decisions.

        An `/optout` overrides the roster: learn and imitate become "no". An `/optin` counts in the
        bot, in the group in which it was sent; here it only cancels an earlier `/optout`, after
        which "yes" is "ask".
        """
        people = apply_decisions(roster, self.decisions).people
        followed = (
            replace(person, learn="no", imitate="no", opted_out=())
            if self._find_optout(person)
            else person
            for person in people
        )
        return replace(roster, people=tuple(followed))

    def keep_excluded(self, person: Person) -> Person:
        """Return a person with `learn = "no"` if an earlier roster excluded them."""
        excluded = (withdrawal.ids for withdrawal in self.withdrawn if withdrawal.since is None)
        if any(not set(ids).isdisjoint(person.ids) for ids in excluded):
            return replace(person, learn="no")
        return person

    def record_withdrawals(self, roster: Roster) -> "ConsentLedger":
        """Return this ledger with everyone whom the roster does not allow to learn from."""
        withdrawn = []
        for person in roster.people:
            if person.learn == "no":
                optout = self._find_optout(person)
                since = optout.at if optout else None
                withdrawn.append(WithdrawnPerson(person.name, person.ids, since))
        return replace(self, withdrawn=tuple(withdrawn))

    def _find_optout(self, person: Person) -> Decision | None:
        """Return the latest `/optout` of a person's accounts that counts, or None."""
        own = (one for one in find_optouts(self.decisions) if one.user_id in person.ids)
        return max(own, key=lambda one: one.at, default=None)


def load_withdrawn(root: Path) -> list[WithdrawnPerson]:
    """Return the people who withdrew in any chat of a models folder.

    Raises:
        DatasetError: A ledger is damaged.
    """
    indices = sorted((root / "history").glob(f"*/{HISTORY_INDEX}"))
    return [withdrawal for index in indices for withdrawal in read_index(index)[1].withdrawn]


def read_index(path: Path) -> tuple[str, ConsentLedger]:
    """Return the name of a chat's history file, and the chat's ledger.

    Raises:
        FileNotFoundError: There is no index.
        DatasetError: The index is damaged.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
        return str(value["history"]), ledger_from_json(value["ledger"])
    except FileNotFoundError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(describe_damage(path, error)) from error


def describe_damage(path: Path, error: Exception) -> str:
    """Return the error message for a damaged file of a history."""
    return (
        f"{path} is damaged ({describe_error(error)}): restore it from a backup, or move "
        f"{path.parent} away and give all exports and dumps again"
    )


def ledger_to_json(ledger: ConsentLedger) -> dict[str, Any]:
    """Return a ledger as JSON values."""
    return {
        "decisions": [
            decision_to_json(decision) for told in ledger.decisions.values() for decision in told
        ],
        "forgotten": sorted(ledger.forgotten),
        "deleted": ledger.deleted,
        "understudies": sorted(ledger.understudies),
        "withdrawn": [
            {
                "name": withdrawal.name,
                "ids": list(withdrawal.ids),
                "since": withdrawal.since.isoformat() if withdrawal.since else None,
            }
            for withdrawal in ledger.withdrawn
        ],
        "aliases": sorted(ledger.aliases.items()),
        "forgotten_words": sorted(ledger.forgotten_words),
    }


def ledger_from_json(value: Mapping[str, Any]) -> ConsentLedger:
    """Return the ledger that `ledger_to_json` stored."""
    decisions = map(decision_from_json, value["decisions"])
    withdrawn = (
        WithdrawnPerson(
            one["name"],
            tuple(one["ids"]),
            datetime.fromisoformat(one["since"]) if one["since"] else None,
        )
        for one in value["withdrawn"]
    )
    return ConsentLedger(
        decisions=merge_decisions(decisions),
        forgotten=frozenset(value["forgotten"]),
        understudies=frozenset(value["understudies"]),
        withdrawn=tuple(withdrawn),
        deleted=value.get("deleted", 0),
        aliases=dict(map(tuple, value["aliases"])),
        forgotten_words=frozenset(value.get("forgotten_words", ())),
    )
