"""Bootstrap intervals of 95 %."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1_000
_TAILS = (2.5, 97.5)  # percent

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def estimate(value: float, drawn: Sequence[float] | NDArray[np.float64]) -> Estimate:
    """Return a value with the interval of its resampled values."""
    low, high = np.percentile(np.asarray(drawn, float), _TAILS)
    return Estimate(float(value), float(low), float(high))


def resampled(
    count: int, statistic: Callable[[Numbers], float], seed: int, draws: int = DRAWS
) -> Estimate:
    """Return a statistic of `count` items with its interval.

    `statistic` gets indices of items, drawn with replacement.
    """
    if not count:
        return Estimate(0.0, 0.0, 0.0)
    chance = np.random.default_rng(seed)
    drawn = [statistic(chance.integers(0, count, count)) for _ in range(draws)]
    return estimate(statistic(np.arange(count)), drawn)


def mean(values: Sequence[float], seed: int) -> Estimate:
    """Return the mean of values with its interval."""
    table = np.asarray(values, float)
    return resampled(len(table), lambda numbers: float(table[numbers].mean()), seed)


def ratio(over: Sequence[float], under: Sequence[float], seed: int) -> Estimate:
    """Return the ratio of two sums, such as nats over characters, resampled in pairs."""
    top, bottom = np.asarray(over, float), np.asarray(under, float)
    return resampled(
        len(top), lambda numbers: float(top[numbers].sum() / bottom[numbers].sum()), seed
    )
