"""Count what this process does, for its metrics (`bot.transport.metrics`)."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

GENERATION_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Upper bounds of the histogram of generation times."""


@dataclass(slots=True)
class Histogram:
    """Values counted by upper bound; the last count is of values above all bounds."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Measurements:
    """What this process has done since its start.

    `messages`: by the state in which sending ended. `unanswered`: requests
    without a reply, by reason. `rejected`: candidates by reason. `tokens`: of all candidates.
    """

    messages: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    generation: Histogram = field(default_factory=lambda: Histogram(GENERATION_SECONDS))
