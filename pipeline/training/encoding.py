"""Encode pairs as token ids and padded batches, for both model families."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.artifacts.artifact import Family
from model.artifacts.tokenizer import Codec
from model.chat.prompt import render_reply

if TYPE_CHECKING:
    import datasets

IGNORED = -100
"""The label of a position without a loss (torch's convention)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One pair as ids: the prompt, the beginning that forces the voice, the reply with its end.

    `characters` is the length of the reply, for losses that compare across tokenizers.
    """

    voice: str
    prompt: tuple[int, ...]
    forced: tuple[int, ...]
    reply: tuple[int, ...]
    characters: int

    @property
    def length(self) -> int:
        """Return the number of tokens that go through the model."""
        return len(self.prompt) + len(self.forced) + len(self.reply)


def encode(
    codec: Codec,
    voice: str,
    context: Sequence[str],
    target: Sequence[str],
    limits: tuple[int, int],
) -> Example:
    """Encode a pair; `limits` are the maximum tokens of the prompt and of the reply."""
    text = render_reply(target)
    forced, reply = codec.reply_ids(voice, text)
    cut = reply[: limits[1] - 1]
    kept = text if len(cut) == len(reply) else codec.reply_text(voice, cut)
    prompt = codec.prompt_ids(context, limits[0])
    return Example(
        voice, tuple(prompt), tuple(forced), (*cut, codec.end_id), max(1, len(kept.strip()))
    )


def encode_pairs(
    pairs: "datasets.Dataset", codec: Codec, family: Family, limits: tuple[int, int]
) -> "datasets.Dataset":
    """Encode a table of pairs for the Trainer; each row becomes the result of `row_of`."""
    import datasets

    datasets.disable_progress_bars()
    return pairs.map(
        lambda pair: row_of(
            encode(codec, pair["voice"], pair["context"], pair["target"], limits), family
        ),
        remove_columns=pairs.column_names,
        keep_in_memory=True,
        new_fingerprint="encoded",  # otherwise datasets pickles the tokenizer to compute one
    )


def row_of(example: Example, family: Family) -> dict[str, Any]:
    """Return an example's `input_ids`, `labels` and `length`; the loss covers the target."""
    target = [*example.forced, *example.reply]
    if family == "encoder-decoder":
        return {"input_ids": list(example.prompt), "labels": target, "length": example.length}
    return {
        "input_ids": [*example.prompt, *target],
        "labels": [IGNORED] * len(example.prompt) + target,
        "length": example.length,
    }


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads rows to the longest of a batch, and to at least `min_inputs` and `min_labels` columns.

    Tensors are [batch, columns]. An encoder-decoder's rows are padded on the right, a decoder-only
    model's on the left, so that all targets end in the last column; its labels are cut to the
    longest target and one column before it.
    """

    family: Family
    pad_id: int
    min_inputs: int = 0
    min_labels: int = 0

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch of tensors."""
        import torch

        on_left = self.family == "decoder-only"
        inputs, labels = ([row[name] for row in rows] for name in ("input_ids", "labels"))
        width = max(self.min_inputs, *map(len, inputs))
        seen = torch.tensor(_padded([[1] * len(row) for row in inputs], 0, width, on_left=on_left))
        batch = {
            "input_ids": torch.tensor(_padded(inputs, self.pad_id, width, on_left=on_left)),
            "attention_mask": seen,
        }
        if on_left:
            kept = 1 + max(sum(label != IGNORED for label in row) for row in labels)
            padded = torch.tensor(_padded(labels, IGNORED, width, on_left=True))
            positions = (seen.cumsum(-1) - 1).clamp(min=0)
            return {**batch, "position_ids": positions, "labels": padded[:, -kept:]}
        depth = max(self.min_labels, *map(len, labels))
        return {**batch, "labels": torch.tensor(_padded(labels, IGNORED, depth, on_left=False))}


def _padded(
    rows: Sequence[list[int]], filler: int, width: int, *, on_left: bool
) -> list[list[int]]:
    gaps = [[filler] * (width - len(row)) for row in rows]
    return [gap + row if on_left else row + gap for gap, row in zip(gaps, rows, strict=True)]


def split_by_tokens(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Split sequences into batches of at most `budget` padded tokens and at least one sequence.

    Yields indices into `lengths`, the longest first, so that a lack of memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    while order:
        fitting = max(1, budget // lengths[order[0]])
        yield order[:fitting]
        order = order[fitting:]
