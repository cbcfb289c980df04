"""Pairs as token ids, and batches of them: one collator a family."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from model.artifact import Family
from model.prompt import render_reply
from model.tokenizer import Codec

IGNORED = -100
"""The label of a position that no loss is taken at (torch's convention)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One pair as ids: the prompt, what forces the voice, the reply with its end.

    `characters` are the reply's, for losses that compare across tokenizers.
    """

    voice: str
    prompt: tuple[int, ...]
    forced: tuple[int, ...]
    reply: tuple[int, ...]
    characters: int

    @property
    def length(self) -> int:
        """Return how many tokens go through the weights for it."""
        return len(self.prompt) + len(self.forced) + len(self.reply)


def encode(
    codec: Codec,
    voice: str,
    context: Sequence[str],
    target: Sequence[str],
    limits: tuple[int, int],
) -> Example:
    """Return a pair as ids; `limits` are the most tokens of a prompt and of a reply."""
    text = render_reply(target)
    forced, reply = codec.reply_ids(voice, text)
    cut = reply[: limits[1] - 1]
    kept = text if len(cut) == len(reply) else codec.reply_text(voice, cut)
    prompt = codec.prompt_ids(context, limits[0])
    return Example(
        voice, tuple(prompt), tuple(forced), (*cut, codec.end_id), max(1, len(kept.strip()))
    )


def features(examples: Iterable[Example], family: Family) -> list[dict[str, Any]]:
    """Return what transformers' Trainer takes, one dict an example; the loss covers the target."""
    if family == "encoder-decoder":
        return [{"input_ids": list(e.prompt), "labels": [*e.forced, *e.reply]} for e in examples]
    return [
        {
            "input_ids": [*e.prompt, *e.forced, *e.reply],
            "labels": [*([IGNORED] * len(e.prompt)), *e.forced, *e.reply],
        }
        for e in examples
    ]


def collate_encoder_decoder(
    rows: Sequence[dict[str, Any]], pad_id: int, least: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """Pad to the longest of the batch, on the right; tensors are [batch, length].

    `least` are the fewest columns of inputs and of labels.
    """
    import torch

    width = max(least[0], *(len(row["input_ids"]) for row in rows))
    depth = max(least[1], *(len(row["labels"]) for row in rows))
    ids = [row["input_ids"] + [pad_id] * (width - len(row["input_ids"])) for row in rows]
    seen = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
    labels = [row["labels"] + [IGNORED] * (depth - len(row["labels"])) for row in rows]
    return {
        "input_ids": torch.tensor(ids),
        "attention_mask": torch.tensor(seen),
        "labels": torch.tensor(labels),
    }


def collate_decoder_only(
    rows: Sequence[dict[str, Any]], pad_id: int, least: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """Pad to the longest of the batch, on the left, so that all targets end together.

    Logits are then wanted at the last positions alone (`logits_to_keep`): a vocabulary of 49,152
    rows over a whole prompt would cost more than the model. Tensors are [batch, length], labels
    [batch, logits_to_keep]. `least[0]` are the fewest columns.
    """
    import torch

    width = max(least[0], *(len(row["input_ids"]) for row in rows))
    kept = 1 + max(sum(label != IGNORED for label in row["labels"]) for row in rows)
    gaps = [width - len(row["input_ids"]) for row in rows]
    ids = [[pad_id] * gap + row["input_ids"] for gap, row in zip(gaps, rows, strict=True)]
    labels = [[IGNORED] * gap + row["labels"] for gap, row in zip(gaps, rows, strict=True)]
    seen = torch.tensor([[0] * gap + [1] * (width - gap) for gap in gaps])
    return {
        "input_ids": torch.tensor(ids),
        "attention_mask": seen,
        "position_ids": (seen.cumsum(-1) - 1).clamp(min=0),
        "labels": torch.tensor(labels)[:, -kept:],
        "logits_to_keep": kept,
    }


def on_device(batch: dict[str, Any], device: Any) -> dict[str, Any]:  # noqa: ANN401  torch's device
    """Return a collator's batch with its tensors where the weights are."""
    return {k: v.to(device) if hasattr(v, "to") else v for k, v in batch.items()}


COLLATORS = {
    "encoder-decoder": collate_encoder_decoder,
    "decoder-only": collate_decoder_only,
}
