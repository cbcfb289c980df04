"""Read and store a models folder's decisions and exclusions, for every version in it."""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from model.chat.person import Decision, Person
from model.chat.roster import (
    Roster,
    apply_decisions,
    decision_from_json,
    decision_to_json,
    exclude_voices,
    find_optouts,
    id_from_json,
    merge_decisions,
)
from model.errors import ArtifactError
from model.files import write_text

HISTORY_INDEX = "index.json"
"""The file in a chat's history that contains its ledger of decisions."""

_IMPORTED = "consent.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Consent:
    """The decisions that count for a chat, and the ids of people with learn = "no".

    `decisions` are each user's in order: the last one counts.
    """

    decisions: Mapping[int, Sequence[Decision]] = field(default_factory=dict)
    withheld: frozenset[int] = frozenset()

    def apply_to(self, roster: Roster) -> Roster:
        """Return a version's roster without the voices of people who opted out or are withheld."""
        return apply_decisions(exclude_voices(roster, self.withheld), self.decisions)

    def has_withdrawn(self, person: Person) -> bool:
        """Whether nothing may be learned from a person's messages, whatever a roster says."""
        optouts = find_optouts(self.decisions)
        opted_out = any(decision.user_id in person.ids for decision in optouts)
        return opted_out or not self.withheld.isdisjoint(person.ids)


def read_consent(root: Path, chats: Container[int]) -> Consent:
    """Return the consent stored in a models folder that counts for these chats.

    An `/optout` counts for all chats, an `/optin` only for the one whose dump contains it.

    Raises:
        ArtifactError: A file is damaged.
    """
    sources, withheld = [read_imported(root)], set[int]()
    for path in _list_ledgers(root):
        try:
            ledger = _read_json(path)["ledger"]
            told = list(map(decision_from_json, _check_list(ledger["decisions"])))
            is_own = int(path.parent.name) in chats
            sources.append([one for one in told if is_own or one.kind == "optout"])
            for one in _check_list(ledger["withdrawn"]):
                ids = map(id_from_json, _check_list(one["ids"]))
                if one["since"] is None:  # otherwise it is the time of an /optout
                    withheld.update(ids)
                else:
                    datetime.fromisoformat(one["since"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(_explain_damage(path)) from error
    return Consent(merge_decisions(*sources), frozenset(withheld))


def read_imported(root: Path) -> list[Decision]:
    """Return the decisions of imported versions.

    Raises:
        ArtifactError: The file is damaged.
    """
    path = root / _IMPORTED
    if not path.exists():
        return []
    try:
        return [decision_from_json(one) for one in _check_list(_read_json(path)["decisions"])]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(_explain_damage(path)) from error


def store_imported(root: Path, roster: Roster) -> None:
    """Store the `/optout`s of an imported version's roster, for all versions in the folder."""
    optouts = [decision for person in roster.people for decision in person.opted_out]
    existing = read_imported(root)
    merged = [one for told in merge_decisions(existing, optouts).values() for one in told]
    if merged != existing:
        value = {
            "format": _FORMAT,
            "decisions": [decision_to_json(decision) for decision in merged],
        }
        write_text(root / _IMPORTED, json.dumps(value, indent=1) + "\n")


def stamp_consent(root: Path) -> str:
    """Return a text that changes whenever the stored consent changes."""
    stamps = []
    for path in (*_list_ledgers(root), root / _IMPORTED):
        try:
            stamps.append(str(path.stat().st_mtime_ns))
        except OSError:
            continue  # it does not exist, or is being replaced
    return " ".join(stamps)


def _list_ledgers(root: Path) -> list[Path]:
    return sorted((root / "history").glob(f"*/{HISTORY_INDEX}"))


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(_explain_damage(path)) from error
    if not isinstance(value, dict):
        raise ArtifactError(_explain_damage(path))
    return value


def _check_list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value


def _explain_damage(path: Path) -> str:
    return (
        f"{path} is damaged, so nobody's consent is known: restore it from a backup, "
        "or move it away and run `understudy retrain` with all exports and dumps again"
    )
