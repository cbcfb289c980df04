"""How well weights foresee held-out replies, in nats a character."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from model.artifact import Family
from model.base import Base
from model.examples import COLLATORS, IGNORED, Example, features, on_device

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Loss:
    """The nats that replies cost and how long they are; lower nats a character are better."""

    nats: float = 0.0
    characters: int = 0

    def __add__(self, other: "Loss") -> "Loss":
        return Loss(self.nats + other.nats, self.characters + other.characters)

    @property
    def per_character(self) -> float:
        """Return nats a character."""
        return self.nats / self.characters


def reply_log_probabilities(
    base: Base, examples: Sequence[Example], *, bf16: bool
) -> list[list[float]]:
    """Return for each example the natural log-probability of each of the reply's tokens."""
    import torch

    weights = base.weights
    device = weights.device
    weights.eval()
    found: dict[int, list[float]] = {}
    order = sorted(range(len(examples)), key=lambda n: len(examples[n].prompt))
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for start in range(0, len(order), _BATCH):
            numbers = order[start : start + _BATCH]
            rows = features([examples[n] for n in numbers], base.family)
            batch = COLLATORS[base.family](rows, base.codec.pad_id)
            per_row = _log_probabilities(weights, on_device(batch, device), base.family)
            for number, values in zip(numbers, per_row, strict=True):
                found[number] = values[-len(examples[number].reply) :]
    return [found[number] for number in range(len(examples))]


def losses(base: Base, examples: Sequence[Example], *, bf16: bool) -> list[Loss]:
    """Return the loss of each reply."""
    values = reply_log_probabilities(base, examples, bf16=bf16)
    return [Loss(-sum(row), e.characters) for e, row in zip(examples, values, strict=True)]


def _log_probabilities(
    weights: Any, batch: dict[str, Any], family: Family
) -> Iterator[list[float]]:
    """Yield each row's log-probabilities at the positions that have a label."""
    labels = batch["labels"]
    logits = weights(**batch).logits
    if family == "decoder-only":  # the logits at a position foresee the next one
        logits, labels = logits[:, :-1], labels[:, 1:]
    chosen = (
        logits.float().log_softmax(-1).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    )
    for row, label in zip(chosen, labels, strict=True):
        yield row[label != IGNORED].tolist()
