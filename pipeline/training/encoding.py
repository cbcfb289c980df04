"""Turn pairs into token ids and padded batches, for both model families."""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from model.artifacts.artifact import Family
from model.artifacts.tokenizer import Codec
from model.chat.prompt import render_reply

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


_POOL = 50  # batches' worth of pairs that are put in order of length together


def epoch_of(
    lengths: Sequence[int], size: int, seed: int, epoch: int, *, alike: bool
) -> list[list[int]]:
    """Return an epoch's batches of pairs' numbers, in an order that seed and epoch decide alone.

    `alike` puts pairs of like length together: pools of 50 batches, drawn by chance, are put in
    order of length and cut up; then the batches are shuffled.
    """
    chance = random.Random(f"{seed} {epoch}")
    order = list(range(len(lengths)))
    chance.shuffle(order)
    if alike:
        pools = [order[n : n + size * _POOL] for n in range(0, len(order), size * _POOL)]
        order = [n for pool in pools for n in sorted(pool, key=lengths.__getitem__)]
    batches = [order[n : n + size] for n in range(0, len(order), size)]
    if alike:
        chance.shuffle(batches)
    return batches


class Plan:
    """The steps of a whole run, each the numbers of its pairs; a torch Dataset by its methods.

    A run that is resumed at a step has the rest of the same steps, whatever its passes were.
    """

    def __init__(
        self, lengths: Sequence[int], size: int, seed: int, epochs: float, *, alike: bool
    ) -> None:
        self._lengths, self._size, self._seed, self._alike = lengths, size, seed, alike
        self._epochs = epochs
        self._epoch: tuple[int, list[list[int]]] = (-1, [])  # the one at hand

    @property
    def steps_an_epoch(self) -> int:
        """Return how many steps pass over all pairs once."""
        return math.ceil(len(self._lengths) / self._size)

    def __len__(self) -> int:
        return max(1, math.ceil(self._epochs * self.steps_an_epoch))

    def __getitem__(self, step: int) -> list[int]:
        if not 0 <= step < len(self):
            raise IndexError(step)
        epoch, within = divmod(step, self.steps_an_epoch)
        if self._epoch[0] != epoch:
            made = epoch_of(self._lengths, self._size, self._seed, epoch, alike=self._alike)
            self._epoch = (epoch, made)
        return self._epoch[1][within]


