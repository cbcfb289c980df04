"""Compute 95 % bootstrap intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 1_000
_TAILS = (2.5, 97.5)  # percent

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def estimate(value: float, draws: Sequence[float] | NDArray[np.float64]) -> Estimate:
    """Return a value with the interval of its resampled values."""
    low, high = np.percentile(np.asarray(draws, float), _TAILS)
    return Estimate(float(value), float(low), float(high))


def resample(
    count: int, statistic: Callable[[Numbers], float], seed: int, draws: int = DRAWS
) -> Estimate:
    """Return a statistic of `count` items with its interval.

    `statistic` gets indices of items, drawn with replacement.
    """
    if not count:
        return Estimate(0.0, 0.0, 0.0)
    generator = np.random.default_rng(seed)
    values = [statistic(generator.integers(0, count, count)) for _ in range(draws)]
    return estimate(statistic(np.arange(count)), values)


def mean(values: ArrayLike, seed: int) -> Estimate:
    """Return the mean of values with its interval."""
    array = np.asarray(values, float)
    return resample(len(array), lambda numbers: float(array[numbers].mean()), seed)


def ratio(over: ArrayLike, under: ArrayLike, seed: int) -> Estimate:
    """Return the ratio of two sums, such as nats over characters, resampled in pairs."""
    top, bottom = np.asarray(over, float), np.asarray(under, float)
    return resample(
        len(top), lambda numbers: float(top[numbers].sum() / bottom[numbers].sum()), seed
    )
