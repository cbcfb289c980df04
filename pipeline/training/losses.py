"""Compute held-out losses in nats per character."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.training.bases import Base
from pipeline.training.encoding import COLLATORS, IGNORED, Example, features, on_device, passes

_TOKENS = 1024
"""Padded tokens at a time: SmolLM2-135M on a CPU was as fast with 512."""


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
    weights.eval()
    rows = features(examples, base.family)
    found: dict[int, list[float]] = {}
    with torch.no_grad(), torch.autocast(weights.device.type, torch.bfloat16, enabled=bf16):
        for numbers in passes([example.length for example in examples], _TOKENS):
            batch = COLLATORS[base.family]([rows[n] for n in numbers], base.codec.pad_id)
            logits, labels, counts = label_logits(base, on_device(batch, weights.device))
            chosen = logits.float().log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
            for number, values in zip(numbers, chosen.split(counts), strict=True):
                found[number] = values[-len(examples[number].reply) :].tolist()
    return [found[number] for number in range(len(examples))]


def losses(base: Base, examples: Sequence[Example], *, bf16: bool) -> list[Loss]:
    """Return the loss of each reply."""
    values = reply_log_probabilities(base, examples, bf16=bf16)
    return [Loss(-sum(row), e.characters) for e, row in zip(examples, values, strict=True)]


def label_logits(base: Base, batch: dict[str, Any]) -> tuple[Any, Any, list[int]]:
    """Return what a collator's batch makes of its labels: logits, labels, and labels a row.

    Logits are [labels, vocabulary], row after row. A decoder-only model's are computed at the
    labels' positions alone: 49,152 of them a position are a third of SmolLM2-135M's work, and of a
    batch's last columns half are padding.
    """
    if base.family == "encoder-decoder":
        wanted = batch["labels"] != IGNORED
        logits = base.weights(**batch).logits[wanted]
        return logits, batch["labels"][wanted], wanted.sum(-1).tolist()
    seen = {k: v for k, v in batch.items() if k not in {"labels", "logits_to_keep"}}
    hidden = base.weights.base_model(**seen, use_cache=False).last_hidden_state
    labels = batch["labels"][:, 1:]  # the state at a position foresees the next one
    wanted = labels != IGNORED
    before = hidden[:, -batch["logits_to_keep"] : -1][wanted]
    logits = base.weights.get_output_embeddings()(before)
    return logits, labels[wanted], wanted.sum(-1).tolist()
