"""Measure in how many bags of lines a judge names the right voice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.heldout import HeldOutLine
from pipeline.evaluation.intervals import MIN_SESSIONS, Estimate, divide, estimate
from pipeline.evaluation.judge import Judge, Table

SIZES = (1, 5, 10)
"""Lines per bag."""

_DRAWS = 300
_PARTITIONS = 20
"""Random partitions of the lines into bags; a single partition would depend on luck."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Lines as the judge sees them.

    `scores` are their log-probabilities, [lines, voices], `owners` the indices of their voices.
    """

    scores: Table
    owners: NDArray[np.int64]
    sessions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Share of bags of lines that are named right, and the same relative to real lines.

    `named` and `relative` are means over the voices; a random guess reaches 1 / voices. `voices`
    has the share of each voice, `relative_voices` the same relative to its real lines. `bags` is
    the number of bags of the voice with the fewest lines. `confusion` has the share of bags by
    [true, named] voice.
    """

    named: Estimate
    relative: Estimate
    voices: Mapping[str, Estimate]
    relative_voices: Mapping[str, Estimate]
    bags: int
    confusion: tuple[tuple[float, ...], ...]


def judge_lines(judge: Judge, lines: Sequence[HeldOutLine]) -> Arm:
    """Return the lines as an arm; their voices are among the judge's."""
    owners = np.asarray([judge.voices.index(line.voice) for line in lines], int)
    return Arm(judge.score(lines), owners, tuple(line.session for line in lines))


def shuffle_names(arm: Arm) -> Arm:
    """Return an arm whose lines count as those of the next voice, which must not be recognised."""
    return Arm(arm.scores, (arm.owners + 1) % arm.scores.shape[1], arm.sessions)


def measure_attribution(
    arms: Mapping[str, Arm], voices: Sequence[str], real: str, size: int, seed: int
) -> dict[str, Attribution]:
    """Attribute bags of `size` lines of each arm; compare each arm with the arm `real`.

    A voice with fewer lines than a bag gets one smaller bag; one without lines counts as missed.
    The intervals come from resampled sessions, the same for all arms; the judge stays as it is.
    """
    rng = np.random.default_rng(seed)
    sessions = sorted({session for arm in arms.values() for session in arm.sessions})
    positions = {name: _index_sessions(arm, sessions) for name, arm in arms.items()}
    draws = np.zeros((len(arms), _DRAWS, len(voices)))
    for draw in range(_DRAWS):
        drawn = rng.integers(0, len(sessions), len(sessions))
        for number, (name, arm) in enumerate(arms.items()):
            if len(sessions) >= MIN_SESSIONS:
                lines = np.concatenate([positions[name][session] for session in drawn])
            else:
                lines = rng.integers(0, len(arm.owners), len(arm.owners))
            counts = _count_confusion(_split_by_owner(arm, lines), size, rng)
            draws[number, draw] = _compute_shares(counts)
    tables = []
    for arm in arms.values():
        own = _split_by_owner(arm, np.arange(len(arm.owners)))
        tables.append(np.sum([_count_confusion(own, size, rng) for _ in range(_PARTITIONS)], 0))
    values = np.asarray([_compute_shares(table) for table in tables])
    at = list(arms).index(real)

    def by_voice(own: Table, own_draws: Table, most: float = inf) -> dict[str, Estimate]:
        return {voice: _center(own[n], own_draws[:, n], most) for n, voice in enumerate(voices)}

    found = {}
    for number, (name, arm) in enumerate(arms.items()):
        own, own_draws = values[number], draws[number]
        found[name] = Attribution(
            named=_center(own.mean(), own_draws.mean(1), 1.0),
            relative=_center(
                float(divide(own.mean(), values[at].mean())),
                divide(own_draws.mean(1), draws[at].mean(1)),
            ),
            voices=by_voice(own, own_draws, 1.0),
            relative_voices=by_voice(divide(own, values[at]), divide(own_draws, draws[at])),
            bags=max(1, int(np.bincount(arm.owners, minlength=len(voices)).min()) // size),
            confusion=tuple(
                tuple(round(float(count / max(row.sum(), 1)), 4) for count in row)
                for row in tables[number]
            ),
        )
    return found


def share_named_right(own: Sequence[Table], size: int, rng: np.random.Generator) -> float:
    """Return the share of bags named right, the mean over voices, of bags drawn once with `rng`.

    `own` has the log-probabilities of each voice's lines, [lines, voices].
    """
    return float(_compute_shares(_count_confusion(own, size, rng)).mean())


def _compute_shares(counts: Table) -> Table:
    """Return the share of each voice's bags that are named right."""
    return divide(np.diagonal(counts), counts.sum(1))


def _index_sessions(arm: Arm, sessions: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the positions of an arm's lines by the session's index in `sessions`."""
    of_session: dict[int, list[int]] = {session: [] for session in sessions}
    for position, session in enumerate(arm.sessions):
        of_session[session].append(position)
    return [np.asarray(positions, int) for positions in of_session.values()]


def _split_by_owner(arm: Arm, lines: NDArray[np.int64]) -> list[Table]:
    table, owners = arm.scores[lines], arm.owners[lines]
    return [table[owners == voice] for voice in range(table.shape[1])]


def _count_confusion(own: Sequence[Table], size: int, rng: np.random.Generator) -> Table:
    """Draw bags of lines and count their named voices, [true, named]."""
    counts = np.zeros((len(own), len(own)))
    for voice, rows in enumerate(own):
        if not len(rows):
            continue
        bags = max(1, len(rows) // size)
        drawn = rows[rng.permutation(len(rows))[: bags * size]]
        sums = drawn.reshape(bags, -1, len(own)).sum(1)
        counts[voice] = np.bincount(sums.argmax(1), minlength=len(own))
    return counts


def _center(value: float, draws: Table, most: float = inf) -> Estimate:
    """Return a value with the spread of its draws, from 0 to `most`.

    A line that is drawn twice tells a bag less than two lines do, so the draws themselves are low.
    """
    found = estimate(value, draws - draws.mean() + value)
    low, high = np.clip([found.low, found.high], 0.0, most)
    return Estimate(found.value, float(low), float(high))
