"""Detect replies that copy a training message, with a hashed index of the chat."""

import mmap
import re
import struct
import sys
import unicodedata
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from model.errors import ArtifactError, describe_error
from model.files import PRIVATE_FILE

RUN_LENGTH = 8
"""Words in a row that no reply may share with one training message."""

EVERYDAY_WORDS = 3
EVERYDAY_PEOPLE = 2
EVERYDAY_TIMES = 3
"""A line is everyday where it is this short, or said by so many, or so often by one."""

SALT_BYTES = 16  # bytes
_MAGIC = b"understudy lines"  # 16 bytes: the hashes behind the head stand aligned
_HEAD = struct.Struct(f"<{len(_MAGIC)}s{SALT_BYTES}sQ")
_HASH = 8  # bytes
_APOSTROPHES = re.compile(r"['’‘`´]")
# Scripts that put no spaces between words: kana, Chinese characters; one character is one word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


@dataclass(frozen=True, slots=True)
class CopyIndex:
    """The sorted hashes of training messages; `hashes` may be a file mapped into memory."""

    salt: bytes
    hashes: Sequence[int] = field(repr=False)

    def contains(self, messages: Sequence[str]) -> bool:
        """Whether a turn repeats eight words in a row of one message, or is or has a whole one."""
        spoken = [split_words(message) for message in messages]
        turn = [word for words in spoken for word in words]
        keys = (*word_runs(turn, RUN_LENGTH), *map(_whole, spoken), _whole(turn))
        return any(self._has(_hashed(key, self.salt)) for key in keys)

    def _has(self, number: int) -> bool:
        place = bisect_left(self.hashes, number)
        return place < len(self.hashes) and self.hashes[place] == number


def split_words(text: str) -> list[str]:
    """Return a text's words without case, accents, apostrophes and punctuation."""
    decomposed = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text).casefold())
    return _WORD.findall("".join(c for c in decomposed if not unicodedata.combining(c)))


def word_runs(words: Sequence[str], length: int) -> Iterator[str]:
    """Yield so many words in a row, from each place on."""
    for start in range(len(words) - length + 1):
        yield " ".join(words[start : start + length])


def write_index(path: Path, said: Iterable[tuple[str, str]], salt: bytes) -> int:
    """Write the index of what was said, a name and a message each; return how many hashes it has.

    `salt` are 16 bytes that no other dataset's index has: equal lines have other hashes there.
    """
    numbers = sorted({_hashed(key, salt) for key in _keys(said)})
    hashes = array("Q", numbers)
    if sys.byteorder == "big":
        hashes.byteswap()
    path.write_bytes(_HEAD.pack(_MAGIC, salt, len(hashes)) + hashes.tobytes())
    path.chmod(PRIVATE_FILE)
    return len(hashes)


def open_index(path: Path) -> CopyIndex:
    """Map an index into memory: only the pages that are asked for are read.

    Raises:
        ArtifactError: It is no index, or damaged.
    """
    try:
        with path.open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        magic, salt, count = _HEAD.unpack_from(mapped)
    except (OSError, ValueError, struct.error) as error:
        raise ArtifactError(
            f"{path} cannot be read ({describe_error(error)}): train again"
        ) from error
    if magic != _MAGIC or len(mapped) != _HEAD.size + _HASH * count:
        raise ArtifactError(f"{path} is damaged: train again")
    hashes: Sequence[int] = mapped[_HEAD.size :].cast("Q")
    if sys.byteorder == "big":
        hashes = array("Q", hashes)
        hashes.byteswap()
    return CopyIndex(salt, hashes)


def _keys(said: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield what must not be said again: runs of eight words, and whole lines that are shorter."""
    times: dict[str, Counter[str]] = defaultdict(Counter)
    for name, message in said:
        words = split_words(message)
        yield from word_runs(words, RUN_LENGTH)
        if EVERYDAY_WORDS < len(words) < RUN_LENGTH:
            times[_whole(words)][name] += 1
    for key, names in times.items():
        if len(names) < EVERYDAY_PEOPLE and names.total() < EVERYDAY_TIMES:
            yield key


def _whole(words: Sequence[str]) -> str:
    """Return the key of a whole line, which no spacing changes and no run of words has."""
    return f"={''.join(words)}"


def _hashed(key: str, salt: bytes) -> int:
    digest = blake2b(key.encode(), digest_size=_HASH, key=salt).digest()
    return int.from_bytes(digest, "little")
