"""Whether a new version may serve: its scorecard beside the current one's, on the same talk."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.padding import Padding
from scipy.stats import fisher_exact

from pipeline.tables import shown, table

Card = Mapping[str, Any]
"""What stands in scorecard.json."""

_BY_CHANCE = 0.025
_SIZES = ("bags_of_10", "bags_of_5", "bags_of_1")


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of the new version and of the current one, whose interval of 95 % follows.

    `fault` says why the new version may not serve, if this is why.
    """

    figure: str
    new: float
    current: float | None = None
    low: float | None = None
    high: float | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All figures, and why the new version must not serve; it may where there is no reason.

    `voices` are the right-voice shares of each voice, by name.
    """

    figures: tuple[Compared, ...]
    reasons: tuple[str, ...]
    voices: tuple[Compared, ...] = ()


def judged(new: Card, current: Card | None, incomparable: str | None = None) -> Verdict:
    """Compare two scorecards on the same held-out talk; of a first version only its own counts.

    It may serve if attribution and right voice are not below the current one's interval, if not
    more lines are copied than chance explains, and if nothing private is said. `incomparable` says
    why a current version that there is has no card.
    """
    figures = tuple(_compared(new, current))
    reasons = [one.fault for one in figures if one.fault]
    reasons += [incomparable] if incomparable else []
    return Verdict(figures, tuple(reasons), tuple(_voices(new, current)))


def print_verdict(verdict: Verdict, new: str, current: str | None, console: Console) -> None:
    """Print the figures side by side, and what keeps the new version from serving."""
    beside = [current, "its interval"] if current else []
    is_worse = any(one.fault for one in verdict.figures)
    rows = table("", new, *beside, *([""] if is_worse else []))
    for one in verdict.figures:
        cells = [
            shown(one.new),
            shown(one.current),
            f"{one.low:.3f} to {one.high:.3f}" if one.low is not None else "",
        ]
        kept = cells if current else cells[:1]
        rows.add_row(one.figure, *kept, *(["worse" if one.fault else ""] if is_worse else []))
    console.print(Padding.indent(rows, 2))
    for reason in verdict.reasons:
        console.print(f"  {reason}")


def _compared(new: Card, current: Card | None) -> Iterator[Compared]:
    bags = _bags(new, current)
    name = f"attribution.{bags}.generated"
    yield _not_below(f"attribution, {bags.replace('_', ' ')}", name, new, current)
    yield _not_below("right voice", "right_voice.share", new, current)
    yield _copied(new, current)
    private, was = new["personal_data"], current["personal_data"] if current else None
    fault = f"private data in {private} of the lines it said" if private else None
    yield Compared("private lines", private, was, fault=fault)
    yield _beside("nats a character", "nats_per_char.tuned", new, current)
    yield _beside("distance of habits", "habits.distance.generated", new, current)


def _bags(new: Card, current: Card | None) -> str:
    """Return the largest bags of which every voice has more than one: one has no interval."""
    cards = [new, *([current] if current else ())]
    for size in _SIZES[:-1]:
        if all(card["attribution"]["bags_of_a_voice"][size]["generated"] > 1 for card in cards):
            return size
    return _SIZES[-1]


def _not_below(figure: str, name: str, new: Card, current: Card | None) -> Compared:
    found = _beside(figure, name, new, current)
    if found.low is None or found.new >= found.low:
        return found
    why = f"{figure} fell from {found.current:.3f} to {found.new:.3f}, below its interval"
    return replace(found, fault=why)


def _voices(new: Card, current: Card | None) -> Iterator[Compared]:
    known = current["right_voice"]["voices"] if current else {}
    for name, share in new["right_voice"]["voices"].items():
        yield Compared(name, share, known.get(name))


def _copied(new: Card, current: Card | None) -> Compared:
    """Compare the shares of copied lines by Fisher's exact test, one-sided, at 2.5 %.

    Of some hundred lines a few are copied: any rise at all would refuse every other version.
    """
    found = _beside("copied lines", "copied.generated", new, current)
    if current is None or found.current is None or found.new <= found.current:
        return found
    rows = [_counted(new), _counted(current)]
    if fisher_exact(rows, alternative="greater").pvalue >= _BY_CHANCE:
        return found
    why = f"copied lines rose from {found.current:.1%} to {found.new:.1%}"
    return replace(found, fault=why)


def _counted(card: Card) -> tuple[int, int]:
    """Return how many lines were copied, and how many were not."""
    lines = card["replies"]["generated"]["lines"]
    copied = round(card["copied"]["generated"] * lines)
    return copied, lines - copied


def _beside(figure: str, name: str, new: Card, current: Card | None) -> Compared:
    if current is None:
        return Compared(figure, _value(new, name))
    low, high = current["intervals"].get(name, (None, None))
    return Compared(figure, _value(new, name), _value(current, name), low, high)


def _value(card: Card, name: str) -> float:
    value: Any = card
    for key in name.split("."):
        value = value[key]
    return float(value)
