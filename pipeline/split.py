"""Which pairs train, which choose, which test: by time, in whole sessions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, get_args

from model.errors import DatasetError
from pipeline.pairs import Pair, Session

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

TRAIN = 0.80
VALIDATION = 0.05  # the test's is the rest: 15 %


@dataclass(frozen=True, slots=True)
class Split:
    """The sessions of one stretch of time, and those of their pairs that reach no further."""

    name: SplitName
    sessions: tuple[Session, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Splits:
    """A chat's three splits; `dropped` pairs have a context that reaches into another one."""

    train: Split
    validation: Split
    test: Split
    dropped: int

    def __iter__(self) -> Iterator[Split]:
        """Yield the three in order of time."""
        return iter((self.train, self.validation, self.test))


def split(sessions: Sequence[Session]) -> Splits:
    """Split sessions, in order of their start, 80, 5 and 15 % by messages.

    Each border is the session's end nearest to its share, and every split has a session.

    Raises:
        DatasetError: There are fewer than three sessions.
    """
    if len(sessions) < len(SPLITS):
        raise DatasetError(
            f"a split by time needs {len(SPLITS)} conversations and there "
            f"{'is 1' if len(sessions) == 1 else f'are {len(sessions)}'}: export more of the chat, "
            "or give a smaller --session-minutes"
        )
    ends = list(accumulate(len(session.lines) for session in sessions))
    first = _nearest(ends, TRAIN, range(1, len(sessions) - 1))
    second = _nearest(ends, TRAIN + VALIDATION, range(first + 1, len(sessions)))
    cuts = ((0, first), (first, second), (second, len(sessions)))
    train, validation, test = (
        _split(name, sessions[start:end]) for name, (start, end) in zip(SPLITS, cuts, strict=True)
    )
    kept = sum(len(part.pairs) for part in (train, validation, test))
    return Splits(train, validation, test, sum(len(s.pairs) for s in sessions) - kept)


def _nearest(ends: Sequence[int], share: float, choices: range) -> int:
    """Return after how many sessions the share of messages before is nearest to that wanted."""
    return min(choices, key=lambda count: abs(ends[count - 1] - share * ends[-1]))


def _split(name: SplitName, sessions: Sequence[Session]) -> Split:
    within = {line.message_id for session in sessions for line in session.lines}
    pairs = (
        pair
        for session in sessions
        for pair in session.pairs
        if within.issuperset(pair.context_ids)
    )
    return Split(name, tuple(sessions), tuple(pairs))
