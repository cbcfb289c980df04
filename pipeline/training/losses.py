"""Compute losses, and held-out losses in nats per character."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.training.bases import Base
from pipeline.training.encoding import IGNORED, Collator, Example, row_of, split_by_tokens

_TOKENS = 1024
"""Padded tokens per batch: SmolLM2-135M on a CPU was as fast with 512."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of replies' words in nats and their number of characters."""

    nats: float = 0.0
    characters: int = 0

    def __add__(self, other: "Loss") -> "Loss":
        return Loss(self.nats + other.nats, self.characters + other.characters)

    @property
    def per_character(self) -> float:
        """Return nats per character; lower is better."""
        return self.nats / self.characters


def losses(
    base: Base,
    examples: Sequence[Example],
    *,
    bf16: bool,
    on_share: Callable[[float], None] = lambda _: None,
) -> list[Loss]:
    """Return the loss of each reply's words; its end and further labels do not count.

    `on_share` gets the share that is done.
    """
    rows = reply_log_probabilities(base, examples, bf16=bf16, on_share=on_share)
    return [
        Loss(
            -sum(value for value, is_word in zip(row, e.is_word, strict=True) if is_word),
            e.characters,
        )
        for e, row in zip(examples, rows, strict=True)
    ]


def reply_log_probabilities(
    base: Base,
    examples: Sequence[Example],
    *,
    bf16: bool,
    on_share: Callable[[float], None] = lambda _: None,
) -> list[list[float]]:
    """Return for each example the natural log-probability of each of the reply's tokens.

    `on_share` gets the share of the examples that are done.
    """
    import torch

    weights = base.weights
    weights.eval()
    collate = Collator(base.family, base.codec.pad_id)
    found: dict[int, list[float]] = {}
    with torch.no_grad(), torch.autocast(weights.device.type, torch.bfloat16, enabled=bf16):
        for indices in split_by_tokens([example.length for example in examples], _TOKENS):
            batch = collate([row_of(examples[index], base.family) for index in indices])
            batch = {name: tensor.to(weights.device) for name, tensor in batch.items()}
            logits, labels, counts = label_logits(base, batch)
            chosen = logits.float().log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
            for index, values in zip(indices, chosen.split(counts), strict=True):
                found[index] = values[-len(examples[index].reply) :].tolist()
            on_share(len(found) / len(examples))
    return [found[index] for index in range(len(examples))]


def label_logits(base: Base, batch: dict[str, Any]) -> tuple[Any, Any, list[int]]:
    """Return logits [labels, vocabulary] of a batch, its labels, and the labels per row.

    Logits are computed at positions with a label only. SmolLM2-135M's vocabulary of 49,152 makes
    them a third of its work, and half of a batch's last columns are padding.
    """
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    labels = batch["labels"]
    if base.family == "encoder-decoder":
        decoder_ids = base.weights.prepare_decoder_input_ids_from_labels(labels)
        has_label = labels != IGNORED
        logits = base.weights(**inputs, decoder_input_ids=decoder_ids).logits[has_label]
    else:
        hidden = base.weights.base_model(**inputs, use_cache=False).last_hidden_state
        kept = labels.shape[1]
        labels = labels[:, 1:]  # the state at a position predicts the next token
        has_label = labels != IGNORED
        logits = base.weights.get_output_embeddings()(hidden[:, -kept:-1][has_label])
    return logits, labels[has_label], has_label.sum(-1).tolist()
