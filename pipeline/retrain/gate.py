"""Decide whether a new version may replace the current one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.padding import Padding

from pipeline.evaluation import paired
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.paired import Judged, Outcomes
from pipeline.terminal import shown, table

Card = Mapping[str, Any]
"""What stands in scorecard.json."""

_BY_CHANCE = 0.025
_LARGE_FALL = 0.15
"""A larger fall is a reason to refuse, even if there are too few turns to be sure."""
_SIZES = ("bags_of_10", "bags_of_5", "bags_of_1")
_LEAST_BAGS = 4
"""Minimum bags per voice: with two, the figure changes in steps of a quarter."""
_SEED = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of the new version and of the current one.

    `low` and `high` are the 95 % interval of the difference, new minus current; `chance` is the
    value by chance. `fault` says why this figure prevents promotion, if it does.
    """

    figure: str
    new: float
    current: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All figures, and the reasons against promoting the new version, if any.

    `voices` are the right-voice shares of each voice, by name. `turns` and `conversations` count
    what was answered.
    """

    figures: tuple[Compared, ...]
    reasons: tuple[str, ...]
    voices: tuple[Compared, ...] = ()
    turns: int = 0
    conversations: int = 0


def decide(new: Judged, current: Judged | None, incomparable: str | None = None) -> Verdict:
    """Compare two versions on the same held-out turns; judge a first version by itself.

    The new one may be promoted if neither attribution nor right voice fell, if it copies no more
    answers than chance explains, and if it says nothing private. `incomparable` says why an
    existing current version has no outcomes.
    """
    figures = tuple(_compared(new, current))
    reasons = [one.fault for one in figures if one.fault]
    reasons += [incomparable] if incomparable else []
    answers = new.outcomes.answers
    return Verdict(
        figures,
        tuple(reasons),
        tuple(_voices(new.card, current.card if current else None)),
        len(answers),
        len({answer.session for answer in answers}),
    )


def print_verdict(verdict: Verdict, new: str, current: str | None, console: Console) -> None:
    """Print the figures side by side, and what keeps the new version from serving."""
    turns = f"{verdict.turns:,} held-out turns of {verdict.conversations:,} conversations"
    console.print(
        f"  {new} and {current} answered the same {turns}" if current else f"  {new}, on {turns}"
    )
    columns = [_number(current), "difference (95 %)"] if current else []
    is_worse = any(one.fault for one in verdict.figures)
    rows = table("", _number(new), *columns, "chance", *([""] if is_worse else []))
    for one in verdict.figures:
        own = [shown(one.current), _difference(one)] if current else []
        mark = ["worse" if one.fault else ""] if is_worse else []
        rows.add_row(one.figure, shown(one.new), *own, shown(one.chance), *mark)
    console.print(Padding.indent(rows, 2))
    console.print(
        "  Attribution (macro-F1 of a classifier that knows real lines) and right voice\n"
        "  (share of real turns likeliest under the right name): higher is better.\n"
        "  All other figures: lower is better.",
        style="dim",
    )
    for reason in verdict.reasons:
        console.print(f"  {reason}")


def _number(version: str | None) -> str:
    return (version or "").split("-")[0]


def _difference(one: Compared) -> str:
    if one.low is None or one.high is None or one.current is None:
        return ""
    return f"{one.new - one.current:+.2f} ({one.low:+.2f} {one.high:+.2f})"


def _compared(new: Judged, current: Judged | None) -> Iterator[Compared]:
    chance = new.card["attribution"]["chance"]
    size = _bag_size(new.card, current.card if current else None)
    lines = int(size.rpartition("_")[2])
    attribution = _figure(
        f"attribution, bags of {lines}", f"attribution.{size}.generated", new, current,
        lambda one, other: paired.attribution_difference(one, other, lines, _SEED),
    )  # fmt: skip
    yield _not_below(replace(attribution, chance=chance), len(new.outcomes.answers))
    turns = len(new.outcomes.turns)
    right = _figure(
        f"right voice, {turns:,} turns", "right_voice.share", new, current,
        lambda one, other: paired.right_voice_difference(one, other, _SEED),
    )  # fmt: skip
    yield _not_below(replace(right, chance=new.card["right_voice"]["chance"]), turns)
    yield _copied(new, current)
    private = new.card["personal_data"]
    fault = f"private data in {private} of the lines it said" if private else None
    was = current.card["personal_data"] if current else None
    yield Compared("private lines", private, was, fault=fault)
    yield _figure(
        f"nats a character, {turns:,} turns", "nats_per_char.tuned", new, current,
        lambda one, other: paired.nats_difference(one, other, _SEED),
    )  # fmt: skip
    yield _figure("distance of habits", "habits.distance.generated", new, current)


def _bag_size(new: Card, current: Card | None) -> str:
    """Return the largest bag size for which every voice has enough bags, else single lines."""
    cards = [new, *([current] if current else ())]
    for size in _SIZES[:-1]:
        bags = (card["attribution"]["bags_of_a_voice"][size]["generated"] for card in cards)
        if min(bags) >= _LEAST_BAGS:
            return size
    return _SIZES[-1]


def _not_below(found: Compared, turns: int) -> Compared:
    """Add a fault if a figure fell by more than chance explains, or by more than `_LARGE_FALL`."""
    if found.current is None or found.low is None or found.high is None:
        return found
    fell = f"{found.figure.split(', ')[0]} fell from {found.current:.3f} to {found.new:.3f}"
    if found.high < 0:
        return replace(found, fault=f"{fell}, more than chance explains")
    if found.new - found.current < -_LARGE_FALL:
        few = f"{turns:,} turns are too few to tell whether by chance"
        return replace(found, fault=f'{fell}; {few}: pass with --force-promotion "REASON"')
    return found


def _voices(new: Card, current: Card | None) -> Iterator[Compared]:
    known = current["right_voice"]["voices"] if current else {}
    for name, share in new["right_voice"]["voices"].items():
        yield Compared(name, share, known.get(name), chance=new["right_voice"]["chance"])


def _copied(new: Judged, current: Judged | None) -> Compared:
    """Compare which answers contain a copied line; only a rise beyond chance is a fault.

    A few of every hundred lines are copied, so the count alone rises in half of all versions.
    """
    found = _figure("copied lines", "copied.generated", new, current)
    if current is None or found.current is None or found.new <= found.current:
        return found
    if paired.chance_of_more_copies(new.outcomes, current.outcomes) >= _BY_CHANCE:
        return found
    why = f"copied lines rose from {found.current:.1%} to {found.new:.1%}"
    return replace(found, fault=f"{why}, more than chance explains")


def _figure(
    figure: str,
    name: str,
    new: Judged,
    current: Judged | None,
    difference: Callable[[Outcomes, Outcomes], Estimate] | None = None,
) -> Compared:
    """Return a figure of both versions; `difference` gives the interval of their difference."""
    if current is None:
        return Compared(figure, _value(new.card, name))
    found = Compared(figure, _value(new.card, name), _value(current.card, name))
    if difference is None:
        return found
    interval = difference(new.outcomes, current.outcomes)
    return replace(found, low=interval.low, high=interval.high)


def _value(card: Card, name: str) -> float:
    value: Any = card
    for key in name.split("."):
        value = value[key]
    return float(value)
