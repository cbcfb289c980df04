"""The receipt of a retraining: what a version was made from and how it compares."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from model.artifacts.registry import receipt_path
from model.chat.names import escape_control_characters, make_printable, make_printable_name
from model.files import make_folder, write_text
from pipeline.dataset.roster_file import MIN_MESSAGES
from pipeline.terminal import shown

FORMAT = 1
_WIDTH = 78
_PAGE = "receipt.txt"

Receipt = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """The part of a receipt that the next retraining reads.

    It holds the times up to which the version was trained and from which it was only tested, the
    minimum messages for a voice, the ids of the people it learned from, how many ids were forgotten
    and messages deleted by then, the base or version that it started from, and the seconds of each
    step.
    """

    through: datetime
    held_out_since: datetime
    min_messages: int
    learned_from: frozenset[int]
    forgotten: int
    deleted: int
    began_with: str
    seconds: Mapping[str, float]


_WRAP = textwrap.TextWrapper(
    _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False,
    break_on_hyphens=False,
)  # fmt: skip


def write(root: Path, version: str, receipt: Receipt) -> Path:
    """Write a version's receipt and its page; return the page's place."""
    file = receipt_path(root, version)
    folder = make_folder(file.parent)
    write_text(folder / _PAGE, "".join(f"{line}\n" for line in _page(version, receipt)))
    whole = {"format": FORMAT, "version": version, **receipt}
    write_text(
        file, escape_control_characters(json.dumps(whole, ensure_ascii=False, indent=1)) + "\n"
    )
    return folder / _PAGE


def read(root: Path, version: str) -> Told | None:
    """Return what a version's receipt tells, None where it has none that can be read."""
    try:
        value = json.loads(receipt_path(root, version).read_text("utf-8"))
        if value["format"] != FORMAT:
            return None
        return Told(
            datetime.fromisoformat(value["through"]),
            datetime.fromisoformat(value["held_out_since"]),
            int(value.get("min_messages", MIN_MESSAGES)),
            frozenset(number for person in value["people"] for number in person["ids"]),
            int(value.get("forgotten_ids", value["forgotten"])),
            int(value.get("deleted_before", 0)),
            str(value["began_with"]),
            {str(step): float(seconds) for step, seconds in value["seconds"].items()},
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _page(version: str, receipt: Receipt) -> Iterator[str]:
    chat = receipt["chat"]
    yield f"{version}, made of {make_printable_name(chat['title'])} ({chat['id']})"
    yield f"{receipt['made_at'][:16].replace('T', ' ')} UTC, on {receipt['machine']}"
    yield f"commit {receipt['commit'] or 'unknown'}, understudy {receipt['understudy']}"
    yield from _section("Read", _files(receipt))
    yield from _section("Learned from", _people(receipt))
    yield from _section("Left out", _left_out(receipt))
    yield from _section("Trained", _training(receipt))
    yield from _section("Judged on the same held-out talk", _scores(receipt))
    yield from _section("Decided", _decision(receipt))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield ""
    yield title
    for line in lines:
        is_long = len(line) > _WIDTH  # a shorter one may be part of a table
        yield from _WRAP.wrap(line) if is_long else [f"  {line}"]


def _files(receipt: Receipt) -> Iterator[str]:
    for one in receipt["files"]:
        span = f", {one['first'][:10]} to {one['last'][:10]}" if one["first"] else ""
        yield f"{one['kind']} {make_printable(one['name'])}: {one['messages']:,} messages{span}"
        yield f"  sha256 {one['sha256']}"
    if earlier := receipt["earlier_exports"]:
        yield f"and, merged before, exports of sha256 {', '.join(h[:12] for h in earlier)}"
    yield (
        f"together {receipt['messages']:,} messages up to {receipt['through'][:16]}, of which "
        f"{receipt['new']:,} new; {receipt['deleted']:,} deleted since"
    )


def _people(receipt: Receipt) -> Iterator[str]:
    for one in receipt["people"]:
        yield f"{one['name']}: {one['messages']:,} messages, {one['pairs']:,} pairs"


def _left_out(receipt: Receipt) -> Iterator[str]:
    for one in receipt["excluded"]:
        since = f"since {one['since'][:10]}, by their own word" if one["since"] else "by the roster"
        yield f"{one['name']}: not learned from, {since}"
    for name in receipt["newcomers"]:
        yield f"{name}: new, and no voice yet"
    yield f"forgotten at their authors' request: {receipt['forgotten']:,} messages"
    if others := receipt["forgotten_ids"] - receipt["forgotten"]:
        yield (
            f"{others:,} more forgotten ids: the bot's own lines, and messages that are in no "
            "export and no dump"
        )
    if receipt["unplaced"]:
        yield f"of which {receipt['unplaced']:,} cannot be told among a basic group's exports"
    redacted = ", ".join(f"{kind} {count:,}" for kind, count in receipt["redacted"].items())
    yield f"private data put into placeholders: {redacted or 'none'}"


def _training(receipt: Receipt) -> Iterator[str]:
    pace = f", at {receipt['pace']:.2f} of the rate" if receipt["pace"] != 1 else ""
    yield f"{receipt['base']}, beginning with {receipt['began_with']}{pace}"
    if receipt["replayed"] is not None:
        yield f"{receipt['replayed']:,} old pairs replayed beside the new"
    own = {"learning_rate": "the family's own"}
    values = receipt["hyperparameters"].items()
    yield ", ".join(f"{key} {value or own.get(key, value)}" for key, value in values)


def _scores(receipt: Receipt) -> Iterator[str]:
    other = receipt["compared_with"]
    yield f"{'':28}{'new':>10}{other.split('-')[0] if other else '':>10}{'chance':>10}"
    for one in receipt["scores"]:
        yield _score(one["figure"], one)
    for one in receipt["voices"]:
        yield _score(f"right voice of {one['name']}", one)


def _score(figure: str, one: Mapping[str, Any]) -> str:
    values = (shown(one[key]) for key in ("new", "current", "chance"))
    return f"{figure:28}{''.join(f'{value:>10}' for value in values)}".rstrip()


def _decision(receipt: Receipt) -> Iterator[str]:
    why = (
        "no figure fell by more than chance explains"
        if receipt["compared_with"]
        else "there was no version to compare with"
    )
    yield from receipt["reasons"] or [f"passed: {why}"]
    if receipt["forced"]:
        yield f"promoted in spite of that: {make_printable(receipt['forced'])}"
