"""Compute the logits of labels, and held-out losses in nats per character."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.artifacts.artifact import Card
from model.errors import TrainingError
from model.files import write_text
from pipeline.dataset.pairs import Pair
from pipeline.training.bases import Base
from pipeline.training.encoding import IGNORED, Example
from pipeline.training.processes import SINGLE_PROCESS, Processes
from pipeline.training.scorer import Score, score_examples

_WHOLE, _FRESH = ":whole", ":fresh"  # no name has a colon


def label_logits(
    base: Base, batch: Mapping[str, Any], model: Callable[..., Any]
) -> tuple[Any, Any]:
    """Return logits [labels, vocabulary] of a batch and its labels [labels].

    `model` is the base's model or a wrapper around it: DistributedDataParallel averages gradients,
    and FSDP gathers weights, only if the model is called. A decoder-only model computes logits at
    positions with a label only. SmolLM2-135M's vocabulary of 49,152 makes them a third of its work,
    and half of a batch's last columns are padding.
    """
    import torch

    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    labels = batch["labels"]
    if base.family == "encoder-decoder":
        decoder_ids = base.weights.prepare_decoder_input_ids_from_labels(labels)
        has_label = labels != IGNORED
        logits = model(**inputs, decoder_input_ids=decoder_ids).logits[has_label]
        return logits, labels[has_label]
    columns, kept = inputs["input_ids"].shape[1], labels.shape[1]
    labels = labels[:, 1:]  # the state at a position predicts the next token
    has_label = labels != IGNORED
    positions = torch.nn.functional.pad(has_label, (columns - kept, 1))
    logits = model(**inputs, logits_to_keep=positions, use_cache=False).logits
    return logits, labels[has_label]


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


def read_loss(card: Card) -> HeldOutLoss:
    """Return the loss that a version's card records."""
    value = card.scores["nats_per_character"]
    fresh = value["fresh"]
    return HeldOutLoss(
        Nats(**value["whole"]),
        Nats(**fresh) if fresh else None,
        {voice: Nats(**nats) for voice, nats in value["voices"].items()},
        value["replies"],
    )


@dataclass(frozen=True, slots=True)
class HeldOutReplies:
    """Held-out replies, and the same replies as tokens."""

    pairs: Sequence[Pair]
    examples: Sequence[Example]

    def measure(
        self,
        base: Base,
        *,
        bf16: bool,
        on_share: Callable[[float], None] = lambda _: None,
        processes: Processes = SINGLE_PROCESS,
    ) -> dict[str, float]:
        """Return nats per character by voice, over all, and over those not seen in training.

        `on_share` gets the share that is done. Several processes divide the replies.

        Raises:
            TrainingError: There are no held-out replies.
        """
        from pipeline.training.device import move_to_device

        if not self.examples:
            raise TrainingError("the dataset has no held-out replies: build it from a longer chat")
        move_to_device(base.weights)
        sums: dict[str, Score] = defaultdict(Score)
        found = processes.map(
            self.examples,
            lambda own: score_examples(
                base, own, bf16=bf16, on_share=on_share, processes=processes
            ),
        )
        for pair, score in zip(self.pairs, found, strict=True):
            for key in {pair.voice, _WHOLE, _WHOLE if pair.seen else _FRESH}:
                sums[key] += score
        return {key: round(score.loss, 4) for key, score in sums.items()}

    def save(self, nats: Mapping[str, float], file: Path) -> None:
        """Write a result of `measure` to a file, for a resumed run."""
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
        """Combine the results of `measure` before and after training."""
        nats = {key: Nats(untuned, after[key]) for key, untuned in before.items()}
        return HeldOutLoss(nats.pop(_WHOLE), nats.pop(_FRESH, None), nats, len(self.pairs))
