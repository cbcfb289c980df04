"""Classify whose turn a text could be: a linear model of hashed character n-grams and habits.

`pipeline/training/voice_classifier.py` fits it. Serving needs numpy only.
"""

import math
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import ArtifactError, describe_error
from model.files import PRIVATE_FILE

BUCKETS = 1 << 16
"""Number of hash values of n-grams. Each stands for many different n-grams."""
MAX_LENGTH = 4
"""Length in characters of the longest n-grams."""
MAX_BYTES = 2_000_000
"""Maximum size of a table on disk."""

MAX_MESSAGES = 5
"""Turns of more messages count as turns of this many."""

SALT_BYTES = 16
_HABIT_SCALE = 0.1  # chosen on validation pairs: habits weigh about as much as n-grams
_MAX_DEVIATION = 4.0  # standard deviations
_MIN_LOG_DENSITY = -4.0  # nats, so that no single turn's length decides alone
_MAGIC = b"understudy voice"
_HEADER = struct.Struct(f"<{len(_MAGIC)}s{SALT_BYTES}sII")

Table = NDArray[np.float32]

_EMOJI = re.compile("[\u2600-\u27bf\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff]")
_SMILEY = re.compile(r"(?:^|\s)[:;=xX8][-']?[)(DPpOo3/|]+(?=\s|$)")
_LAUGHTER = re.compile(
    r"\b(?:a?(?:ha){2,}h?|(?:he){2,}|(?:hi){2,}|(?:ja){2,}|lol+|lmf?ao|rofl|k{3,}|(?:rs){2,}|w{3,})\b"
    r"|(?:ха){2,}|哈{2,}|ㅋ{2,}|[😂🤣😹]",
    re.IGNORECASE,
)
LINE_HABITS = (
    "length", "emoji", "laughter", "capital_first", "capitals", "full_stop", "exclamation",
    "question", "dots", "comma", "apostrophe",
)  # fmt: skip
"""Habits counted in each line; `length` is ln(1 + characters), the others are rates."""


def measure_habits(text: str) -> tuple[float, ...]:
    """Return the values of LINE_HABITS for a line."""
    letters = [char for char in text if char.isalpha()]
    capitals = sum(char.isupper() for char in letters) / max(1, len(letters))
    end = text.rstrip()
    return (
        math.log1p(len(text)),
        float(len(_EMOJI.findall(text)) + len(_SMILEY.findall(text))),
        float(_LAUGHTER.search(text) is not None),
        float(bool(letters) and letters[0].isupper()),
        capitals,
        float(end.endswith((".", "。")) and not end.endswith("..")),
        float("!" in text or "！" in text),
        float("?" in text or "？" in text),
        float(".." in text or "…" in text),
        float("," in text or "，" in text or "、" in text),
        float("'" in text or "’" in text),
    )


@dataclass(frozen=True, slots=True, eq=False)
class VoiceTable:
    """The classifier's weights, and how long each voice's turns are; without names or text.

    A voice is identified by the salted hash of its name (`voices`, [voices]), an n-gram by its
    bucket (`buckets`, [n-grams], ascending). The weights are [n-grams, voices] and [habits,
    voices]. `lengths`, [voices, MAX_MESSAGES, 3], has for each number of messages its
    log-probability, and the mean and standard deviation of ln(characters).
    """

    salt: bytes
    voices: NDArray[np.uint64]
    bias: Table
    habit_means: Table
    habit_deviations: Table
    habit_weights: Table
    lengths: Table
    buckets: NDArray[np.uint16]
    idf: Table
    ngram_weights: Table = field(repr=False)

    def log_odds(self, messages: Sequence[str], name: str) -> float:
        """Return ln(p / (1 - p)) of a turn being by this voice; 0 if the voice is unknown.

        All voices are equally likely before the turn is read.
        """
        index = self._find(name)
        if index is None or len(self.voices) == 1:
            return 0.0
        numbers, counts = hash_ngrams(messages, self.salt, {})
        known = np.isin(numbers, self.buckets)
        rows = np.searchsorted(self.buckets, numbers[known])
        values = weigh_ngrams(counts[known], self.idf[rows])
        habits = weigh_habits(average_habits(messages), self.habit_means, self.habit_deviations)
        scores = self.bias + values @ self.ngram_weights[rows] + habits @ self.habit_weights
        return float(scores[index] - np.logaddexp.reduce(np.delete(scores, index)))

    def log_length(self, messages: Sequence[str], name: str) -> float:
        """Return how usual a turn's length is for this voice, in nats; 0 if the voice is unknown.

        It is the log-probability of the number of messages, plus the log-density, up to a constant,
        of the number of characters in such turns.
        """
        index = self._find(name)
        if index is None or not messages:
            return 0.0
        share, mean, deviation = self.lengths[index, min(len(messages), MAX_MESSAGES) - 1]
        distance = (measure_size(messages) - mean) / deviation
        return float(share + max(-(distance**2) / 2 - math.log(deviation), _MIN_LOG_DENSITY))

    def _find(self, name: str) -> int | None:
        """Return a voice's index, None if it is unknown."""
        [indices] = np.nonzero(self.voices == hash_name(name, self.salt))
        return int(indices[0]) if len(indices) else None


