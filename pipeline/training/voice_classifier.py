"""Fit the classifier of turns by voice that chooses among candidate replies."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from model.speaking.voice_classifier import (
    BUCKETS,
    LINE_HABITS,
    MAX_MESSAGES,
    VoiceTable,
    average_habits,
    count_ngrams_that_fit,
    hash_name,
    hash_ngrams,
    measure_size,
    weigh_habits,
    weigh_ngrams,
)

MIN_TURNS = 3
"""A bucket of n-grams is kept if it occurs in at least this number of turns."""

_MAX_TURNS = 5_000
"""Maximum number of turns per voice, drawn at random; further turns teach little."""
_PENALTY = 1.0  # scikit-learn's C, the inverse of the regularisation
_MIN_DEVIATION = 0.05
_PRIOR_TURNS = 10
"""Weight of all turns of a voice in the lengths of those with one number of messages."""


def fit_table(turns: Iterable[tuple[str, Sequence[str]]], salt: bytes) -> VoiceTable:
    """Fit a logistic regression to turns, each a voice and its messages; classes are balanced.

    The salt also decides which turns are drawn.
    """
    by_voice: dict[str, list[Sequence[str]]] = defaultdict(list)
    for voice, messages in turns:
        by_voice[voice].append(messages)
    rng = random.Random(salt)
    names = sorted(by_voice)
    rows = [
        (number, messages)
        for number, name in enumerate(names)
        for messages in rng.sample(by_voice[name], min(_MAX_TURNS, len(by_voice[name])))
    ]
    known: dict[str, int] = {}
    hashed = [hash_ngrams(messages, salt, known) for _, messages in rows]
    found = Counter(int(bucket) for buckets, _ in hashed for bucket in buckets)
    frequent = found.most_common(count_ngrams_that_fit(len(names)))
    buckets = np.array(sorted(b for b, times in frequent if times >= MIN_TURNS), np.int64)
    indices = np.full(BUCKETS, -1)
    indices[buckets] = np.arange(len(buckets))
    times = np.array([found[int(bucket)] for bucket in buckets], np.float32)
    idf = (np.log((1 + len(rows)) / (1 + times)) + 1).astype(np.float32)
    habits = np.array([average_habits(messages) for _, messages in rows], np.float32)
    habits = habits.reshape(-1, len(LINE_HABITS))
    means = habits.mean(0) if rows else np.zeros(len(LINE_HABITS), np.float32)
    deviations = np.maximum(habits.std(0) if rows else 0 * means, _MIN_DEVIATION)
    weights = _fit(
        _tabulate([(indices[one], counts) for one, counts in hashed], idf),
        weigh_habits(habits, means, deviations),
        [number for number, _ in rows],
        len(names),
    )
    return VoiceTable(
        salt=salt,
        voices=np.array([hash_name(name, salt) for name in names], np.uint64),
        bias=weights[0],
        habit_means=means,
        habit_deviations=deviations.astype(np.float32),
        habit_weights=weights[len(buckets) + 1 :],
        lengths=_measure_lengths([by_voice[name] for name in names]),
        buckets=buckets.astype(np.uint16),
        idf=idf,
        ngram_weights=weights[1 : len(buckets) + 1],
    )


def _measure_lengths(voices: Sequence[Sequence[Sequence[str]]]) -> NDArray[np.float32]:
    """Return the lengths of each voice's turns, smoothed, as `VoiceTable.lengths`."""
    lengths = np.zeros((len(voices), MAX_MESSAGES, 3), np.float32)
    for rows, turns in zip(lengths, voices, strict=True):
        counts = np.array([min(len(messages), MAX_MESSAGES) for messages in turns])
        sizes = np.array([measure_size(messages) for messages in turns])
        mean, variance = sizes.mean(), sizes.var()
        for number, row in enumerate(rows, 1):
            own = sizes[counts == number]
            weight = len(own) + _PRIOR_TURNS
            centre = (own.sum() + _PRIOR_TURNS * mean) / weight
            spread = (((own - centre) ** 2).sum() + _PRIOR_TURNS * variance) / weight
            share = (len(own) + _PRIOR_TURNS / MAX_MESSAGES) / (len(turns) + _PRIOR_TURNS)
            row[:] = np.log(share), centre, max(np.sqrt(spread), _MIN_DEVIATION)
    return lengths


def _tabulate(
    turns: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]], idf: NDArray[np.float32]
) -> csr_matrix:
    """Return the n-gram features of turns, [turns, n-grams]; index -1 is a dropped n-gram."""
    columns, values, starts = [], [], [0]
    for indices, counts in turns:
        kept = indices >= 0
        columns.append(indices[kept])
        values.append(weigh_ngrams(counts[kept], idf[indices[kept]]))
        starts.append(starts[-1] + len(columns[-1]))
    if not columns:
        return csr_matrix((0, len(idf)), dtype=np.float32)
    parts = np.concatenate(values), np.concatenate(columns), starts
    return csr_matrix(parts, shape=(len(columns), len(idf)))


def _fit(
    ngrams: csr_matrix, habits: NDArray[np.float32], owners: Sequence[int], voices: int
) -> NDArray[np.float32]:
    """Return the weights of the constant, the n-grams and the habits, [1 + features, voices]."""
    features = hstack([ngrams, csr_matrix(habits)], format="csr")
    weights = np.zeros((1 + features.shape[1], voices), np.float32)
    if voices > 1:
        regression = LogisticRegression(C=_PENALTY, class_weight="balanced", tol=1e-3, max_iter=300)
        with threadpool_limits(1):  # with two threads, lbfgs took 12 times as long
            regression.fit(features, owners)
        found = np.hstack([regression.intercept_[:, None], regression.coef_]).T
        # With two classes, scikit-learn returns the weights of the second one only.
        weights[:] = found if found.shape[1] == voices else found * [-0.5, 0.5]
    return weights
