"""How well weights foresee held-out replies, before and after training."""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.base import Base
from model.errors import TrainingError
from model.examples import Example
from model.files import write_text
from model.precision import Precision, to_training_device
from pipeline.card import Judgement, Nats
from pipeline.pairs import Pair

_WHOLE, _FRESH = ":whole", ":fresh"  # no name has a colon


def even(pairs: Iterable[Pair], per_voice: int, seed: int) -> list[Pair]:
    """Return at most so many pairs of each voice, drawn once by the seed, voice by voice."""
    by_voice: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_voice[pair.voice].append(pair)
    chance = random.Random(seed)
    return [
        pair
        for _, own in sorted(by_voice.items())
        for pair in chance.sample(own, min(per_voice, len(own)))
    ]


@dataclass(frozen=True, slots=True)
class Judge:
    """Held-out pairs, and how well the base's weights of the moment foresee their replies."""

    base: Base
    pairs: Sequence[Pair]
    replies: Sequence[Example]
    precision: Precision

    def __call__(self) -> dict[str, float]:
        """Return nats a character by voice, over all and over those not seen in training."""
        from model.losses import Loss, losses

        if not self.replies:
            raise TrainingError("the dataset has no held-out replies: build it from a longer chat")
        to_training_device(self.base)
        sums: dict[str, Loss] = defaultdict(Loss)
        found = losses(self.base, self.replies, bf16=self.precision.bf16)
        for pair, loss in zip(self.pairs, found, strict=True):
            for key in {pair.voice, _WHOLE, _WHOLE if pair.seen else _FRESH}:
                sums[key] += loss
        return {key: round(loss.per_character, 4) for key, loss in sums.items()}


def save_loss(file: Path, pairs: Iterable[Pair], nats: Mapping[str, float]) -> None:
    """Write the untuned loss into the folder of a run's checkpoints, for a resumed run."""
    write_text(file, json.dumps({"pairs": [pair.id for pair in pairs], "nats": nats}))


def saved_loss(file: Path, pairs: Iterable[Pair]) -> dict[str, float] | None:
    """Return the loss that `save_loss` wrote for these pairs, None if there is none."""
    try:
        value = json.loads(file.read_text("utf-8"))
        if value["pairs"] != [pair.id for pair in pairs]:
            return None
        return {str(key): float(nats) for key, nats in value["nats"].items()}
    except (OSError, AttributeError, LookupError, TypeError, ValueError):
        return None


def compared(untuned: Mapping[str, float], tuned: Mapping[str, float], replies: int) -> Judgement:
    """Combine both results of `Judge` on `replies` replies."""
    nats = {key: Nats(before, tuned[key]) for key, before in untuned.items()}
    whole = nats.pop(_WHOLE)
    return Judgement(whole, nats.pop(_FRESH, None), nats, replies)