def measure_size(messages: Sequence[str]) -> float:
    """Return ln(characters) of a turn."""
    return math.log(max(1, sum(map(len, messages))))


def hash_name(name: str, salt: bytes) -> int:
    """Return the 64-bit hash that identifies a voice in a table."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8, key=salt).digest(), "little")


def hash_ngrams(
    messages: Sequence[str], salt: bytes, known: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the buckets of a turn's n-grams, ascending, and how often each occurs.

    The n-grams have 1 to MAX_LENGTH characters and stay within a word, whose boundaries count as
    spaces. `known` holds the buckets of n-grams that were hashed before, and is extended.
    """
    grams: Counter[str] = Counter()
    for message in messages:
        for word in message.split():
            grams.update(word)
            padded = f" {word} "
            for length in range(2, MAX_LENGTH + 1):
                grams.update(padded[n : n + length] for n in range(len(padded) - length + 1))
    counts: Counter[int] = Counter()
    for gram, times in grams.items():
        if (bucket := known.get(gram)) is None:
            digest = blake2b(gram.encode(), digest_size=2, key=salt).digest()
            bucket = known[gram] = int.from_bytes(digest, "little")
        counts[bucket] += times
    numbers = np.array(sorted(counts), np.int64)
    return numbers, np.array([counts[int(number)] for number in numbers], np.float32)


def weigh_ngrams(counts: Table, idf: Table) -> Table:
    """Return (1 + ln count) · idf of each n-gram of a turn, divided by the Euclidean norm."""
    values = (1 + np.log(counts)) * idf
    unit: Table = values / max(float(np.sqrt((values**2).sum())), 1e-9)
    return unit


def average_habits(messages: Sequence[str]) -> Table:
    """Return the mean of each of LINE_HABITS over a turn's messages."""
    rows = [measure_habits(message) for message in messages]
    table: Table = np.asarray(rows, np.float32).reshape(-1, len(LINE_HABITS))
    mean: Table = table.sum(0) / max(1, len(rows))
    return mean


def weigh_habits(habits: Table, means: Table, deviations: Table) -> Table:
    """Return habits in standard deviations from the mean, scaled to the size of n-grams."""
    limit = _MAX_DEVIATION
    scaled: Table = _HABIT_SCALE * np.clip((habits - means) / deviations, -limit, limit)
    return scaled


def write_table(table: VoiceTable, path: Path) -> None:
    """Write the table as one file that only its owner can read, little-endian."""
    parts = (
        np.ascontiguousarray(getattr(table, name), kind).tobytes()
        for name, kind, _ in _layout(len(table.voices), len(table.buckets))
    )
    sizes = len(table.voices), len(table.buckets)
    path.write_bytes(_HEADER.pack(_MAGIC, table.salt, *sizes) + b"".join(parts))
    path.chmod(PRIVATE_FILE)


def read_table(path: Path) -> VoiceTable:
    """Read a table.

    Raises:
        ArtifactError: It is not a table, or is damaged.
    """
    try:
        with path.open("rb") as file:
            content = file.read(2 * MAX_BYTES)
        magic, salt, voices, ngrams = _HEADER.unpack_from(content)
    except (OSError, struct.error) as error:
        raise ArtifactError(
            f"{path} cannot be read ({describe_error(error)}): train again"
        ) from error
    layout = _layout(voices, ngrams)
    size = sum(np.dtype(kind).itemsize * math.prod(shape) for _, kind, shape in layout)
    if magic != _MAGIC or len(content) != _HEADER.size + size:
        raise ArtifactError(f"{path} is damaged: train again")
    fields: dict[str, Any] = {}
    start = _HEADER.size
    for name, kind, shape in layout:
        found = np.frombuffer(content, kind, math.prod(shape), start).reshape(shape)
        start += found.nbytes
        fields[name] = found.astype(np.float32) if found.dtype.kind == "f" else found
    is_valid = (
        all(np.isfinite(part).all() for part in fields.values())
        and (np.diff(fields["buckets"].astype(int)) > 0).all()
        and (fields["lengths"][..., 2] > 0).all()
        and (fields["habit_deviations"] > 0).all()
    )
    if not is_valid:
        raise ArtifactError(f"{path} is damaged: train again")
    return VoiceTable(salt, **fields)


def count_ngrams_that_fit(voices: int) -> int:
    """Return how many n-grams a table for this many voices may have within MAX_BYTES."""
    sizes = [
        sum(np.dtype(kind).itemsize * math.prod(shape) for _, kind, shape in _layout(voices, n))
        for n in (0, 1)
    ]
    return max(0, MAX_BYTES - _HEADER.size - sizes[0]) // (sizes[1] - sizes[0])


def _layout(voices: int, ngrams: int) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """Return name, type and shape of each array of a table, in the order of the file."""
    habits = len(LINE_HABITS)
    return (
        ("voices", "<u8", (voices,)),
        ("bias", "<f4", (voices,)),
        ("habit_means", "<f4", (habits,)),
        ("habit_deviations", "<f4", (habits,)),
        ("habit_weights", "<f4", (habits, voices)),
        ("lengths", "<f4", (voices, MAX_MESSAGES, 3)),
        ("buckets", "<u2", (ngrams,)),
        ("idf", "<f2", (ngrams,)),
        ("ngram_weights", "<f2", (ngrams, voices)),
    )
