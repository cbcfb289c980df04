"""Decide whether a new version may replace the current one."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.padding import Padding

from model.artifacts.artifact import Scorecard
from pipeline.dataset.pairs import Pair
from pipeline.evaluation import paired
from pipeline.evaluation.generation import Size
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.paired import Evaluation, Outcomes
from pipeline.terminal import Progress, print_indented
from pipeline.training.verdict import MIN_PASSES
from pipeline.versions.comparison import Comparison, tabulate_comparisons

_MAX_P_VALUE = 0.025
"""Significance level: a rise in copied lines with a lower p-value prevents promotion."""
_LARGE_FALL = 0.15
"""A larger fall prevents promotion even if there are too few turns to be certain."""
_MORE_REPLIES = 5
"""Times as many replies are compared if the first ones are too few to tell."""
_BAG_SIZES = ("bags_of_10", "bags_of_5", "bags_of_1")
_MIN_BAGS = 4
"""Minimum bags per voice: with two, the score changes in steps of a quarter."""
_SEED = 0


@dataclass(frozen=True, slots=True)
class GateDecision:
    """All comparisons, and the reasons against promoting the new version, if any.

    `voices` are the right-voice shares by voice. `turns` and `conversations` count the held-out
    turns and conversations that were answered. `not_compared` says why the new version was not
    compared with the current one, if there is one.
    """

    comparisons: tuple[Comparison, ...]
    reasons: tuple[str, ...]
    voices: tuple[Comparison, ...] = ()
    turns: int = 0
    conversations: int = 0
    not_compared: str | None = None

    @property
    def is_uncertain(self) -> bool:
        """Whether more turns could show that a fault is due to chance."""
        return any(comparison.is_uncertain for comparison in self.comparisons)


def decide(
    new: Evaluation,
    current: Evaluation | None,
    not_compared: str | None = None,
    *,
    needs_comparison: bool = True,
    must_replace: bool = False,
    passes: float | None = None,
) -> GateDecision:
    """Compare two versions on the same held-out turns, or evaluate a version alone.

    The new version may be promoted if attribution and right voice did not fall, if the answers with
    copied lines did not increase beyond chance, and if its lines contain no private data. If it
    must replace the current version, which was trained on withdrawn words, only a fall beyond
    chance counts.

    If there is a current version that is not compared, `not_compared` says why. That prevents
    promotion if a comparison is needed, and if the new version saw less than half of its training
    data: `passes` is how often it saw it, None if that is unknown.
    """
    answers, turns = new.outcomes.answers, len(new.outcomes.turns)
    size = _choose_bag_size(new, current)
    lines = int(size.rpartition("_")[2])
    attribution = replace(
        _compare(f"attribution, bags of {lines}", f"attribution.{size}.generated", new, current,
                 lambda one, other: paired.attribution_difference(one, other, lines, _SEED)),
        chance=new.card["attribution"]["chance"],
    )  # fmt: skip
    right_voice = replace(
        _compare(f"right voice, {turns:,} turns", "right_voice.absent.share", new, current,
                 lambda one, other: paired.right_voice_difference(one, other, _SEED)),
        chance=new.card["right_voice"]["absent"]["chance"],
    )  # fmt: skip
    nats = _compare(
        f"nats a character, {turns:,} turns", "nats_per_char.tuned", new, current,
        lambda one, other: paired.nats_difference(one, other, _SEED),
    )  # fmt: skip
    private = _compare("private lines", "personal_data", new, current)
    if private.new:
        private = replace(private, fault=f"private data in {private.new:.0f} of its lines")
    comparisons = (
        _refuse_fall(attribution, len(answers)),
        _refuse_fall(right_voice, turns),
        _compare_copies(new, current),
        private,
        nats,
        _compare("distance of habits", "habits.distance.generated", new, current),
    )
    reasons = [
        one.fault for one in comparisons if one.fault and not (must_replace and one.is_uncertain)
    ]
    if not_compared and needs_comparison and not must_replace:
        reasons.append(not_compared)
    if not_compared and passes is not None and passes < MIN_PASSES:
        reasons.append(
            f"it saw {passes:.0%} of its training data, too little to replace the current "
            "version without a comparison"
        )
    current_shares = current.card["right_voice"]["absent"]["voices"] if current else {}
    voices = (
        Comparison(name, share, current_shares.get(name), chance=right_voice.chance)
        for name, share in new.card["right_voice"]["absent"]["voices"].items()
    )
    conversations = len({answer.session for answer in answers})
    return GateDecision(
        comparisons, tuple(reasons), tuple(voices), len(answers), conversations, not_compared
    )


def enlarge(size: Size, pairs: Iterable[Pair]) -> Size | None:
    """Return a larger size, or None if there are not twice as many held-out replies."""
    most = max(Counter(pair.voice for pair in pairs).values(), default=0)
    replies = min(most, _MORE_REPLIES * size.replies)
    return size.with_replies(replies) if replies >= 2 * size.replies else None


def print_decision(
    decision: GateDecision, new: str, current: str | None, progress: Progress
) -> None:
    """Print what prevents promotion, and with --verbose the metrics side by side."""
    if progress.verbose and decision.comparisons:
        _print_comparisons(decision, new, current, progress.console)
    for reason in decision.reasons:
        print_indented(reason, progress.console)


def _print_comparisons(
    decision: GateDecision, new: str, current: str | None, console: Console
) -> None:
    turns = f"{decision.turns:,} held-out turns of {decision.conversations:,} conversations"
    console.print(
        f"  {new} and {current} answered the same {turns}" if current else f"  {new}, on {turns}"
    )
    rows = tabulate_comparisons(decision.comparisons, new, current)
    console.print(Padding.indent(rows, 2))
    console.print(
        "  Attribution: share of bags of lines that a judge names right. Right voice: share of\n"
        "  real turns likeliest under the right absent name. For both, higher is better.\n"
        "  All other metrics: lower is better.",
        style="dim",
    )


def _choose_bag_size(new: Evaluation, current: Evaluation | None) -> str:
    """Return the largest bag size for which every voice has enough bags, else single lines."""
    cards = [one.card for one in (new, current) if one]
    for size in _BAG_SIZES[:-1]:
        bags = (card["attribution"]["bags_of_a_voice"][size]["generated"] for card in cards)
        if min(bags) >= _MIN_BAGS:
            return size
    return _BAG_SIZES[-1]


def _compare(
    metric: str,
    name: str,
    new: Evaluation,
    current: Evaluation | None,
    difference: Callable[[Outcomes, Outcomes], Estimate] | None = None,
) -> Comparison:
    """Compare a scorecard's value by its dotted name; `difference` computes the interval."""

    def read_value(card: Scorecard) -> float:
        value: Any = card
        for key in name.split("."):
            value = value[key]
        return value if isinstance(value, int) else float(value)

    if current is None:
        return Comparison(metric, read_value(new.card))
    found = Comparison(metric, read_value(new.card), read_value(current.card))
    if difference is None:
        return found
    interval = difference(new.outcomes, current.outcomes)
    return replace(found, low=interval.low, high=interval.high)


