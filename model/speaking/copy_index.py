"""Detect replies that copy a training message, with a hashed index of the chat."""

import mmap
import struct
import sys
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from model.chat.words import split_words, word_runs
from model.errors import ArtifactError, describe_error
from model.files import PRIVATE_FILE

RUN_LENGTH = 8
"""Consecutive words that no reply may share with a training message."""

EVERYDAY_WORDS = 3
EVERYDAY_PEOPLE = 2
EVERYDAY_TIMES = 3
"""A line is common, and may be repeated, if it has at most this number of words, or if at least
this number of people wrote it, or one person wrote it this number of times."""

SALT_BYTES = 16
_MAGIC = b"understudy lines"  # 16 bytes, so that the hashes after the header are aligned
_HEADER = struct.Struct(f"<{len(_MAGIC)}s{SALT_BYTES}sQ")
_HASH_BYTES = 8


@dataclass(frozen=True, slots=True)
class CopyIndex:
    """The sorted hashes of training messages; `hashes` may be a file mapped into memory."""

    salt: bytes
    hashes: Sequence[int] = field(repr=False)

    def contains(self, messages: Sequence[str]) -> bool:
        """Whether a turn shares eight consecutive words or a whole line with a training message."""
        lines = [split_words(message) for message in messages]
        turn = [word for words in lines for word in words]
        for key in (*word_runs(turn, RUN_LENGTH), *map(_line_key, lines), _line_key(turn)):
            number = _hash(key, self.salt)
            index = bisect_left(self.hashes, number)
            if index < len(self.hashes) and self.hashes[index] == number:
                return True
        return False


def write_index(path: Path, lines: Iterable[tuple[str, str]], salt: bytes) -> int:
    """Write the index of training lines, each a name and a message; return the number of hashes.

    `salt` are 16 random bytes of this dataset: the same line has different hashes in different
    datasets' indexes.
    """
    hashes = array("Q", sorted({_hash(key, salt) for key in _list_keys(lines)}))
    if sys.byteorder == "big":
        hashes.byteswap()
    path.write_bytes(_HEADER.pack(_MAGIC, salt, len(hashes)) + hashes.tobytes())
    path.chmod(PRIVATE_FILE)
    return len(hashes)


def open_index(path: Path) -> CopyIndex:
    """Map an index into memory; only the pages that a search touches are read.

    Raises:
        ArtifactError: It is not an index, or is damaged.
    """
    try:
        with path.open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        magic, salt, count = _HEADER.unpack_from(mapped)
    except (OSError, ValueError, struct.error) as error:
        raise ArtifactError(
            f"{path} cannot be read ({describe_error(error)}): train again"
        ) from error
    if magic != _MAGIC or len(mapped) != _HEADER.size + _HASH_BYTES * count:
        raise ArtifactError(f"{path} is damaged: train again")
    hashes: Sequence[int] = mapped[_HEADER.size :].cast("Q")
    if sys.byteorder == "big":
        hashes = array("Q", hashes)
        hashes.byteswap()
    return CopyIndex(salt, hashes)


def _list_keys(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the keys that no reply may have: runs of eight words, and whole shorter lines."""
    authors: dict[str, Counter[str]] = defaultdict(Counter)
    for name, message in lines:
        words = split_words(message)
        yield from word_runs(words, RUN_LENGTH)
        if EVERYDAY_WORDS < len(words) < RUN_LENGTH:
            authors[_line_key(words)][name] += 1
    for key, names in authors.items():
        if len(names) < EVERYDAY_PEOPLE and names.total() < EVERYDAY_TIMES:
            yield key


def _line_key(words: Sequence[str]) -> str:
    """Return the key of a whole line; it ignores spacing and differs from any run's key."""
    return f"={''.join(words)}"


def _hash(key: str, salt: bytes) -> int:
    digest = blake2b(key.encode(), digest_size=_HASH_BYTES, key=salt).digest()
    return int.from_bytes(digest, "little")
