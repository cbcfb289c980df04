"""Store, read and show receipts, which record how `understudy retrain` trained a version."""

import io
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from model.artifacts.database import write_database
from model.artifacts.registry import Registry, read_receipt_json, store_receipt
from model.chat.names import make_printable, make_printable_name
from model.errors import ArtifactError
from pipeline.dataset.roster_file import MIN_MESSAGES
from pipeline.versions.comparison import Comparison, tabulate_comparisons

FORMAT = 1
_WIDTH = 78
_WRAP = textwrap.TextWrapper(
    _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False,
    break_on_hyphens=False,
)  # fmt: skip

Receipt = Mapping[str, Any]
"""What is stored as JSON."""


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """The facts about a version that the next retraining needs.

    The version was trained on messages up to `through`, and only evaluated on messages since
    `held_out_since`. `min_messages` is the minimum for a voice, `learned_from` holds the ids of the
    people in its training set. `forgotten` and `deleted` count the message ids that were forgotten
    and the messages that were deleted before it was trained; `forgotten_words` are those of the
    forgotten that people wrote. `started_from` names the base or version that training started
    from, `step_seconds` holds the duration of each step.
    """

    through: datetime
    held_out_since: datetime
    min_messages: int = MIN_MESSAGES
    learned_from: frozenset[int] = frozenset()
    forgotten: int = 0
    forgotten_words: int = 0
    deleted: int = 0
    started_from: str = ""
    step_seconds: Mapping[str, float] = field(default_factory=dict)


def write_receipt(
    registry: Registry, version: str, receipt: Receipt, *, promote: bool = False
) -> None:
    """Store a version's receipt, and make the version current in the same transaction if asked.

    Raises:
        ArtifactError: The version may not be current.
    """
    value = {"format": FORMAT, "version": version, **receipt}
    content = json.dumps(value, ensure_ascii=False)
    if promote:
        registry.promote(version, content)
        return
    with write_database(registry.root) as database:
        store_receipt(database, version, content)


