"""Classify lines by voice, and distinguish real from generated lines."""

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

from model.speaking.voice_classifier import measure_habits
from pipeline.evaluation.heldout import Line
from pipeline.evaluation.intervals import DRAWS, Estimate, Numbers, estimate, resample
from pipeline.evaluation.text_metrics import split_words

SIZES = (1, 5, 10)
_FOLDS = 5
_MIN_REAL = 400
"""Maximum number of real lines, unless more were generated; further lines teach little."""
_PARTITIONS = 20
"""Random partitions of the lines into bags; a single partition would depend on luck."""

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VoiceClassifier:
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


def train_character_classifier(lines: Sequence[Line]) -> VoiceClassifier:
    """Train on character 1- to 5-grams, case-sensitive."""
    ngrams = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 5), min_df=2, lowercase=False, sublinear_tf=True,
        dtype=np.float32,
    )  # fmt: skip
    return _fit(lines, ngrams)


def train_word_classifier(lines: Sequence[Line]) -> VoiceClassifier:
    """Train on words, word bigrams and writing habits, which no tuning has used."""
    ngrams = TfidfVectorizer(
        tokenizer=split_words, token_pattern=None, lowercase=False, ngram_range=(1, 2),
        sublinear_tf=True, dtype=np.float32,
    )  # fmt: skip
    return _fit(lines, make_union(ngrams, _make_habit_features()))


def measure_attribution(
    classifier: VoiceClassifier, lines: Sequence[Line], seed: int
) -> dict[int, Attribution]:
    """Classify bags of each size in SIZES; all voices get equally many, so chance is 1/n.

    A voice with fewer lines than a bag gets one smaller bag; one without lines counts as missed.
    """
    scores = classifier.scores([line.text for line in lines])
    owners = np.array([classifier.voices.index(line.voice) for line in lines], int)
    own = [scores[owners == number] for number in range(len(classifier.voices))]
    found = {}
    for size in SIZES:
        bags = _count_bags(own, size)
        chance = np.random.default_rng(seed)
        guesses = [_guess_voices(own, size, bags, chance) for _ in range(_PARTITIONS)]
        counts = np.sum([_count_confusion(each[None], len(own))[0] for each in guesses], 0)
        drawn = np.concatenate([_resample_f1(each, len(own), chance) for each in guesses])
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        confusion = tuple(tuple(round(float(share), 4) for share in row) for row in shares)
        f1 = estimate(float(_compute_f1(counts)), drawn)
        if bags == 1:  # one bag cannot be resampled
            f1 = Estimate(f1.value, 0.0, 1.0)
        found[size] = Attribution(f1, bags, confusion)
    return found


def measure_realism(real: Sequence[str], generated: Sequence[str], seed: int) -> Estimate:
    """Return the area under the ROC curve of a classifier of real and generated lines.

    The area is cross-validated; 0.5 means that the lines cannot be distinguished.
    """
    real = random.Random(seed).sample(list(real), min(len(real), max(_MIN_REAL, len(generated))))
    texts = [*real, *generated]
    labels = np.asarray([0] * len(real) + [1] * len(generated))
    if min(len(real), len(generated)) < _FOLDS:
        return Estimate(0.5, 0.0, 1.0)  # there are too few lines
    ngrams = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 4), lowercase=False, sublinear_tf=True, dtype=np.float32
    )
    features = make_union(ngrams, _make_habit_features()).fit_transform(texts)
    classifier = LogisticRegression(C=3, class_weight="balanced", tol=1e-3, max_iter=1_000)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # with two threads, lbfgs took 12 times as long
        rows = cross_val_predict(classifier, features, labels, cv=folds, method="predict_proba")
    scores = rows[:, 1]

    def compute_area(numbers: Numbers) -> float:
        drawn = labels[numbers]
        return float(roc_auc_score(drawn, scores[numbers])) if 0 < drawn.mean() < 1 else 0.5

    return resample(len(texts), compute_area, seed, draws=200)


def macro_f1(own: Sequence[Table], size: int, chance: np.random.Generator) -> float:
    """Return the macro-F1 over bags of lines, after drawing the bags once with `chance`.

    `own` has the scores of each voice's lines, as `VoiceClassifier.scores` returns them.
    """
    guesses = _guess_voices(own, size, _count_bags(own, size), chance)
    return float(_compute_f1(_count_confusion(guesses[None], len(own))[0]))


def _count_bags(own: Sequence[Table], size: int) -> int:
    """Return the number of bags that the voice with the fewest lines fills."""
    return max(1, min((len(rows) // size for rows in own if len(rows)), default=1))


def _fit(lines: Sequence[Line], features: Any) -> VoiceClassifier:  # noqa: ANN401  see above
    """Fit a logistic regression; saga takes 3 s for 22,000 lines, lbfgs 38 s."""
    regression = LogisticRegression(
        C=3, class_weight="balanced", solver="saga", tol=1e-2, max_iter=5_000, random_state=0
    )
    classifier = make_pipeline(features, regression)
    classifier.fit([line.text for line in lines], [line.voice for line in lines])
    return VoiceClassifier(tuple(map(str, classifier.classes_)), classifier)


def _make_habit_features() -> Any:  # noqa: ANN401  scikit-learn ships no types
    """Return a transformer from texts to their habits, each scaled to at most 1."""

    def tabulate(texts: Sequence[str]) -> Table:
        return np.asarray([measure_habits(text) for text in texts], float)

    return make_pipeline(FunctionTransformer(tabulate), MaxAbsScaler())


def _guess_voices(
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


def _resample_f1(
    guesses: NDArray[np.int64], voices: int, chance: np.random.Generator
) -> NDArray[np.float64]:
    """Return macro-F1 values of bags resampled within each voice."""
    draws = DRAWS // _PARTITIONS
    picks = chance.integers(0, guesses.shape[1], (draws, *guesses.shape))
    found: Table = _compute_f1(
        _count_confusion(np.take_along_axis(guesses[None], picks, 2), voices)
    )
    return found


def _count_confusion(guesses: NDArray[np.int64], voices: int) -> NDArray[np.float64]:
    """Count predictions [draws, voices, bags] into confusion matrices [draws, true, predicted]."""
    return np.stack([(guesses == voice).sum(-1) for voice in range(voices)], -1).astype(float)


def _compute_f1(counts: NDArray[np.float64]) -> Any:  # noqa: ANN401  a number, or one a draw
    """Return the mean over voices of 2·hits / (true bags + predicted bags)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return (2 * hits / np.maximum(counts.sum(-1) + counts.sum(-2), 1)).mean(-1)
