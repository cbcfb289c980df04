"""Say in plain sentences what training achieved."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from model.artifacts.artifact import Scorecard

if TYPE_CHECKING:  # it needs the training extra
    from pipeline.training.losses import HeldOutLoss

MIN_BAGS = 5
"""Bags of ten lines per voice; with fewer, the ratio of two shares says nothing."""

TOO_FEW_LINES = "Too few lines to say whether ten of them sound right"

MIN_PASSES = 0.5
"""Passes over the training messages; after fewer, a voice is that of the base model."""

MIN_RATIO = 0.9
"""Lines are as recognisable as real ones if the ratio's interval lies above this."""

Likeness = Literal["untrained", "unlike", "uncertain", "beginning", "alike"]
"""How much a version sounds like the friends; see `judge_likeness`."""

_SENTENCES: Mapping[Likeness, str] = {
    "untrained": "but it has learned from only {passes:.0%} of the training messages: such a model "
    "writes short messages that often do not fit and does not yet sound like anyone. Train for "
    "longer.",
    "unlike": "so it does not yet sound like anyone.",
    "uncertain": "so it may or may not sound like them: these lines are too few to tell.",
    "beginning": "so it begins to sound like them.",
    "alike": "so it sounds like them.",
}


def summarize_result(loss: "HeldOutLoss", card: Scorecard) -> str:
    """Return both sentences as one paragraph."""
    return f"{loss_sentence(loss)} {voice_sentence(card)}"


def loss_sentence(loss: "HeldOutLoss") -> str:
    """Return a sentence on the change in the held-out loss."""
    before, after = (f"{nats:.2f}" for nats in (loss.whole.untuned, loss.whole.tuned))
    change = f"stayed at {after}"
    if before != after:
        is_lower = loss.whole.tuned < loss.whole.untuned
        change = f"{'fell' if is_lower else 'rose'} from {before} to {after}"
    replies = f"{loss.replies:,} real replies" if loss.replies else "real replies"
    return f"Its surprise at {replies} that it never saw {change} per character (lower is better)."


def voice_sentence(card: Scorecard) -> str:
    """Return a sentence on how many bags of lines are named right, and the verdict."""
    found, size = card["attribution"], choose_bags(card)
    if not card["replies"]["generated"]["lines"]:
        return "It said nothing that could be evaluated."
    share, real = (round(100 * found[size][arm]) for arm in ("generated", "real"))
    lines = {"bags_of_10": "ten", "bags_of_1": "one"}[size]
    verdict = _SENTENCES[judge_likeness(card)].format(passes=max(0.01, card["passes"] or 0.0))
    return (
        f"Given {lines} of its lines, a classifier names the right friend in {share} of 100 cases; "
        f"for the friends' own lines, in {real} (by chance, in {100 * found['chance']:.0f}), "
        f"{verdict}"
    )


def choose_bags(card: Scorecard) -> str:
    """Return the largest bag size with enough bags: "bags_of_10" or "bags_of_1"."""
    return "bags_of_10" if card["headline"]["bags"] >= MIN_BAGS else "bags_of_1"


def judge_likeness(card: Scorecard) -> Likeness:
    """Return how much a version sounds like the friends; the first rule that applies counts.

    - untrained: it learned from less than half of the training messages (`MIN_PASSES`).
    - unlike: no more of its lines are named right than by chance, or the model itself finds the
      right name no likelier than others for real turns, by the lower end of the interval.
    - uncertain: the interval of the share named right reaches down to chance.
    - beginning: fewer are named right than of the real lines, by the upper end of the ratio's
      interval.
    - alike: about as many are (by the lower end, `MIN_RATIO`), in bags of ten lines.
    - uncertain: otherwise.
    """
    found, intervals, size = card["attribution"], card["intervals"], choose_bags(card)
    if card["passes"] is not None and card["passes"] < MIN_PASSES:
        return "untrained"
    if found[size]["generated"] <= found["chance"] or not _knows_names(card):
        return "unlike"
    low, _ = intervals[f"attribution.{size}.generated"]
    if low <= found["chance"]:
        return "uncertain"
    low, high = intervals[f"attribution.relative.{size}.generated"]
    if high < 1:
        return "beginning"
    return "alike" if low >= MIN_RATIO and size == "bags_of_10" else "uncertain"


def _knows_names(card: Scorecard) -> bool:
    """Whether the right name makes real turns likeliest more often than by chance."""
    for way in ("absent", "no_context"):
        found = card["right_voice"][way]
        if found["turns"]:
            low, _ = card["intervals"][f"right_voice.{way}.share"]
            return bool(low > found["chance"])
    return False
