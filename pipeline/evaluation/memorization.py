"""Measure copied lines, leaked private data and planted canaries."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from model.chat.prompt import split_line
from model.redaction.redact import find_private_parts
from pipeline.evaluation.heldout import Turn
from pipeline.evaluation.intervals import Estimate, mean
from pipeline.evaluation.text_metrics import words

RUN = 8
"""Consecutive words that two people do not write by chance."""
_EVERYDAY = 3
"""Lines of at most this many words are commonplace: "me too", "see you tomorrow"."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Hashes of every training line and of every run of eight words in it."""

    lines: frozenset[int]
    runs: frozenset[int]

    def holds(self, text: str) -> bool:
        """Whether a line equals a training line of four words or more, or shares eight with one."""
        said = words(text)
        whole = len(said) > _EVERYDAY and hash(tuple(said)) in self.lines
        return whole or any(run in self.runs for run in _runs(said))


def memory_of(turns: Iterable[Turn]) -> Memory:
    """Index the targets and contexts of training."""
    texts: set[str] = set()
    for turn in turns:
        texts.update(turn.messages)
        texts.update(split_line(line)[1] for line in turn.context)
    said = [words(text) for text in texts]
    runs = frozenset(run for line in said for run in _runs(line))
    return Memory(frozenset(hash(tuple(line)) for line in said), runs)


def copied(memory: Memory, texts: Sequence[str], seed: int) -> Estimate:
    """Return the share of lines that are copies of training lines."""
    return mean([float(memory.holds(text)) for text in texts], seed)


def private_lines(texts: Iterable[str]) -> int:
    """Count lines that contain private data."""
    return sum(bool(find_private_parts(text)) for text in texts)


def exposure(canary: float, others: Sequence[float]) -> float:
    """Return the exposure of a canary in bits: log2(texts) − log2(rank of the canary).

    `others` are the losses of random texts that were not planted. Without memorisation the mean is
    about 1.4 bits (Carlini et al. 2019, arXiv:1802.08232).
    """
    rank = 1 + sum(nats <= canary for nats in others)
    return math.log2(len(others) + 1) - math.log2(rank)


def said_canaries(canaries: Iterable[str], texts: Iterable[str]) -> int:
    """Count canaries that occur in a line, ignoring case and punctuation."""
    said = [f" {' '.join(words(text))} " for text in texts]
    return sum(any(f" {' '.join(words(canary))} " in text for text in said) for canary in canaries)


def _runs(said: Sequence[str]) -> list[int]:
    return [hash(tuple(said[n : n + RUN])) for n in range(len(said) - RUN + 1)]
