"""Compare two versions on the same held-out turns."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from pipeline.evaluation.attribution import share_named_right
from pipeline.evaluation.heldout import list_lines
from pipeline.evaluation.intervals import Estimate, Numbers, resample_sessions
from pipeline.evaluation.judge import Table
from pipeline.evaluation.memorization import index_runs, is_copy
from pipeline.evaluation.scorecard import GENERATED, Evidence, Figures


@dataclass(frozen=True, slots=True)
class EvaluatedAnswer:
    """A version's answer to a held-out turn.

    `lines` are natural log-probabilities, [lines, voices]; `voice` is the index of the turn's
    voice among the voices.
    """

    session: int
    voice: int
    lines: tuple[tuple[float, ...], ...]
    is_copied: bool = False


@dataclass(frozen=True, slots=True)
class EvaluatedTurn:
    """A real held-out turn scored by a version: whether its own name is likeliest, and its loss.

    Its voice's lines are removed from the context, and only absent names compete. `is_right` is
    None if there is no other one.
    """

    session: int
    is_right: bool | None
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


def collect_outcomes(evidence: Evidence) -> Outcomes:
    """Return the outcome of each turn."""
    runs, judge = index_runs(evidence.training), evidence.judge
    answers = []
    for answer in evidence.arms[GENERATED]:
        scores = judge.score(list_lines([answer]))
        answers.append(
            EvaluatedAnswer(
                answer.asked.session,
                judge.voices.index(answer.asked.voice),
                tuple(tuple(map(float, row)) for row in scores),
                any(is_copy(runs, text) for text in answer.messages),
            )
        )
    turns = (
        EvaluatedTurn(
            result.turn.session,
            result.is_right if result.absent else None,
            -result.own.nats,
            result.own.characters,
        )
        for result in evidence.measured
    )
    return Outcomes(len(judge.voices), tuple(answers), tuple(turns))


def attribution_difference(new: Outcomes, current: Outcomes, size: int, seed: int) -> Estimate:
    """Return the difference in the share of bags of `size` lines named right, new minus current."""
    rng = np.random.default_rng(seed)

    def compute_share(found: Outcomes, numbers: Numbers) -> float:
        own: list[list[tuple[float, ...]]] = [[] for _ in range(found.voices)]
        for number in numbers:
            answer = found.answers[number]
            own[answer.voice].extend(answer.lines)
        tables: list[Table] = [np.asarray(rows).reshape(-1, found.voices) for rows in own]
        return share_named_right(tables, size, rng)

    def difference(numbers: Numbers) -> float:
        return compute_share(new, numbers) - compute_share(current, numbers)

    return resample_sessions([answer.session for answer in new.answers], difference, seed)


def right_voice_difference(new: Outcomes, current: Outcomes, seed: int) -> Estimate:
    """Return the difference in the share of turns under the right name, new minus current."""
    pairs = [
        (one, other)
        for one, other in zip(new.turns, current.turns, strict=True)
        if one.is_right is not None and other.is_right is not None
    ]
    table = np.asarray(
        [float(bool(one.is_right)) - float(bool(two.is_right)) for one, two in pairs]
    )
    sessions = [one.session for one, _ in pairs]
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
