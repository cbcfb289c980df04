"""Split conversations by time into training, validation and test, with a gap."""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import Literal, get_args

from model.errors import DatasetError


class HeldOutSplit(StrEnum):
    """A held-out split: settings are tuned on `validation` and judged on `test`."""

    TEST = "test"
    VALIDATION = "validation"


SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
GAP = -1
"""The split of a session that is in none because it is too close to a boundary."""

_JUDGES = b"judges"  # which sessions they get must not depend on any other hash
VALIDATION = 0.05
TEST = 0.15


def is_judge_session(chat_id: int, session: int) -> bool:
    """Whether a training session is in the half that trains the scorecard's judge.

    With --set reserve-half=true a model learns from the other half only. The rule is a hash, so it
    stays the same when the chat grows.
    """
    digest = hashlib.blake2b(b"%d %d" % (chat_id, session), digest_size=1, key=_JUDGES).digest()
    return digest[0] % 2 == 1


@dataclass(slots=True)
class SessionSpans:
    """Start and end of each session, in seconds since 1970, and its number of lines.

    Takes 24 bytes per session.
    """

    starts: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    lines: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, start: int, end: int, lines: int) -> None:
        """Add the next session."""
        self.starts.append(start)
        self.ends.append(end)
        self.lines.append(lines)

    def extend(self, others: "SessionSpans") -> None:
        """Add the sessions that follow."""
        self.starts.extend(others.starts)
        self.ends.extend(others.ends)
        self.lines.extend(others.lines)

    def __len__(self) -> int:
        return len(self.starts)


def split(
    spans: SessionSpans, gap: int, test: float = TEST, validation: float = VALIDATION
) -> "array[int]":
    """Return for each session the index of its split in SPLITS, or GAP.

    Sessions are ordered by their start: first training, then validation, then test. A boundary is
    the end of the session nearest to the share of messages. The sessions after a boundary with at
    least `gap` lines together are left out, so that no context reaches across. A session before a
    boundary that lasts until the next split begins, as one in another topic may, is also left out.

    Raises:
        DatasetError: There are too few sessions, or the test share is out of range.
    """
    if not 0 < test < 1 - validation:
        raise DatasetError(
            f"test-share {test} is not between 0 and {1 - validation:g}: choose a share such as "
            "0.15"
        )
    order = sorted(range(len(spans)), key=lambda number: spans.starts[number])
    boundaries = _Boundaries(array("q", accumulate(spans.lines[number] for number in order)), gap)
    first, second = boundaries.choose(1 - validation - test, 1 - test)
    splits = array("b", [GAP]) * len(order)
    cuts = ((0, first), (boundaries.after(first), second), (boundaries.after(second), len(order)))
    for index, (start, end) in enumerate(cuts):
        next_begins = spans.starts[order[cuts[index + 1][0]]] if index + 1 < len(cuts) else None
        for number in order[start:end]:
            if next_begins is None or spans.ends[number] < next_begins:
                splits[number] = index
        if index not in splits:
            raise DatasetError(
                f"every conversation of the {SPLITS[index]} split continues into the next split: "
                "export more of the chat, or use shorter sessions (--set session-minutes=N)"
            )
    return splits


@dataclass(frozen=True, slots=True)
class _Boundaries:
    """Boundaries between sessions, by the number of sessions before them.

    `ends` are the numbers of messages up to the end of each session.
    """

    ends: "array[int]"
    gap: int

    def after(self, boundary: int) -> int:
        """Return the first boundary after the gap at a boundary; it may be the end of the chat."""
        return max(boundary, bisect_left(self.ends, self.ends[boundary - 1] + self.gap) + 1)

    def choose(self, first: float, second: float) -> tuple[int, int]:
        """Return the two boundaries nearest to these shares that leave a session in every split.

        Where sessions are long, the part between them may get hardly any messages. Then the first
        boundary moves back until it has half of its share, if that is possible.

        Raises:
            DatasetError: There are none.
        """
        count = len(self.ends)
        seconds = [boundary for boundary in range(1, count) if self.after(boundary) < count]
        latest = seconds[-1] if seconds else 0
        firsts = [boundary for boundary in range(1, latest) if self.after(boundary) < latest]
        if not firsts:
            raise DatasetError(
                f"{count} conversation{'s are' if count != 1 else ' is'} too few to split by time, "
                f"with {self.gap} messages between the parts: export more of the chat, or use "
                "shorter sessions (--set session-minutes=N)"
            )
        train = self._nearest(firsts, first)
        end = self._nearest(range(self.after(train) + 1, latest + 1), second)
        enough = (second - first) / 2 * self.ends[-1]
        if self._count_between(train, end) < enough:
            earlier = (b for b in firsts if b < train and self._count_between(b, end) >= enough)
            train = max(earlier, default=train)
        return train, end

    def _count_between(self, first: int, second: int) -> int:
        """Return the number of messages between two boundaries, without the gap after the first."""
        return self.ends[second - 1] - self.ends[self.after(first) - 1]

    def _nearest(self, boundaries: Sequence[int], share: float) -> int:
        wanted = share * self.ends[-1]
        return min(boundaries, key=lambda boundary: abs(self.ends[boundary - 1] - wanted))