def read_receipt(root: Path, version: str) -> TrainingRecord | None:
    """Return the facts in a version's receipt, or None if it has no readable receipt."""
    value = read_receipt_json(root, version)
    try:
        if value["format"] != FORMAT:
            return None
        return TrainingRecord(
            datetime.fromisoformat(value["through"]),
            datetime.fromisoformat(value["held_out_since"]),
            int(value.get("min_messages", MIN_MESSAGES)),
            frozenset(number for person in value["people"] for number in person["ids"]),
            int(value.get("forgotten_ids", value["forgotten"])),
            int(value["forgotten"]),
            int(value.get("deleted_before", 0)),
            str(value["started_from"]),
            {str(step): float(seconds) for step, seconds in value["seconds"].items()},
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def show_receipt(root: Path, version: str) -> str:
    """Return a version's receipt as a page for a terminal.

    Raises:
        ArtifactError: It has none, or another version of Understudy wrote it.
    """
    receipt = read_receipt_json(root, version)
    if not receipt:
        raise ArtifactError(f"{version} has no receipt: only `understudy retrain` writes them")
    if receipt.get("format") != FORMAT:
        raise ArtifactError(
            f"the receipt of {version} was written by another version of Understudy"
        )
    return "\n".join(map(make_printable, _format_page(version, receipt)))


def _format_page(version: str, receipt: Receipt) -> Iterator[str]:
    chat = receipt["chat"]
    yield f"{version}, trained on {make_printable_name(chat['title'])} ({chat['id']})"
    yield f"{receipt['made_at'][:16].replace('T', ' ')} UTC, on {receipt['machine']}"
    yield f"commit {receipt['commit'] or 'unknown'}, understudy {receipt['understudy']}"
    people = (
        f"{one['name']}: {one['messages']:,} messages, {one['pairs']:,} pairs"
        for one in receipt["people"]
    )
    for title, lines in (
        ("Input", _describe_input(receipt)),
        ("Learned from", people),
        ("Left out", _describe_exclusions(receipt)),
        ("Training", _describe_training(receipt)),
        ("Evaluation on the same held-out conversations", _format_scores(receipt)),
        ("Decision", _describe_decision(receipt)),
    ):
        yield from ("", title)
        for line in lines:
            if len(line) > _WIDTH:
                yield from _WRAP.wrap(line)
            else:
                yield f"  {line}"  # it may be a row of a table


def _describe_input(receipt: Receipt) -> Iterator[str]:
    for one in receipt["files"]:
        dates = f", {one['first'][:10]} to {one['last'][:10]}" if one["first"] else ""
        yield f"{one['kind']} {make_printable(one['name'])}: {one['messages']:,} messages{dates}"
        yield f"  sha256 {one['sha256']}"
    if earlier := receipt["earlier_exports"]:
        yield f"exports merged earlier, by sha256: {', '.join(sha256[:12] for sha256 in earlier)}"
    yield (
        f"total: {receipt['messages']:,} messages up to {receipt['through'][:16]}, "
        f"{receipt['new']:,} of them new; {receipt['deleted']:,} deleted since"
    )


def _describe_exclusions(receipt: Receipt) -> Iterator[str]:
    for one in receipt["excluded"]:
        how = f"since {one['since'][:10]}, by /optout" if one["since"] else "by the roster"
        yield f"{one['name']}: messages not used, {how}"
    for name in receipt["newcomers"]:
        yield f"{name}: new, not a voice yet"
    yield f"forgotten at their authors' request: {receipt['forgotten']:,} messages"
    if others := receipt["forgotten_ids"] - receipt["forgotten"]:
        yield (
            f"{others:,} more forgotten ids: the bot's own messages, and messages that no export "
            "and no dump contains"
        )
    if receipt["unidentified"]:
        yield f"{receipt['unidentified']:,} of these are not identified in a basic group's exports"
    redacted = ", ".join(f"{kind} {count:,}" for kind, count in receipt["redacted"].items())
    yield f"private data replaced by placeholders: {redacted or 'none'}"


def _describe_training(receipt: Receipt) -> Iterator[str]:
    factor = receipt["learning_rate_factor"]
    rate = f", at {factor:.2f} of the learning rate" if factor != 1 else ""
    yield f"{receipt['base']}, starting from {receipt['started_from']}{rate}"
    if receipt["replayed"] is not None:
        yield f"{receipt['replayed']:,} old pairs replayed in addition to the new pairs"
    defaults = {"learning_rate": "the default for this base"}
    values = receipt["hyperparameters"].items()
    yield ", ".join(f"{key} {value or defaults.get(key, value)}" for key, value in values)


def _format_scores(receipt: Receipt) -> Iterator[str]:
    if not receipt["scores"]:
        yield "none"
        return
    comparisons = [Comparison(**one) for one in receipt["scores"]]
    for voice in receipt["voices"]:
        metric = f"right voice of {voice['name']}"
        comparisons.append(
            Comparison(metric, voice["new"], voice["current"], chance=voice["chance"])
        )
    rows = tabulate_comparisons(comparisons, "new", receipt["compared_with"])
    console = Console(file=io.StringIO(), width=_WIDTH)
    with console.capture() as text:
        console.print(rows)
    yield from map(str.rstrip, text.get().splitlines())


def _describe_decision(receipt: Receipt) -> Iterator[str]:
    if why := receipt["not_compared"]:
        yield f"not compared: {why}"
    yield from (reason for reason in receipt["reasons"] if reason != why)
    if not why and not receipt["reasons"]:
        is_compared = receipt["compared_with"] is not None
        passed = "no score fell by more than chance explains"
        yield f"passed: {passed if is_compared else 'there was no version to compare with'}"
    if receipt["forced"]:
        yield f"promoted anyway: {make_printable(receipt['forced'])}"
    if words := receipt["withdrawn_words"]:
        yield f"{words}; it {'stays in use' if receipt['next_command'] else 'is replaced'}"
    if receipt["next_command"]:
        yield f"to promote the new version by hand: {receipt['next_command']}"