def passes(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Cut a step into passes of at most `budget` padded tokens, of at least one pair each.

    Yields places in `lengths`, the longest first: what does not fit fails at once.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    while order:
        fitting = max(1, budget // lengths[order[0]])
        yield order[:fitting]
        order = order[fitting:]


ROW = 1_024
"""The most tokens of a row of several pairs: what attention costs grows with the square."""

_UNLIMITED = 1_000


@dataclass(frozen=True, slots=True)
class Branch:
    """A pair in a row: its context are the header and the trunk's tokens from `start` to `end`."""

    number: int
    start: int
    end: int
    ids: tuple[int, ...]


@dataclass(slots=True)
class Row:
    """A trunk, whose first `header` tokens every branch sees, and its branches."""

    header: int
    trunk: list[int]
    branches: list[Branch] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Return how many tokens go through the weights for it."""
        return len(self.trunk) + sum(len(branch.ids) for branch in self.branches)

    @property
    def labels(self) -> int:
        """Return how many positions a loss is taken at."""
        return sum(len(branch.ids) for branch in self.branches)


def pack(examples: Sequence[Example], most: int, header: Sequence[int]) -> list[Row]:
    """Return examples in rows of at most `most` pairs, in their order.

    An example joins the row before it where its context goes on from that row's lines. `header` are
    the ids that every prompt begins with.
    """
    rows: list[Row] = []
    for number, example in enumerate(examples):
        if not rows or not _join(rows[-1], number, example, most, header):
            rows.append(_row_of(number, example, header))
    return rows


def header_of(codec: Codec) -> list[int]:
    """Return the ids that every prompt begins with: what prompts of different lines share."""
    prompts = [codec.prompt_ids([f"{name}: {name}"], _UNLIMITED) for name in ("A", "b", "1")]
    return [
        ids[0] for ids in takewhile(lambda ids: len(set(ids)) == 1, zip(*prompts, strict=False))
    ]


def _row_of(number: int, example: Example, header: Sequence[int]) -> Row:
    prompt = list(example.prompt)
    shared = len(header) if prompt[: len(header)] == list(header) else 0
    row = Row(shared, prompt)
    row.branches.append(_branch(number, example, shared, len(prompt)))
    return row


def _branch(number: int, example: Example, start: int, end: int) -> Branch:
    return Branch(number, start, end, (*example.forced, *example.reply))


def _join(row: Row, number: int, example: Example, most: int, header: Sequence[int]) -> bool:
    """Add an example to a row; return whether it could be."""
    if len(row.branches) >= most or row.header != len(header):
        return False
    prompt = list(example.prompt)
    if prompt[: row.header] != list(header):
        return False
    body = prompt[row.header :]
    start = _overlap(row.trunk, body, row.header)
    if start is None:
        return False
    fresh = body[len(row.trunk) - start :]
    if row.length + len(fresh) + len(example.forced) + len(example.reply) > ROW:
        return False
    row.trunk += fresh
    row.branches.append(_branch(number, example, start, len(row.trunk)))
    return True


def _overlap(trunk: Sequence[int], body: Sequence[int], header: int) -> int | None:
    """Return where in a trunk a body begins of which the trunk's rest is the beginning."""
    if not body:
        return None
    for start in range(max(header, len(trunk) - len(body)), len(trunk)):
        if trunk[start] == body[0] and list(trunk[start:]) == list(body[: len(trunk) - start]):
            return start
    return None


def collate(rows: Sequence[Row], pad_id: int) -> dict[str, Any]:
    """Return rows as tensors, padded on the right to the longest.

    `input_ids`, `position_ids` and `labels` are [rows, length]; `attention_mask` is boolean,
    [rows, 1, length, length]: which places each place sees.
    """
    import torch

    width = max(row.length for row in rows)
    ids = torch.full((len(rows), width), pad_id)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    sees = torch.eye(width, dtype=torch.bool).repeat(len(rows), 1, 1)  # padding sees itself
    for number, row in enumerate(rows):
        trunk = len(row.trunk)
        ids[number, :trunk] = torch.tensor(row.trunk)
        positions[number, :trunk] = torch.arange(trunk)
        sees[number, :trunk, :trunk] = torch.ones(trunk, trunk, dtype=torch.bool).tril()
        for place, branch in _places(row):
            end = place + len(branch.ids)
            ids[number, place:end] = labels[number, place:end] = torch.tensor(branch.ids)
            positions[number, place:end] = torch.arange(branch.end, branch.end + len(branch.ids))
            sees[number, place:end, : row.header] = True
            sees[number, place:end, branch.start : branch.end] = True
            own = torch.ones(len(branch.ids), len(branch.ids), dtype=torch.bool).tril()
            sees[number, place:end, place:end] = own
    return {
        "input_ids": ids,
        "position_ids": positions,
        "attention_mask": sees.unsqueeze(1),
        "labels": labels,
    }


def foreseeing(rows: Sequence[Row]) -> list[list[int]]:
    """Return for each row the places whose outputs foresee its labels, label by label.

    A branch's first token is foreseen by its context's last one.
    """
    return [
        [
            place
            for first, branch in _places(row)
            for place in (branch.end - 1, *range(first, first + len(branch.ids) - 1))
        ]
        for row in rows
    ]


def _places(row: Row) -> Iterator[tuple[int, Branch]]:
    """Yield each branch with the place in its row where it begins."""
    place = len(row.trunk)
    for branch in row.branches:
        yield place, branch
        place += len(branch.ids)
