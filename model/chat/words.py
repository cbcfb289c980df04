"""Split text into words, in scripts with and without spaces between them."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

_KANA_AND_HAN = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SOUTHEAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer

UNSPACED = re.compile(f"[{_KANA_AND_HAN}{_SOUTHEAST_ASIAN}]")
"""A character of a script without spaces between words."""

_APOSTROPHES = re.compile(r"['’‘`´]")
_WORD = re.compile(rf"[{_KANA_AND_HAN}]|[^\W_{_KANA_AND_HAN}]+")


def split_words(text: str) -> list[str]:
    """Return a text's words without case, accents, apostrophes and punctuation.

    A kana or Chinese character is one word. A Southeast Asian text is split at its vowel signs,
    because one character is much less than a word.
    """
    decomposed = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text).casefold())
    return _WORD.findall("".join(c for c in decomposed if not unicodedata.combining(c)))


def word_runs(words: Sequence[str], length: int) -> Iterator[str]:
    """Yield each run of `length` consecutive words, joined by spaces."""
    for start in range(len(words) - length + 1):
        yield " ".join(words[start : start + length])
