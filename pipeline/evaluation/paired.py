"""Compare two versions on the same held-out turns."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from pipeline.evaluation.attribution import Table, VoiceClassifier, macro_f1
from pipeline.evaluation.intervals import DRAWS, Estimate, Numbers, estimate
from pipeline.evaluation.memorization import index_training_lines
from pipeline.evaluation.scorecard import GENERATED, Evidence, Figures

_MIN_SESSIONS = 5
"""With fewer sessions, single turns are resampled: two sessions allow only three resamples."""


@dataclass(frozen=True, slots=True)
class EvaluatedAnswer:
    """A version's answer to a held-out turn.

    `lines` are natural log-probabilities, [lines, voices]; `voice` is the place of the turn's
    voice among the voices.
    """

    session: int
    voice: int
    lines: tuple[tuple[float, ...], ...]
    is_copied: bool = False


@dataclass(frozen=True, slots=True)
class EvaluatedTurn:
    """A real held-out turn scored by a version: whether its own name is likeliest, and its loss."""

    session: int
    is_right: bool
    nats: float
    characters: int


@dataclass(frozen=True, slots=True)
class Outcomes:
    """A version's results for each held-out turn, in the order of the turns."""

    voices: int
    answers: tuple[EvaluatedAnswer, ...]
    turns: tuple[EvaluatedTurn, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A version's scorecard, as in scorecard.json, and its outcomes turn by turn."""

    card: Figures
    outcomes: Outcomes


def collect_outcomes(evidence: Evidence, classifier: VoiceClassifier) -> Outcomes:
    """Return the outcome of each turn; the classifier is trained on real training lines."""
    index, voices = index_training_lines(evidence.training), evidence.voices
    answers = []
    for answer in evidence.arms[GENERATED]:
        scores = classifier.scores(answer.messages)
        answers.append(
            EvaluatedAnswer(
                answer.asked.session,
                classifier.voices.index(answer.asked.voice),
                tuple(tuple(map(float, row)) for row in scores),
                any(map(index.contains_copy, answer.messages)),
            )
        )
    measured, turns = evidence.measured, []
    for number, (turn, cost) in enumerate(zip(measured.turns, measured.tuned, strict=True)):
        names = measured.names[number * len(voices) : (number + 1) * len(voices)]
        likeliest = min(range(len(voices)), key=lambda place: names[place].nats)
        is_right = voices[likeliest] == turn.voice
        turns.append(EvaluatedTurn(turn.session, is_right, cost.nats, cost.characters))
    return Outcomes(len(classifier.voices), tuple(answers), tuple(turns))


def attribution_difference(new: Outcomes, current: Outcomes, size: int, seed: int) -> Estimate:
    """Return the difference in macro-F1 over bags of `size` lines, new minus current."""
    chance = np.random.default_rng(seed)

    def compute_f1(found: Outcomes, numbers: Numbers) -> float:
        own: list[list[tuple[float, ...]]] = [[] for _ in range(found.voices)]
        for number in numbers:
            answer = found.answers[number]
            own[answer.voice].extend(answer.lines)
        tables: list[Table] = [np.asarray(rows).reshape(-1, found.voices) for rows in own]
        return macro_f1(tables, size, chance)

    def difference(numbers: Numbers) -> float:
        return compute_f1(new, numbers) - compute_f1(current, numbers)

    return resample_sessions([answer.session for answer in new.answers], difference, seed)


def right_voice_difference(new: Outcomes, current: Outcomes, seed: int) -> Estimate:
    """Return the difference in the share of turns under the right name, new minus current."""
    pairs = zip(new.turns, current.turns, strict=True)
    table = np.asarray([float(one.is_right) - float(other.is_right) for one, other in pairs])
    sessions = [turn.session for turn in new.turns]
    return resample_sessions(sessions, lambda numbers: float(table[numbers].mean()), seed)


def nats_difference(new: Outcomes, current: Outcomes, seed: int) -> Estimate:
    """Return the difference in nats per character of real turns, new minus current."""
    pairs = list(zip(new.turns, current.turns, strict=True))
    nats = np.asarray([one.nats - other.nats for one, other in pairs])
    lengths = np.asarray([float(one.characters) for one, _ in pairs])
    return resample_sessions(
        [turn.session for turn in new.turns],
        lambda numbers: float(nats[numbers].sum() / lengths[numbers].sum()),
        seed,
    )


def chance_of_more_copies(new: Outcomes, current: Outcomes) -> float:
    """Return the probability that chance alone explains how many more answers the new one copied.

    McNemar's exact test, one-sided: only answers that exactly one version copied count.
    """
    pairs = [(a.is_copied, b.is_copied) for a, b in zip(new.answers, current.answers, strict=True)]
    only_new, only_current = pairs.count((True, False)), pairs.count((False, True))
    if not only_new + only_current:
        return 1.0
    test = binomtest(only_new, only_new + only_current, alternative="greater")
    return float(test.pvalue)


def resample_sessions(
    sessions: Sequence[int], statistic: Callable[[Numbers], float], seed: int, draws: int = DRAWS
) -> Estimate:
    """Return a statistic of turns, given by their indices, with its 95 % interval.

    Whole sessions are resampled with replacement, or single turns if there are too few sessions.
    """
    by_session: dict[int, list[int]] = defaultdict(list)
    for number, session in enumerate(sessions):
        by_session[session].append(number)
    groups = [np.asarray(numbers) for numbers in by_session.values()]
    if not groups:
        return Estimate(0.0, 0.0, 0.0)
    if len(groups) < _MIN_SESSIONS:
        groups = [np.asarray([number]) for number in range(len(sessions))]
    chance = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([groups[n] for n in chance.integers(0, len(groups), len(groups))]))
        for _ in range(draws)
    ]
    return estimate(statistic(np.arange(len(sessions))), drawn)
