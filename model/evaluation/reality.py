"""Measure how well a classifier tells generated lines from real ones (0.5 = chance)."""

import random
from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_union
from threadpoolctl import threadpool_limits

from model.evaluation.attribution import habit_features
from model.evaluation.bootstrap import Estimate, Numbers, resampled

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
