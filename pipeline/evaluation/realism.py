"""Distinguish real from generated replies with a classifier that sees the context too."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.preprocessing import QuantileTransformer, SplineTransformer
from threadpoolctl import threadpool_limits

from model.chat.prompt import split_line
from model.speaking.voice_classifier import measure_habits
from pipeline.evaluation.fit import Ranked
from pipeline.evaluation.intervals import Estimate, Numbers, resample_sessions
from pipeline.evaluation.text_metrics import split_words

_FOLDS = 5
_CHARACTER_WEIGHT = 0.5
"""Weight of the character n-grams beside the other features, which are far fewer."""

Table = NDArray[np.float64]


def measure_realism(real: Sequence[Ranked], generated: Sequence[Ranked], seed: int) -> Estimate:
    """Return the area under the ROC curve of a classifier of real and generated replies.

    Its features are the reply's characters and habits, and what context and reply have in common:
    shared words, similarity (tf-idf), and likelihood and PMI under the untuned base. The area is
    cross-validated by conversation; 0.5 means that the replies cannot be distinguished. Turns
    without a generated reply are left out.
    """
    pairs = [(one, two) for one, two in zip(real, generated, strict=True) if two.messages]
    replies = [reply for pair in pairs for reply in pair]
    sessions = [reply.turn.session for reply in replies]
    labels = np.asarray([0, 1] * len(pairs))
    if len(set(sessions)) < _FOLDS:
        return Estimate(0.5, 0.0, 1.0)  # there is too little
    texts = ["\n".join(reply.messages) for reply in replies]
    ngrams = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), lowercase=False, sublinear_tf=True, min_df=2
    )
    dense = _describe(replies, texts)
    quantiles = QuantileTransformer(n_quantiles=min(100, len(dense)), random_state=seed)
    curves = SplineTransformer(n_knots=4, degree=2).fit_transform(quantiles.fit_transform(dense))
    features = hstack(
        [ngrams.fit_transform(texts) * _CHARACTER_WEIGHT, csr_matrix(curves)], format="csr"
    )
    classifier = LogisticRegression(C=1, tol=1e-3, max_iter=1_000)
    with threadpool_limits(1):  # with two threads, lbfgs took 12 times as long
        rows = cross_val_predict(
            classifier, features, labels, groups=sessions, cv=GroupKFold(_FOLDS),
            method="predict_proba",
        )  # fmt: skip
    scores = rows[:, 1]

    def compute_area(numbers: Numbers) -> float:
        # The rank formula; scikit-learn's checks take a hundred times as long.
        is_generated, ranks = labels[numbers] == 1, rankdata(scores[numbers])
        positive = int(is_generated.sum())
        wins = ranks[is_generated].sum() - positive * (positive + 1) / 2
        return float(wins / max(1, positive * (len(ranks) - positive)))

    return resample_sessions(sessions, compute_area, seed, draws=200)


def _describe(replies: Sequence[Ranked], texts: Sequence[str]) -> Table:
    """Return what distinguishes replies: habits, length, and what they share with the context."""
    contexts = [[split_line(line)[1] for line in reply.turn.context] for reply in replies]
    last = [lines[-1] if lines else "" for lines in contexts]
    whole = [" ".join(lines) for lines in contexts]
    tfidf = TfidfVectorizer(tokenizer=split_words, token_pattern=None, lowercase=False)
    tfidf.fit([*whole, *texts])
    own = tfidf.transform(texts)
    similar = [
        np.asarray(own.multiply(tfidf.transform(other)).sum(1)).ravel() for other in (last, whole)
    ]
    rows = []
    for number, reply in enumerate(replies):
        words, tokens = split_words(texts[number]), max(1, reply.score.tokens)
        in_last, in_whole = set(split_words(last[number])), set(split_words(whole[number]))
        rows.append(
            (
                *measure_habits(texts[number]),
                len(reply.messages),
                len(words),
                len(set(words)) / max(1, len(words)),
                sum(word in in_last for word in words) / max(1, len(words)),
                sum(word in in_whole for word in words) / max(1, len(words)),
                "?" in last[number],
                similar[0][number],
                similar[1][number],
                reply.score.nats / tokens,
                reply.pmi[0] / tokens,
                reply.pmi[0],
            )
        )
    return np.asarray(rows, float)
