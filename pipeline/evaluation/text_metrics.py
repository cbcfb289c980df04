"""Text metrics as `evaluate` metrics: ROUGE, chrF, distinct-n and self-BLEU, for every script.

`evaluate.load` downloads its metrics when they are first used; the classes here need no network.
With `keep_in_memory=True` they leave no text on disk.
"""

import random
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import evaluate
import numpy as np
from datasets import Features, Value
from nltk.tokenize import TweetTokenizer
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from model.chat.words import UNSPACED
from pipeline.evaluation.heldout import Answer
from pipeline.evaluation.intervals import Estimate, Numbers, mean, resample_sessions

_ROUGE = ("rouge1", "rouge2", "rougeL")
_SELF_BLEU_LINES = 100
_APOSTROPHES = str.maketrans("", "", "'’ʼ")

_tweets = TweetTokenizer(match_phone_numbers=False)


def split_words(text: str) -> list[str]:
    """Split a text into lower-case words: emoji count as words, punctuation and apostrophes do not.

    `nltk.TweetTokenizer` splits; scripts without spaces are split into characters.
    """
    return [word for token in _tweets.tokenize(text.casefold()) for word in _split_token(token)]


@lru_cache(1 << 16)
def _split_token(token: str) -> tuple[str, ...]:
    found: list[str] = []
    rest = ""  # the end of the token that no unspaced character has interrupted
    for char in token.translate(_APOSTROPHES):
        if UNSPACED.match(char):
            found += [rest, char]
            rest = ""
        else:
            rest += char
    # A word has a letter, a digit or a symbol such as an emoji.
    return tuple(
        word
        for word in (*found, rest)
        if any(unicodedata.category(char)[0] in "LNS" for char in word)
    )


class _AllScriptsTokenizer(Tokenizer):  # type: ignore[misc]  # rouge_score ships no types
    """Split with `split_words`: rouge_score's own tokenizer keeps only a–z and 0–9."""

    def tokenize(self, text: str) -> list[str]:
        """See `rouge_score.tokenizers.Tokenizer`."""
        return split_words(text)


def _info(description: str, citation: str, *inputs: str) -> evaluate.MetricInfo:
    features = Features({name: Value("string") for name in inputs})
    return evaluate.MetricInfo(
        description=description, citation=citation, inputs_description="", features=features
    )


class Rouge(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """F-measures of ROUGE-1, ROUGE-2 and ROUGE-L, one for each pair, from 0 to 1."""

    def _info(self) -> evaluate.MetricInfo:
        return _info("ROUGE", "Lin 2004", "predictions", "references")

    def _compute(
        self, predictions: Sequence[str], references: Sequence[str]
    ) -> dict[str, list[float]]:
        scorer = RougeScorer(list(_ROUGE), tokenizer=_AllScriptsTokenizer())
        pairs = zip(references, predictions, strict=True)
        scores = [scorer.score(reference, prediction) for reference, prediction in pairs]
        return {kind: [score[kind].fmeasure for score in scores] for kind in _ROUGE}


class ChrF(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Corpus chrF from 0 to 100, and the n-gram counts of each pair to resample it from."""

    def _info(self) -> evaluate.MetricInfo:
        return _info("chrF", "Popović 2015", "predictions", "references")

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
        metric = CHRF()
        counts = metric._extract_corpus_statistics(predictions, [references])  # noqa: SLF001
        return {"chrf": metric.corpus_score(predictions, [references]).score, "counts": counts}


class DistinctN(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Share of different n-grams among all n-grams of all lines, for n from 1 to 3."""

    def _info(self) -> evaluate.MetricInfo:
        return _info("distinct-n", "Li et al. 2016", "predictions")

    def _compute(self, predictions: Sequence[str]) -> dict[str, float]:
        lines = [text.split() for text in predictions]
        shares = {}
        for length in (1, 2, 3):
            ngrams = [
                tuple(line[start : start + length])
                for line in lines
                for start in range(len(line) - length + 1)
            ]
            shares[f"distinct_{length}"] = len(set(ngrams)) / max(1, len(ngrams))
        return shares


class SelfBleu(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Mean BLEU of each line against all the others, from 0 (varied) to 1 (all alike)."""

    def _info(self) -> evaluate.MetricInfo:
        return _info("self-BLEU", "Zhu et al. 2018", "predictions")

    def _compute(self, predictions: Sequence[str]) -> dict[str, float]:
        metric = BLEU(effective_order=True, tokenize="none", force=True)
        lines = list(predictions)
        scores = [
            metric.sentence_score(line, [*lines[:number], *lines[number + 1 :]]).score
            for number, line in enumerate(lines)
        ]
        return {"self_bleu": sum(scores) / len(scores) / 100}


@dataclass(frozen=True, slots=True)
class Overlap:
    """chrF from 0 to 100; ROUGE F-measures from 0 to 1."""

    chrf: Estimate
    rouge: Mapping[str, Estimate]


def measure_overlap(answers: Sequence[Answer], seed: int) -> Overlap:
    """Compare answers with the real replies, turn by turn."""
    if not answers:
        nothing = Estimate(0.0, 0.0, 0.0)
        return Overlap(nothing, dict.fromkeys(_ROUGE, nothing))
    texts = {
        "predictions": [" ".join(answer.messages) for answer in answers],
        "references": [" ".join(answer.asked.messages) for answer in answers],
    }
    scores = Rouge(keep_in_memory=True).compute(**texts)
    sessions = [answer.asked.session for answer in answers]
    rouge = {kind: mean(scores[kind], sessions, seed) for kind in _ROUGE}
    counts = np.asarray(ChrF(keep_in_memory=True).compute(**texts)["counts"])
    metric = CHRF()

    def compute_chrf(numbers: Numbers) -> float:
        # Scoring each draw from its texts takes a minute, and sacrebleu's own resampling stops at
        # a draw that scores 0.
        total = counts[numbers].sum(0).tolist()
        return float(metric._compute_score_from_stats(total).score)  # noqa: SLF001

    return Overlap(resample_sessions(sessions, compute_chrf, seed, draws=200), rouge)


@dataclass(frozen=True, slots=True)
class Diversity:
    """Shares of different runs of 1, 2 and 3 words; self-BLEU from 0 to 1, lower is more varied."""

    distinct_1: float
    distinct_2: float
    distinct_3: float
    self_bleu: float


def measure_diversity(texts: Sequence[str], tokens: int, seed: int) -> Diversity:
    """Measure the variety of the first `tokens` words of randomly ordered lines.

    The number of words is fixed because a longer sample always has a smaller share of new n-grams.
    """
    shuffled = random.Random(seed).sample(list(texts), len(texts))
    kept, left = [], tokens
    for text in shuffled:
        line = split_words(text)[:left]
        kept.append(" ".join(line))
        left -= len(line)
    distinct = (
        DistinctN(keep_in_memory=True).compute(predictions=kept)
        if kept
        else dict.fromkeys(("distinct_1", "distinct_2", "distinct_3"), 0.0)
    )
    return Diversity(**distinct, self_bleu=measure_self_bleu(shuffled[:_SELF_BLEU_LINES]))


def measure_self_bleu(texts: Sequence[str]) -> float:
    """Return the mean BLEU of each line against all the others; 0 for fewer than two lines."""
    lines = [joined for text in texts if (joined := " ".join(split_words(text)))]
    if len(lines) < 2:  # noqa: PLR2004  a line and another
        return 0.0
    return float(SelfBleu(keep_in_memory=True).compute(predictions=lines)["self_bleu"])
