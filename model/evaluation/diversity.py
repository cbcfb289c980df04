"""How varied lines are: distinct-n (Li et al. 2016) and self-BLEU (Zhu et al. 2018)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.bleu import BLEU

from model.evaluation.words import words

_BLEU_LINES = 100
_SCALE = 100  # sacrebleu's


@dataclass(frozen=True, slots=True)
class Diversity:
    """Shares of different runs of 1, 2 and 3 words; self-BLEU from 0 to 1, lower is more varied."""

    distinct_1: float
    distinct_2: float
    distinct_3: float
    self_bleu: float


def diversity(texts: Sequence[str], tokens: int, seed: int) -> Diversity:
    """Judge so many words of lines drawn by chance: the more words, the fewer are new."""
    drawn = random.Random(seed).sample(list(texts), len(texts))
    lines = [words(text) for text in drawn]
    kept, left = [], tokens
    for line in lines:
        kept.append(line[:left])
        left -= len(kept[-1])
    return Diversity(
        _distinct(kept, 1), _distinct(kept, 2), _distinct(kept, 3), self_bleu(drawn[:_BLEU_LINES])
    )


def self_bleu(texts: Sequence[str]) -> float:
    """Return the mean BLEU of each line against all the others."""
    metric = BLEU(effective_order=True, tokenize="none", force=True)
    lines = [joined for text in texts if (joined := " ".join(words(text)))]
    if len(lines) < 2:  # noqa: PLR2004  a line and another
        return 0.0
    scores = (
        metric.sentence_score(line, [*lines[:number], *lines[number + 1 :]]).score
        for number, line in enumerate(lines)
    )
    return sum(scores) / len(lines) / _SCALE


def count_words(texts: Sequence[str]) -> int:
    """Return how many words lines have in all."""
    return sum(len(words(text)) for text in texts)


def _distinct(lines: Sequence[Sequence[str]], length: int) -> float:
    runs = [tuple(line[n : n + length]) for line in lines for n in range(len(line) - length + 1)]
    return len(set(runs)) / max(1, len(runs))
