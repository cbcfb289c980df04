"""Classify whose lines these are, and whether they are real or generated."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler
from threadpoolctl import threadpool_limits

from pipeline.evaluation.habits import habits
from pipeline.evaluation.heldout import Line
from pipeline.evaluation.intervals import DRAWS, Estimate, Numbers, estimate, resampled
from pipeline.evaluation.text_metrics import words

SIZES = (1, 5, 10)
_PARTITIONS = 20
"""Random partitions of the lines into bags; a single partition would depend on luck."""

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judge:
    """A trained classifier of lines by voice (a scikit-learn pipeline)."""

    voices: tuple[str, ...]
    classifier: Any

    def scores(self, texts: Sequence[str]) -> Table:
        """Return natural log-probabilities, [lines, voices]."""
        if not texts:
            return np.zeros((0, len(self.voices)))
        found: Table = np.log(np.maximum(self.classifier.predict_proba(texts), 1e-9))
        return found


@dataclass(frozen=True, slots=True)
class Attribution:
    """Macro-F1 over bags of lines, bags per voice, and the confusion matrix [true, predicted]."""

    f1: Estimate
    bags: int
    confusion: tuple[tuple[float, ...], ...]


def by_characters(said: Sequence[Line]) -> Judge:
    """Train on character 1- to 5-grams, case-sensitive."""
    return _fitted(said, _character_runs((1, 5)))


def by_words_and_habits(said: Sequence[Line]) -> Judge:
    """Train on words, word bigrams and writing habits, which no tuning has used."""
    runs = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2),
        sublinear_tf=True, dtype=np.float32,
    )  # fmt: skip
    return _fitted(said, make_union(runs, habit_features()))


def habit_features() -> Any:  # noqa: ANN401  scikit-learn ships no types
    """Return a transformer from texts to their habits, each scaled to at most 1."""
    return make_pipeline(FunctionTransformer(_habit_rows), MaxAbsScaler())


def attribute(judge: Judge, said: Sequence[Line], seed: int) -> dict[int, Attribution]:
    """Classify bags of each size in SIZES; every voice gets the same number, so chance is 1/n.

    A voice with fewer lines than a bag gets one smaller bag; one without lines counts as missed.
    """
    scores = judge.scores([line.text for line in said])
    owners = np.array([judge.voices.index(line.voice) for line in said], int)
    own = [scores[owners == number] for number in range(len(judge.voices))]
    return {size: _attributed(own, size, seed) for size in SIZES}


def macro_f1(own: Sequence[Table], size: int, chance: np.random.Generator) -> float:
    """Return the macro-F1 over bags of lines; `own` are each voice's lines, as `Judge.scores`.

    The lines are put into bags once, by `chance`.
    """
    guesses = _guesses(own, size, _bags(own, size), chance)
    return float(_macro_f1(_confusion(guesses[None], len(own))[0]))


def _bags(own: Sequence[Table], size: int) -> int:
    """Return how many bags each voice gets: as many as the one with the fewest lines fills."""
    return max(1, min((len(rows) // size for rows in own if len(rows)), default=1))


def _attributed(own: Sequence[Table], size: int, seed: int) -> Attribution:
    bags = _bags(own, size)
    chance = np.random.default_rng(seed)
    guesses = [_guesses(own, size, bags, chance) for _ in range(_PARTITIONS)]
    counts = np.sum([_confusion(each[None], len(own))[0] for each in guesses], 0)
    drawn = np.concatenate([_resampled(each, len(own), chance) for each in guesses])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    rounded = tuple(tuple(round(float(share), 4) for share in row) for row in shares)
    f1 = estimate(float(_macro_f1(counts)), drawn)
    sure = f1 if bags > 1 else Estimate(f1.value, 0.0, 1.0)  # one bag cannot be resampled
    return Attribution(sure, bags, rounded)


def _fitted(said: Sequence[Line], features: Any) -> Judge:  # noqa: ANN401  see above
    """Fit a logistic regression; saga takes 3 s for 22,000 lines, lbfgs 38 s."""
    regression = LogisticRegression(
        C=3, class_weight="balanced", solver="saga", tol=1e-2, max_iter=5_000, random_state=0
    )
    classifier = make_pipeline(features, regression)
    classifier.fit([line.text for line in said], [line.voice for line in said])
    return Judge(tuple(map(str, classifier.classes_)), classifier)


def _character_runs(lengths: tuple[int, int]) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer="char", ngram_range=lengths, min_df=2, lowercase=False, sublinear_tf=True,
        dtype=np.float32,
    )  # fmt: skip


def _habit_rows(texts: Sequence[str]) -> Table:
    return np.asarray([habits(text) for text in texts], float)


def _guesses(
    own: Sequence[Table], size: int, bags: int, chance: np.random.Generator
) -> NDArray[np.int64]:
    """Return the predicted voice of each bag, [voices, bags]; −1 for a voice without lines."""
    guesses = np.full((len(own), bags), -1)
    for voice, rows in enumerate(own):
        drawn = rows[chance.permutation(len(rows))[: bags * size]]
        for number, bag in enumerate(np.array_split(drawn, bags)):
            if len(bag):
                guesses[voice, number] = bag.sum(0).argmax()
    return guesses


def _resampled(
    guesses: NDArray[np.int64], voices: int, chance: np.random.Generator
) -> NDArray[np.float64]:
    """Return macro-F1 values of bags resampled within each voice."""
    draws = DRAWS // _PARTITIONS
    picks = chance.integers(0, guesses.shape[1], (draws, *guesses.shape))
    found: Table = _macro_f1(_confusion(np.take_along_axis(guesses[None], picks, 2), voices))
    return found


def _confusion(guesses: NDArray[np.int64], voices: int) -> NDArray[np.float64]:
    """Count predictions [draws, voices, bags] into confusion matrices [draws, true, predicted]."""
    return np.stack([(guesses == voice).sum(-1) for voice in range(voices)], -1).astype(float)


def _macro_f1(counts: NDArray[np.float64]) -> Any:  # noqa: ANN401  a number, or one a draw
    """Return the mean over voices of 2·hits / (true bags + predicted bags)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return (2 * hits / np.maximum(counts.sum(-1) + counts.sum(-2), 1)).mean(-1)


_FOLDS = 5
_MIN_REAL = 400  # real lines; more than this, or than the generated ones, teach it little


def real_or_not(real: Sequence[str], generated: Sequence[str], seed: int) -> Estimate:
    """Return the cross-validated area under the ROC curve."""
    real = random.Random(seed).sample(list(real), min(len(real), max(_MIN_REAL, len(generated))))
    texts = [*real, *generated]
    labels = np.asarray([0] * len(real) + [1] * len(generated))
    if min(len(real), len(generated)) < _FOLDS:
        return Estimate(0.5, 0.0, 1.0)  # too few to tell anything
    runs = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 4), lowercase=False, sublinear_tf=True, dtype=np.float32
    )
    features = make_union(runs, habit_features()).fit_transform(texts)
    classifier = LogisticRegression(C=3, class_weight="balanced", tol=1e-3, max_iter=1_000)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # lbfgs on vectors: two threads took 12 times as long, waiting
        rows = cross_val_predict(classifier, features, labels, cv=folds, method="predict_proba")
    found = rows[:, 1]

    def area(numbers: Numbers) -> float:
        drawn = labels[numbers]
        return float(roc_auc_score(drawn, found[numbers])) if 0 < drawn.mean() < 1 else 0.5

    return resampled(len(texts), area, seed, draws=200)
