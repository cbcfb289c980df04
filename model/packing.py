"""Pairs of one conversation in one row, so that the lines they share are computed once.

For decoder-only bases. Ten lines of context cost five times what the reply costs, and the next pair
reads nine of them again. A row holds the lines of a stretch of chat, its trunk, and then the
replies, its branches: each sees the lines of its own context and itself, nothing else, and stands
at the positions that it would have after them. The trunk's lines see the lines before them, those
too that have left a branch's window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from model.examples import IGNORED, Example
from model.tokenizer import Codec

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
