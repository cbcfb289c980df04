"""A dataset's occasions.jsonl: its conversations without words, one a line, each in its split.

Who answers whom, and when, is learned from it; nobody who may not be learned from is in it.
"""

import tempfile
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import orjson

from model.errors import DatasetError, describe_error
from model.files import place_in_errors
from model.occasions import Said
from model.roster import Roster
from pipeline.split import GAP, SPLITS, SplitName

OCCASIONS = "occasions.jsonl"

Conversations = Mapping[SplitName, tuple[tuple[Said, ...], ...]]
"""The conversations of each split, in order of their beginning."""

_DEFAULTS = {field.name: field.default for field in fields(Said) if field.default is not MISSING}


class OccasionsDraft:
    """Takes in conversations until all sessions are known and can be split.

    They wait in a temporary file without a name, as the pairs do.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed with the draft

    def close(self) -> None:
        """Let the conversations go."""
        self._file.close()

    def add(self, session: int, conversations: Iterable[Sequence[Said]]) -> None:
        """Take in the conversations of a session of this number."""
        for conversation in conversations:
            said = orjson.dumps([_to_json(one) for one in conversation])
            with place_in_errors(Path(tempfile.gettempdir())):
                self._file.write(b"%d %b\n" % (session, said))

    def write(self, target: IO[bytes], splits: "array[int]") -> None:
        """Write those of the splits; `splits` has a place for each session."""
        self._file.seek(0)
        for row in self._file:
            session, _, said = row.partition(b" ")
            if (place := splits[int(session)]) != GAP:
                split = SPLITS[place].encode()
                target.write(b'{"split":"%b","said":%b}\n' % (split, said.rstrip()))


def read_occasions(folder: Path, roster: Roster) -> Conversations | None:
    """Read a dataset's conversations; None where an earlier version built it without.

    Raises:
        DatasetError: They cannot be read, or the roster has changed since.
    """
    path = folder / OCCASIONS
    found: dict[SplitName, list[tuple[Said, ...]]] = {name: [] for name in SPLITS}
    try:
        with path.open("rb") as file:
            for row in file:
                value = orjson.loads(row)
                first, *rest = map(_from_json, value["said"])
                found[value["split"]].append((first, *rest))
    except FileNotFoundError:
        return None
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read ({describe_error(error)}): build the dataset again"
        ) from error
    _check_roster(path, found.values(), roster)
    return {
        name: tuple(sorted(several, key=lambda conversation: conversation[0].at))
        for name, several in found.items()
    }


def _check_roster(path: Path, found: Iterable[Iterable[Iterable[Said]]], roster: Roster) -> None:
    """Make sure that all who are in the file may be learned from, under these names."""
    said = (one for split in found for conversation in split for one in conversation)
    names = {name for one in said for name in (one.by, one.to, *one.named) if name is not None}
    if names - {person.name for person in roster.people if person.learn == "yes"}:
        raise DatasetError(
            f"{path.with_name('roster.toml')} has changed who may be learned from or what they "
            f"are called: build again, with --roster {path.with_name('roster.toml')}"
        )


def _to_json(said: Said) -> dict[str, Any]:
    """Return a line's facts but for those that are as usual."""
    facts = {
        name: getattr(said, name)
        for name, usual in _DEFAULTS.items()
        if getattr(said, name) != usual
    }
    return {"at": said.at, "by": said.by, **facts}


def _from_json(value: Mapping[str, Any]) -> Said:
    facts = {**value, "named": tuple(value.get("named", ()))}
    return Said(**{**facts, "at": datetime.fromisoformat(value["at"])})
