"""Measure writing habits: emoji, capitals, punctuation, length, bursts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from model.speaking.voice_classifier import LINE_HABITS, measure_habits
from pipeline.evaluation.heldout import Answer
from pipeline.evaluation.intervals import Estimate, resample

BURST = "burst"
"""Messages per turn."""

Table = NDArray[np.float64]

_measure_habits = lru_cache(1 << 16)(measure_habits)  # a bootstrap measures a line many times


@dataclass(frozen=True, slots=True)
class Habit:
    """The means of real and generated lines, and their Wasserstein distance.

    The distance is in standard deviations of the real lines.
    """

    real: float
    generated: float
    measure_habit_distance: float


@dataclass(frozen=True, slots=True)
class HabitDistance:
    """Mean distance over people and habits, and the habits of each person."""

    mean: Estimate
    voices: Mapping[str, Mapping[str, Habit]]


def measure_habit_distance(
    real: Sequence[Answer], generated: Sequence[Answer], seed: int
) -> HabitDistance:
    """Return the distance between generated and real habits; the bootstrap resamples turns."""
    real_habits = {voice: _tabulate(own) for voice, own in _group_by_voice(real).items()}
    by_voice = {
        voice: own for voice, own in _group_by_voice(generated).items() if voice in real_habits
    }
    answers = [answer for own in by_voice.values() for answer in own]
    voices = {}
    for voice, own in by_voice.items():
        ours, theirs = real_habits[voice], _tabulate(own)
        rows = zip((*LINE_HABITS, BURST), ours, theirs, _distances(ours, theirs), strict=True)
        voices[voice] = {
            name: Habit(float(one.mean()), float(other.mean()), distance)
            for name, one, other, distance in rows
        }

    def mean_distance(numbers: Iterable[int]) -> float:
        drawn = _group_by_voice(answers[number] for number in numbers)
        found = [_distances(real_habits[voice], _tabulate(own)) for voice, own in drawn.items()]
        return float(np.mean(found))

    return HabitDistance(resample(len(answers), mean_distance, seed, draws=100), voices)


def _distances(ours: Sequence[Table], theirs: Sequence[Table]) -> list[float]:
    return [
        float(wasserstein_distance(one, other) / max(float(one.std()), 0.1))
        for one, other in zip(ours, theirs, strict=True)
    ]


def _tabulate(answers: Sequence[Answer]) -> list[Table]:
    """Return the values of each habit: one value per line, and one per turn for bursts."""
    rows = np.asarray([_measure_habits(text) for answer in answers for text in answer.messages])
    bursts = np.asarray([float(len(answer.messages)) for answer in answers])
    return [*rows.T, bursts]


def _group_by_voice(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Return the answers that are not empty, by voice."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.messages:
            found[answer.asked.voice].append(answer)
    return dict(found)
