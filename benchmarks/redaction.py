"""Measure recall, precision and time of redaction on labelled lines.

Run from the repository root, with an export in which to count wrong redactions:
`python -m benchmarks.redaction /tmp/demo/result.json` (`understudy demo-chat /tmp/demo`).
"""

# ruff: noqa: T201 - it prints its table.

import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from model.redaction.redact import PrivatePart, find_private_parts, redact

LINES = Path(__file__).with_name("private_lines.jsonl")
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Labelled:
    """A line, and the parts of it that must not survive."""

    text: str
    private: tuple[PrivatePart, ...]
    is_held_out: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """How many parts of each kind there are, are found, are shown, and are shown rightly."""

    there: Counter = field(default_factory=Counter)
    found: Counter = field(default_factory=Counter)
    shown: Counter = field(default_factory=Counter)
    right: Counter = field(default_factory=Counter)

    def recall(self, kind: str) -> float:
        """Return the share of the private parts of which no letter or digit survives."""
        return self.found[kind] / self.there[kind]

    def precision(self, kind: str) -> float:
        """Return the share of the redactions that take no letter or digit that is not private."""
        return self.right[kind] / self.shown[kind]


def labelled_lines() -> list[Labelled]:
    """Return all labelled lines."""
    lines = map(json.loads, LINES.read_text("utf-8").splitlines())
    return [
        Labelled(
            line["text"],
            tuple(PrivatePart(*part) for part in line["private"]),
            line.get("held_out", False),
        )
        for line in lines
    ]


def figures_of(lines: Iterable[Labelled]) -> Figures:
    """Compare labels with what is found, letter by letter: the kind found need not be the same."""
    figures = Figures()
    for line in lines:
        shown = find_private_parts(line.text)
        hidden, private = _letters(line.text, shown), _letters(line.text, line.private)
        figures.there.update(part.kind for part in line.private)
        figures.found.update(p.kind for p in line.private if _letters(line.text, [p]) <= hidden)
        figures.shown.update(part.kind for part in shown)
        figures.right.update(p.kind for p in shown if _letters(line.text, [p]) <= private)
    return figures


def _letters(text: str, parts: Iterable[PrivatePart]) -> set[int]:
    return {at for part in parts for at in range(part.start, part.end) if text[at].isalnum()}


def _microseconds(function: Callable, things: list) -> float:
    """Return the median time for one of the things, over several rounds."""
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for thing in things:
            function(thing)
        took.append(time.perf_counter() - started)
    return statistics.median(took) / len(things) * 1e6


def _text(entry: dict) -> str:
    text = entry["text"]
    if isinstance(text, str):
        return text
    return "".join(piece if isinstance(piece, str) else piece["text"] for piece in text)


def _print_table() -> None:
    lines = labelled_lines()
    whole = figures_of(lines)
    held_out = figures_of(line for line in lines if line.is_held_out)
    print("| kind | parts | recall | precision | held-out parts | recall | precision |")
    print("|---|---|---|---|---|---|---|")
    for kind in sorted(whole.there):
        cells = [
            f"{some.there[kind]} | {some.recall(kind):.3f} | {some.precision(kind):.3f}"
            for some in (whole, held_out)
        ]
        print(f"| {kind} | {' | '.join(cells)} |")
    harmless = [line for line in lines if not line.private]
    touched = sum(redact(line.text) != line.text for line in harmless)
    print(f"\n{len(lines)} lines; {touched} of {len(harmless)} with nothing private are touched")


def _print_costs(export: Path) -> None:
    chat = json.loads(export.read_text("utf-8"))
    entries = [entry for entry in chat["messages"] if entry["type"] == "message"]
    texts = [_text(entry) for entry in entries]
    for text in texts:
        for part in find_private_parts(text):
            print(f"{part.kind}: {text[part.start : part.end]}")
    entry_us = _microseconds(json.loads, [json.dumps(entry) for entry in entries])
    text_us = _microseconds(redact, texts)
    passed_us = _microseconds(redact, [text for text in texts if not find_private_parts(text)])
    print(f"{len(texts)} messages: redact {text_us:.2f} µs each ({passed_us:.2f} where nothing is")
    print(f"found), json.loads {entry_us:.2f} µs: {text_us / entry_us:.2f} times")


if __name__ == "__main__":
    _print_table()
    for argument in sys.argv[1:]:
        _print_costs(Path(argument))
