"""Compute 95 % bootstrap intervals by resampling whole conversations."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 1_000
_TAILS = (2.5, 97.5)  # percent
MIN_SESSIONS = 5
"""With fewer sessions, single items are resampled: two sessions allow only three resamples."""

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


def group_sessions(sessions: Sequence[int]) -> list[Numbers]:
    """Return the indices of the items of each session, or of single items for few sessions."""
    by_session: dict[int, list[int]] = defaultdict(list)
    for number, session in enumerate(sessions):
        by_session[session].append(number)
    if len(by_session) < MIN_SESSIONS:
        return [np.asarray([number]) for number in range(len(sessions))]
    return [np.asarray(numbers) for numbers in by_session.values()]


def resample_sessions(
    sessions: Sequence[int], statistic: Callable[[Numbers], float], seed: int, draws: int = DRAWS
) -> Estimate:
    """Return a statistic of items, given by their indices, with its interval.

    Whole sessions are resampled with replacement, or single items if there are too few sessions.
    """
    if not len(sessions):
        return Estimate(0.0, 0.0, 0.0)
    groups = group_sessions(sessions)
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([groups[n] for n in rng.integers(0, len(groups), len(groups))]))
        for _ in range(draws)
    ]
    return estimate(statistic(np.arange(len(sessions))), drawn)


def mean(values: ArrayLike, sessions: Sequence[int], seed: int) -> Estimate:
    """Return the mean of values with its interval."""
    return ratio(values, np.ones(len(sessions)), sessions, seed)


def ratio(over: ArrayLike, under: ArrayLike, sessions: Sequence[int], seed: int) -> Estimate:
    """Return the ratio of two sums, such as nats over characters, resampled in pairs.

    It is 0 where the divisor is 0.
    """
    top, bottom = np.asarray(over, float), np.asarray(under, float)
    if not len(sessions):
        return Estimate(0.0, 0.0, 0.0)
    groups = group_sessions(sessions)
    sums = np.asarray([(top[group].sum(), bottom[group].sum()) for group in groups])
    equal = np.full(len(groups), 1 / len(groups))
    counts = np.random.default_rng(seed).multinomial(len(groups), equal, DRAWS)
    drawn = counts @ sums
    return estimate(float(divide(top.sum(), bottom.sum())), divide(drawn[:, 0], drawn[:, 1]))


def divide(over: ArrayLike, under: ArrayLike) -> NDArray[np.float64]:
    """Return quotients, 0 where the divisor is 0."""
    top, bottom = np.asarray(over, float), np.asarray(under, float)
    quotients: NDArray[np.float64] = np.divide(
        top, bottom, where=bottom != 0, out=np.zeros_like(top)
    )
    return quotients
