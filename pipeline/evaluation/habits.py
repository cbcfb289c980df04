"""Measure writing habits: emoji, capitals, punctuation, length, bursts, bland replies."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from model.speaking.voice_classifier import LINE_HABITS, measure_habits
from pipeline.evaluation.heldout import Answer, HeldOutLine, HeldOutTurn
from pipeline.evaluation.intervals import Estimate, mean, resample_sessions
from pipeline.evaluation.text_metrics import split_words

_BLAND_LINES = 20
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
    distance: float


@dataclass(frozen=True, slots=True)
class HabitDistance:
    """Mean distance over people and habits, and the habits of each person."""

    mean: Estimate
    voices: Mapping[str, Mapping[str, Habit]]


@dataclass(frozen=True, slots=True)
class Style:
    """Messages per turn, shares of turns with one message and of lines with a question mark.

    `characters` is the mean length of a line, `bland` the share of the most frequent lines.
    """

    messages_per_turn: Estimate
    one_message: Estimate
    questions: Estimate
    characters: Estimate
    bland: Estimate


def measure_habit_distance(
    real: Sequence[Answer], generated: Sequence[Answer], seed: int
) -> HabitDistance:
    """Return the distance between generated and real habits."""
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

    sessions = [answer.asked.session for answer in answers]
    return HabitDistance(resample_sessions(sessions, mean_distance, seed, draws=50), voices)


def find_bland_lines(turns: Iterable[HeldOutTurn]) -> frozenset[str]:
    """Return the words of the most frequent lines, such as "yeah" and "what about you"."""
    lines = (_join_words(text) for turn in turns for text in turn.messages)
    return frozenset(text for text, _ in Counter(filter(None, lines)).most_common(_BLAND_LINES))


def measure_style(
    answers: Sequence[Answer], lines: Sequence[HeldOutLine], bland: frozenset[str], seed: int
) -> Style:
    """Measure bursts, questions, length and bland lines; `lines` are those of the answers."""
    spoken = [answer for answer in answers if answer.messages]
    turns = [answer.asked.session for answer in spoken]
    counts = [len(answer.messages) for answer in spoken]
    sessions = [line.session for line in lines]

    def share(values: Iterable[float]) -> Estimate:
        return mean([float(value) for value in values], sessions, seed)

    return Style(
        messages_per_turn=mean(counts, turns, seed),
        one_message=mean([count == 1 for count in counts], turns, seed),
        questions=share("?" in line.text or "？" in line.text for line in lines),
        characters=share(len(line.text) for line in lines),
        bland=share(_join_words(line.text) in bland for line in lines),
    )


def _join_words(text: str) -> str:
    return " ".join(split_words(text))


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