def _refuse_fall(found: Comparison, turns: int) -> Comparison:
    """Add a fault if a metric fell by more than chance explains, or by more than `_LARGE_FALL`."""
    if found.current is None or found.low is None or found.high is None:
        return found
    text = f"{found.metric.split(', ')[0]} fell from {found.current:.3f} to {found.new:.3f}"
    if found.high < 0:
        return replace(found, fault=f"{text}, more than chance explains")
    if found.new - found.current < -_LARGE_FALL:
        few = f"{turns:,} turns are too few to tell whether that is chance"
        fault = f'{text}; {few}: promote it with --force-promotion "REASON"'
        return replace(found, fault=fault, is_uncertain=True)
    return found


def _compare_copies(new: Evaluation, current: Evaluation | None) -> Comparison:
    """Compare the answers that contain a copied line; only a rise beyond chance is a fault.

    Every version copies a few per cent of its lines, so by chance alone the count rises half of the
    time.
    """
    found = _compare("copied lines", "copied.generated", new, current)
    if current is None or found.current is None or found.new <= found.current:
        return found
    if paired.chance_of_more_copies(new.outcomes, current.outcomes) >= _MAX_P_VALUE:
        return found
    text = f"copied lines rose from {found.current:.1%} to {found.new:.1%}"
    return replace(found, fault=f"{text}, more than chance explains")
