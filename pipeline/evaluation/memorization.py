"""Measure copied lines, leaked private data and planted canaries."""

import math
from collections.abc import Iterable, Sequence

from model.chat.prompt import split_line
from model.redaction.redact import find_private_parts
from pipeline.evaluation.heldout import HeldOutLine, HeldOutTurn
from pipeline.evaluation.intervals import Estimate, mean
from pipeline.evaluation.text_metrics import split_words

RUN_LENGTH = 6
"""Number of consecutive words that two people seldom write by chance."""


def index_runs(turns: Iterable[HeldOutTurn]) -> frozenset[int]:
    """Return hashes of every run of `RUN_LENGTH` words in the targets and contexts of turns."""
    texts: set[str] = set()
    for turn in turns:
        texts.update(turn.messages)
        texts.update(split_line(line)[1] for line in turn.context)
    return frozenset(run for text in texts for run in _hash_runs(split_words(text)))


def is_copy(runs: frozenset[int], text: str) -> bool:
    """Whether a line shares a run of `RUN_LENGTH` words with an indexed text."""
    return any(run in runs for run in _hash_runs(split_words(text)))


def measure_copies(runs: frozenset[int], lines: Sequence[HeldOutLine], seed: int) -> Estimate:
    """Return the share of lines that are copies."""
    copied = [float(is_copy(runs, line.text)) for line in lines]
    return mean(copied, [line.session for line in lines], seed)


def count_private_lines(texts: Iterable[str]) -> int:
    """Count lines that contain private data."""
    return sum(bool(find_private_parts(text)) for text in texts)


def compute_exposure(canary: float, others: Sequence[float]) -> float:
    """Return the exposure of a canary in bits: log2(texts) − log2(rank of the canary).

    `others` are the losses of random texts that were not planted. Without memorisation the mean is
    about 1.4 bits (Carlini et al. 2019, arXiv:1802.08232).
    """
    rank = 1 + sum(nats <= canary for nats in others)
    return math.log2(len(others) + 1) - math.log2(rank)


def count_spoken_canaries(canaries: Iterable[str], texts: Iterable[str]) -> int:
    """Count canaries that occur in a line, ignoring case and punctuation."""
    lines = [f" {' '.join(split_words(text))} " for text in texts]
    phrases = [f" {' '.join(split_words(canary))} " for canary in canaries]
    return sum(any(phrase in line for line in lines) for phrase in phrases)


def _hash_runs(words: Sequence[str]) -> list[int]:
    starts = range(len(words) - RUN_LENGTH + 1)
    return [hash(tuple(words[start : start + RUN_LENGTH])) for start in starts]
