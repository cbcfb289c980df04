"""Judge by whom lines are: classifiers of real lines, and bags of lines attributed to a voice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler

from model.speaking.voice_classifier import measure_habits
from pipeline.evaluation.heldout import HeldOutLine
from pipeline.evaluation.intervals import (
    MIN_SESSIONS,
    Estimate,
    Numbers,
    divide,
    estimate,
    group_sessions,
)
from pipeline.evaluation.text_metrics import split_words

SIZES = (1, 5, 10)
"""Lines per bag."""
BOTH, CHARACTERS, WORDS = "both", "characters", "words_and_habits"
"""The judges; `both` adds the log-probabilities of the other two."""

_DRAWS = 300
_PARTITIONS = 20
"""Random partitions of the lines into bags; a single partition would depend on luck."""

Table = NDArray[np.float64]
Scores = Mapping[str, NDArray[np.float64]]
"""Natural log-probabilities by judge, [refits, lines, voices]."""


@dataclass(frozen=True, slots=True)
class Judges:
    """Classifiers of single lines by voice, each fitted several times (scikit-learn pipelines).

    The first fit uses all training sessions, each of the others a bootstrap sample of them, which
    shows how much a verdict depends on the training data.
    """

    voices: tuple[str, ...]
    lines: int
    fits: Mapping[str, tuple[Any, tuple[Any, ...]]]

    def score(self, lines: Sequence[HeldOutLine]) -> Scores:
        """Return the log-probabilities of lines."""
        count, texts = len(self.voices), [line.text for line in lines]
        found = {}
        for name, (features, fits) in self.fits.items():
            if texts:
                rows = features.transform(texts)
                found[name] = np.stack([_predict(fit, rows) for fit in fits])
            else:
                found[name] = np.zeros((len(fits), 0, count))
        return {BOTH: found[CHARACTERS] + found[WORDS], **found}


@dataclass(frozen=True, slots=True)
class Arm:
    """Lines as the judges see them: their scores, the index of their voice, and their sessions."""

    scores: Scores
    owners: NDArray[np.int64]
    sessions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Macro-F1 over bags of lines, relative to real lines, and bags per voice.

    `confusion` has the share of bags by [true, predicted] voice.
    """

    f1: Estimate
    relative: Estimate
    bags: int
    confusion: tuple[tuple[float, ...], ...]


def train_judges(lines: Sequence[HeldOutLine], refits: int, seed: int) -> Judges:
    """Train both judges on real lines, and `refits` times more on resampled sessions.

    One sees character 1- to 5-grams with capitals, the other words, word bigrams and habits.
    """
    characters = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 5), min_df=2, lowercase=False, sublinear_tf=True,
        dtype=np.float32,
    )  # fmt: skip
    words = TfidfVectorizer(
        tokenizer=split_words, token_pattern=None, lowercase=False, ngram_range=(1, 2),
        sublinear_tf=True, dtype=np.float32,
    )  # fmt: skip
    voices = sorted({line.voice for line in lines})
    owners = np.asarray([voices.index(line.voice) for line in lines])
    groups = group_sessions([line.session for line in lines])
    rng = np.random.default_rng(seed)
    samples = [np.arange(len(lines)), *(_resample(groups, owners, rng) for _ in range(refits))]
    fits = {}
    for name, features in (
        (CHARACTERS, characters),
        (WORDS, make_union(words, make_habit_features())),
    ):
        rows = features.fit_transform([line.text for line in lines])
        fits[name] = features, tuple(_fit(rows[own], owners[own]) for own in samples)
    return Judges(tuple(voices), len(lines), fits)


def judge_lines(judges: Judges, lines: Sequence[HeldOutLine]) -> Arm:
    """Return the lines as an arm; their voices are among the judges'."""
    owners = np.asarray([judges.voices.index(line.voice) for line in lines], int)
    return Arm(judges.score(lines), owners, tuple(line.session for line in lines))


