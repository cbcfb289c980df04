"""Summarise the result of a training in one sentence."""

from typing import TYPE_CHECKING

from model.artifacts.artifact import Scorecard

if TYPE_CHECKING:  # it needs the training extra
    from pipeline.training.losses import HeldOutLoss

MIN_BAGS = 5
"""Bags of ten lines per voice; with fewer, the ratio of two shares says nothing."""

TOO_FEW_LINES = "Too few lines to say whether ten of them sound right"

_UNLIKE = "does not yet sound like anyone"
_UNCERTAIN = "may or may not sound like them: these lines are too few to tell"


def summarize_result(loss: "HeldOutLoss", card: Scorecard) -> str:
    """Return both sentences as one paragraph."""
    return f"{loss_sentence(loss)} {voice_sentence(card)}"


def loss_sentence(loss: "HeldOutLoss") -> str:
    """Return a sentence on the change of the held-out loss."""
    before, after = (f"{nats:.2f}" for nats in (loss.whole.untuned, loss.whole.tuned))
    change = f"stayed at {after}"
    if before != after:
        is_lower = loss.whole.tuned < loss.whole.untuned
        change = f"{'fell' if is_lower else 'rose'} from {before} to {after}"
    replies = f" on {loss.replies:,} replies" if loss.replies else ""
    return f"Held-out loss {change} nats per character{replies} (lower is better)."


def voice_sentence(card: Scorecard) -> str:
    """Return a sentence on how many lines a classifier attributes to the right voice.

    A version sounds like someone if two intervals are above chance: that of the macro-F1 over
    single lines, and that of the right voice. The first alone would not do, because replies are
    chosen by a similar classifier.
    """
    found = card["attribution"]
    lines, chance = card["replies"]["generated"]["lines"], found["chance"]
    if not lines:
        return "It said nothing that could be evaluated."
    share, real = (found["recall"][arm] for arm in ("generated", "real"))
    low, _ = card["intervals"]["attribution.bags_of_1.generated"]
    likeness = _describe_likeness(share, low, chance, real)
    if not _knows_names(card) and likeness != _UNLIKE:
        likeness = f"{_UNLIKE}: for the model itself, the right name is not likelier than others"
    return (
        f"Classifiers of the friends' real lines recognise the voice in {share:.0%} of "
        f"its {lines:,} lines (higher is better, chance {chance:.0%}, real replies {real:.0%}), so "
        f"it {likeness}."
    )


def _knows_names(card: Scorecard) -> bool:
    """Whether the right name makes real turns likeliest more often than by chance."""
    for way in ("absent", "no_context"):
        found = card["right_voice"][way]
        if found["turns"]:
            low, _ = card["intervals"][f"right_voice.{way}.share"]
            return bool(low > found["chance"])
    return False


def _describe_likeness(share: float, low: float, chance: float, real: float) -> str:
    if share <= chance:
        return _UNLIKE
    if low <= chance:
        return _UNCERTAIN
    if share < (chance + real) / 2:
        return "begins to sound like them"
    return "sounds like them"
