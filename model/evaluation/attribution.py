"""Whose lines are these? A classifier of real training lines, asked about bags of others.

It judges only: nothing of it may choose among replies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler

from model.evaluation.bootstrap import DRAWS, Estimate, estimate
from model.evaluation.habits import habits
from model.evaluation.text_metrics import words
from model.evaluation.turns import Said

SIZES = (1, 5, 10)
_PARTITIONS = 20
"""Ways to put the same lines into bags, each line in one: one way alone decides by luck."""

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judge:
    """A fitted classifier of lines by voice (a scikit-learn pipeline)."""

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
    """Macro-F1 over bags of lines, how many bags a voice has, and shares [whose, taken for]."""

    f1: Estimate
    bags: int
    confusion: tuple[tuple[float, ...], ...]


def by_characters(said: Sequence[Said]) -> Judge:
    """Learn from runs of 1 to 5 characters, capitals told from small letters."""
    return _fitted(said, _character_runs((1, 5)))


def by_words_and_habits(said: Sequence[Said]) -> Judge:
    """Learn from words, pairs of words and writing habits, which no tuning looked at."""
    runs = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2),
        sublinear_tf=True, dtype=np.float32,
    )  # fmt: skip
    return _fitted(said, make_union(runs, habit_features()))


def habit_features() -> Any:  # noqa: ANN401  scikit-learn ships no types
    """Return a transformer of texts into their habits, each scaled to at most 1."""
    return make_pipeline(FunctionTransformer(_habit_rows), MaxAbsScaler())


def attribute(judge: Judge, said: Sequence[Said], seed: int) -> dict[int, Attribution]:
    """Ask whose bags of each of SIZES are; voices get equally many bags, so that chance is 1/n.

    A voice with fewer lines than a bag makes one of them; one with none is never recognised.
    """
    scores = judge.scores([line.text for line in said])
    owners = np.array([judge.voices.index(line.voice) for line in said], int)
    own = [scores[owners == number] for number in range(len(judge.voices))]
    return {size: _attributed(own, size, seed) for size in SIZES}


def _attributed(own: Sequence[Table], size: int, seed: int) -> Attribution:
    bags = max(1, min((len(rows) // size for rows in own if len(rows)), default=1))
    chance = np.random.default_rng(seed)
    guesses = [_guesses(own, size, bags, chance) for _ in range(_PARTITIONS)]
    counts = np.sum([_confusion(each[None], len(own))[0] for each in guesses], 0)
    drawn = np.concatenate([_resampled(each, len(own), chance) for each in guesses])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    rounded = tuple(tuple(round(float(share), 4) for share in row) for row in shares)
    f1 = estimate(float(_macro_f1(counts)), drawn)
    sure = f1 if bags > 1 else Estimate(f1.value, 0.0, 1.0)  # one bag cannot be resampled
    return Attribution(sure, bags, rounded)


def _fitted(said: Sequence[Said], features: Any) -> Judge:  # noqa: ANN401  see above
    """Fit a logistic regression; saga takes 3 s for 22,000 lines where lbfgs takes 38."""
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
    """Return whom each bag of each voice is taken for, [voices, bags]; −1 where it has no line."""
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
    """Return the macro-F1 of bags drawn with replacement, voice by voice."""
    draws = DRAWS // _PARTITIONS
    picks = chance.integers(0, guesses.shape[1], (draws, *guesses.shape))
    found: Table = _macro_f1(_confusion(np.take_along_axis(guesses[None], picks, 2), voices))
    return found


def _confusion(guesses: NDArray[np.int64], voices: int) -> NDArray[np.float64]:
    """Count guesses [draws, voices, bags] as [draws, voices, taken for]."""
    return np.stack([(guesses == voice).sum(-1) for voice in range(voices)], -1).astype(float)


def _macro_f1(counts: NDArray[np.float64]) -> Any:  # noqa: ANN401  a number, or one a draw
    """Return the mean over voices of 2·hits / (bags it has + bags taken for it)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return (2 * hits / np.maximum(counts.sum(-1) + counts.sum(-2), 1)).mean(-1)
