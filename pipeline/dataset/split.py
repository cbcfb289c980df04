"""Split conversations by time into training, validation and test, with a gap."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import Literal, get_args

from model.errors import DatasetError


class HeldOutSplit(StrEnum):
    """Held-out talk: settings are tuned on `validation`, so that `test` can judge them."""

    TEST = "test"
    VALIDATION = "validation"


SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
GAP = -1
"""The split of a session that is in none, because it is too near to a border."""

VALIDATION = 0.05
TEST = 0.15


@dataclass(slots=True)
class SessionSpans:
    """Sessions by their number: when each began and ended, in seconds since 1970, and its lines.

    24 bytes a session, whatever was said in it.
    """

    starts: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    lines: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, start: int, end: int, lines: int) -> None:
        """Add the next session."""
        self.starts.append(start)
        self.ends.append(end)
        self.lines.append(lines)

    def __len__(self) -> int:
        """Return how many sessions there are."""
        return len(self.starts)


@dataclass(frozen=True, slots=True)
class WrittenPairs:
    """What was written: pairs by split and voice, those seen in training, and what was not.

    `dropped` pairs have a context that reaches into another split or stand in a gap. `content_hash`
    is the sha256, in hex, of every pair and the split it is in: equal pairs have equal hashes.
    """

    voices: tuple[dict[str, int], ...]
    seen: tuple[int, ...]
    dropped: int
    content_hash: str


def split(
    spans: SessionSpans, gap: int, test: float = TEST, validation: float = VALIDATION
) -> "array[int]":
    """Return for each session the place of its split in SPLITS, or GAP.

    Sessions are taken in order of their start, so that by messages the test's share is the last
    one and validation's stands before it. Each border is the session's end nearest to its
    share; after it as many sessions are left out as hold `gap` lines, which no context looks past.

    Raises:
        DatasetError: There are too few sessions, or the share leaves nothing to learn from.
    """
    if not 0 < test < 1 - validation:
        raise DatasetError(f"--test-share {test} leaves nothing to learn from: give 0.15 or so")
    order = sorted(range(len(spans)), key=lambda number: spans.starts[number])
    borders = _Borders(array("q", accumulate(spans.lines[number] for number in order)), gap)
    first, second = borders.choose(1 - validation - test, 1 - test)
    splits = array("b", [GAP]) * len(order)
    cuts = ((0, first), (borders.after(first), second), (borders.after(second), len(order)))
    for place, (start, end) in enumerate(cuts):
        for number in order[start:end]:
            splits[number] = place
    return splits


@dataclass(frozen=True, slots=True)
class _Borders:
    """Places between sessions, told by how many stand before; `ends` are messages up to each."""

    ends: "array[int]"
    gap: int

    def after(self, border: int) -> int:
        """Return the first place after a border's gap; beyond the last session where none is."""
        return max(border, bisect_left(self.ends, self.ends[border - 1] + self.gap) + 1)

    def choose(self, first: float, second: float) -> tuple[int, int]:
        """Return the two borders nearest to these shares that leave every split a session.

        Raises:
            DatasetError: There are none.
        """
        count = len(self.ends)
        seconds = [border for border in range(1, count) if self.after(border) < count]
        latest = seconds[-1] if seconds else 0
        firsts = [border for border in range(1, latest) if self.after(border) < latest]
        if not firsts:
            raise DatasetError(
                f"{count} conversation{'s are' if count != 1 else ' is'} too few to split by time, "
                f"with {self.gap} messages between the parts: export more of the chat, or give a "
                "smaller --session-minutes"
            )
        train = self._nearest(firsts, first)
        return train, self._nearest(range(self.after(train) + 1, latest + 1), second)

    def _nearest(self, borders: Sequence[int], share: float) -> int:
        wanted = share * self.ends[-1]
        return min(borders, key=lambda border: abs(self.ends[border - 1] - wanted))
