"""How much of the real reply's wording an answer has: chrF and ROUGE, in every script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from sacrebleu.metrics.chrf import CHRF

from model.evaluation.bootstrap import Estimate, Numbers, mean, resampled
from model.evaluation.turns import Answer
from model.evaluation.words import words

_KINDS = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True, slots=True)
class Overlap:
    """chrF from 0 to 100; ROUGE's F-measures from 0 to 1."""

    chrf: Estimate
    rouge: Mapping[str, Estimate]


class _EveryScript(Tokenizer):  # type: ignore[misc]  # an untyped base
    """Its own tokenizer keeps a to z and 0 to 9 alone: "日本" would score 0 against itself."""

    def tokenize(self, text: str) -> list[str]:
        """See rouge_score."""
        return words(text)


def overlap(answers: Sequence[Answer], seed: int) -> Overlap:
    """Compare answers with what was really said, turn by turn."""
    said = [" ".join(answer.messages) for answer in answers]
    real = [" ".join(answer.asked.messages) for answer in answers]
    scorer = RougeScorer(list(_KINDS), tokenizer=_EveryScript())
    rows = [scorer.score(truth, text) for truth, text in zip(real, said, strict=True)]
    rouge = {kind: mean([row[kind].fmeasure for row in rows], seed) for kind in _KINDS}
    return Overlap(_chrf(said, real, seed), rouge)


def _chrf(said: Sequence[str], real: Sequence[str], seed: int) -> Estimate:
    """Return the corpus's chrF.

    It is resampled from the counts of each reply: scoring each draw from its texts takes a minute,
    and sacrebleu's own resampling stops at a draw that scores 0.
    """
    if not said:
        return Estimate(0.0, 0.0, 0.0)
    metric = CHRF()
    counts = np.asarray(metric._extract_corpus_statistics(said, [list(real)]))  # noqa: SLF001

    def score(numbers: Numbers) -> float:
        whole = counts[numbers].sum(0).tolist()
        return float(metric._compute_score_from_stats(whole).score)  # noqa: SLF001

    return resampled(len(said), score, seed)
