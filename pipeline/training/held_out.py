"""The loss on held-out replies, before and after a training."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import TrainingError
from model.files import write_text
from pipeline.dataset.pairs import Pair
from pipeline.training.bases import Base
from pipeline.training.encoding import Example

_WHOLE, _FRESH = ":whole", ":fresh"  # no name has a colon


@dataclass(frozen=True, slots=True)
class Nats:
    """Nats per character of held-out replies, before and after training; lower is better."""

    untuned: float
    tuned: float


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """A model's loss on held-out replies, over all of them and for each voice.

    `fresh` covers the replies that do not occur word for word in training; None if all do.
    `replies` is their number.
    """

    whole: Nats
    fresh: Nats | None
    voices: Mapping[str, Nats]
    replies: int = 0


@dataclass(frozen=True, slots=True)
class HeldOutReplies:
    """Held-out replies, and the same replies as tokens."""

    pairs: Sequence[Pair]
    examples: Sequence[Example]

    def measure(
        self, base: Base, *, bf16: bool, on_share: Callable[[float], None] = lambda _: None
    ) -> dict[str, float]:
        """Return nats per character by voice, over all, and over those not seen in training.

        `on_share` gets the share that is done.

        Raises:
            TrainingError: There are no held-out replies.
        """
        from pipeline.training.device import training_device
        from pipeline.training.losses import Loss, losses

        if not self.examples:
            raise TrainingError("the dataset has no held-out replies: build it from a longer chat")
        base.weights.to(training_device())
        sums: dict[str, Loss] = defaultdict(Loss)
        found = losses(base, self.examples, bf16=bf16, on_share=on_share)
        for pair, loss in zip(self.pairs, found, strict=True):
            for key in {pair.voice, _WHOLE, _WHOLE if pair.seen else _FRESH}:
                sums[key] += loss
        return {key: round(loss.per_character, 4) for key, loss in sums.items()}

    def save(self, nats: Mapping[str, float], file: Path) -> None:
        """Write the result of `measure` into the folder of a run's checkpoints."""
        write_text(file, json.dumps({"pairs": [pair.id for pair in self.pairs], "nats": nats}))

    def load(self, file: Path) -> dict[str, float] | None:
        """Return what `save` wrote for the same replies, None if there is nothing."""
        try:
            value = json.loads(file.read_text("utf-8"))
            if value["pairs"] != [pair.id for pair in self.pairs]:
                return None
            return {str(key): float(nats) for key, nats in value["nats"].items()}
        except (OSError, AttributeError, LookupError, TypeError, ValueError):
            return None

    def compare(self, before: Mapping[str, float], after: Mapping[str, float]) -> HeldOutLoss:
        """Combine the results of `measure` before and after a training."""
        nats = {key: Nats(untuned, after[key]) for key, untuned in before.items()}
        return HeldOutLoss(nats.pop(_WHOLE), nats.pop(_FRESH, None), nats, len(self.pairs))
