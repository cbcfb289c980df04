"""Measure copied lines, leaked private data and planted canaries."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from model.chat.prompt import split_line
from model.redaction.redact import find_private_parts
from pipeline.evaluation.heldout import Turn
from pipeline.evaluation.intervals import Estimate, mean
from pipeline.evaluation.text_metrics import split_words

RUN_LENGTH = 8
"""Number of consecutive words that two people do not write by chance."""
_COMMONPLACE_WORDS = 3
"""Lines of at most this many words are commonplace: "me too", "see you tomorrow"."""


@dataclass(frozen=True, slots=True)
class TrainingIndex:
    """Hashes of every training line and of every run of eight words in it."""

    lines: frozenset[int]
    runs: frozenset[int]

    def contains_copy(self, text: str) -> bool:
        """Whether a line equals a training line of four words or more, or shares eight with one."""
        words = split_words(text)
        is_line = len(words) > _COMMONPLACE_WORDS and hash(tuple(words)) in self.lines
        return is_line or any(run in self.runs for run in _hash_runs(words))


def index_training_lines(turns: Iterable[Turn]) -> TrainingIndex:
    """Index the targets and contexts of training."""
    texts: set[str] = set()
    for turn in turns:
        texts.update(turn.messages)
        texts.update(split_line(line)[1] for line in turn.context)
    lines = [split_words(text) for text in texts]
    runs = frozenset(run for line in lines for run in _hash_runs(line))
    return TrainingIndex(frozenset(hash(tuple(line)) for line in lines), runs)


def measure_copies(index: TrainingIndex, texts: Sequence[str], seed: int) -> Estimate:
    """Return the share of lines that are copies of training lines."""
    return mean([float(index.contains_copy(text)) for text in texts], seed)


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