def measure_attribution(
    arms: Mapping[str, Arm], real: str, judge: str, size: int, seed: int
) -> dict[str, Attribution]:
    """Attribute bags of `size` lines of each arm; compare each arm with the arm `real`.

    All voices get equally many bags, so chance is 1/n. A voice with fewer lines than a bag gets one
    smaller bag; one without lines counts as missed. An interval combines two sources of variance:
    each draw uses resampled sessions and one of the judge's fits, the same for all arms.
    """
    rng = np.random.default_rng(seed)
    sessions = sorted({session for arm in arms.values() for session in arm.sessions})
    fits = len(next(iter(arms.values())).scores[judge])
    draws = np.zeros((_DRAWS, len(arms)))
    positions = {name: _index_sessions(arm, sessions) for name, arm in arms.items()}
    for draw in draws:
        drawn = rng.integers(0, len(sessions), len(sessions))
        fit = int(rng.integers(fits))
        for number, (name, arm) in enumerate(arms.items()):
            if len(sessions) >= MIN_SESSIONS:
                lines = np.concatenate([positions[name][session] for session in drawn])
            else:
                lines = rng.integers(0, len(arm.owners), len(arm.owners))
            own = _split_by_owner(arm, judge, fit, lines)
            draw[number] = compute_f1(_count_confusion(own, size, rng))
    found, values = {}, []
    for arm in arms.values():
        own = _split_by_owner(arm, judge, 0, np.arange(len(arm.owners)))
        counts = np.sum([_count_confusion(own, size, rng) for _ in range(_PARTITIONS)], 0)
        values.append(compute_f1(counts))
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        found[len(values) - 1] = count_bags(own, size), shares
    at = list(arms).index(real)
    return {
        name: Attribution(
            f1=_center(values[number], draws[:, number]),
            relative=_center(
                float(divide(values[number], values[at])), divide(draws[:, number], draws[:, at])
            ),
            bags=found[number][0],
            confusion=tuple(tuple(round(float(x), 4) for x in row) for row in found[number][1]),
        )
        for number, name in enumerate(arms)
    }


def macro_f1(own: Sequence[Table], size: int, rng: np.random.Generator) -> float:
    """Return the macro-F1 over bags of lines, after drawing the bags once with `rng`.

    `own` has the log-probabilities of each voice's lines, [lines, voices].
    """
    return compute_f1(_count_confusion(own, size, rng))


def count_bags(own: Sequence[Table], size: int) -> int:
    """Return the number of bags that the voice with the fewest lines fills."""
    return max(1, min((len(rows) // size for rows in own if len(rows)), default=1))


def compute_f1(counts: Table) -> float:
    """Return the mean over voices of 2·hits / (true bags + predicted bags)."""
    return float((2 * np.diagonal(counts) / np.maximum(counts.sum(0) + counts.sum(1), 1)).mean())


def make_habit_features() -> Any:  # noqa: ANN401  scikit-learn ships no types
    """Return a transformer from texts to their habits, each scaled to at most 1."""

    def tabulate(texts: Sequence[str]) -> Table:
        return np.asarray([measure_habits(text) for text in texts], float)

    return make_pipeline(FunctionTransformer(tabulate), MaxAbsScaler())


def _resample(
    groups: Sequence[Numbers], owners: NDArray[np.int64], rng: np.random.Generator
) -> Numbers:
    """Return the lines of resampled sessions; a voice that none of them has keeps all."""
    drawn = np.concatenate([groups[n] for n in rng.integers(0, len(groups), len(groups))])
    missing = np.setdiff1d(owners, owners[drawn])
    return np.concatenate([drawn, np.flatnonzero(np.isin(owners, missing))])


def _fit(rows: Any, owners: NDArray[np.int64]) -> Any:  # noqa: ANN401
    """Fit one logistic regression per voice.

    liblinear takes as long as 20 steps of saga, which needs thousands for some resampled lines.
    """
    regression = LogisticRegression(C=3, class_weight="balanced", solver="liblinear")
    return OneVsRestClassifier(regression).fit(rows, owners)


def _predict(fit: Any, rows: Any) -> Table:  # noqa: ANN401
    found: Table = np.log(np.maximum(fit.predict_proba(rows), 1e-9))
    return found


def _index_sessions(arm: Arm, sessions: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the positions of an arm's lines by session."""
    of_session: dict[int, list[int]] = {session: [] for session in sessions}
    for position, session in enumerate(arm.sessions):
        of_session[session].append(position)
    return [np.asarray(positions, int) for positions in of_session.values()]


def _split_by_owner(arm: Arm, judge: str, fit: int, lines: NDArray[np.int64]) -> list[Table]:
    table, owners = arm.scores[judge][fit][lines], arm.owners[lines]
    return [table[owners == voice] for voice in range(table.shape[1])]


def _count_confusion(own: Sequence[Table], size: int, rng: np.random.Generator) -> Table:
    """Draw bags of lines and count their predicted voices, [true, predicted]."""
    bags = count_bags(own, size)
    counts = np.zeros((len(own), len(own)))
    for voice, rows in enumerate(own):
        drawn = rows[rng.permutation(len(rows))[: bags * size]]
        if len(drawn) == bags * size:
            sums = drawn.reshape(bags, size, -1).sum(1)
        else:  # a voice with few lines
            sums = np.asarray([bag.sum(0) for bag in np.array_split(drawn, bags) if len(bag)])
        if len(sums):
            counts[voice] = np.bincount(sums.argmax(1), minlength=len(own))
    return counts


def _center(value: float, draws: Table) -> Estimate:
    """Return a value with the spread of its draws; a line drawn twice tells a bag less than two."""
    found = estimate(value, draws - draws.mean() + value)
    return Estimate(found.value, max(0.0, found.low), found.high)
