"""A text as words, in every script: what ROUGE, distinct-n and the search for copies count."""

import unicodedata
from functools import lru_cache

_APOSTROPHES = "'’ʼ"
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x4DBF),  # Han from here on
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
"""Scripts without spaces between words: each character counts as one."""


def words(text: str) -> list[str]:
    """Return the words of a text without regard to case; emoji are words, punctuation is none."""
    found: list[str] = []
    for token in text.casefold().split():
        found += (token,) if token.isascii() and token.isalnum() else _pieces(token)
    return found


@lru_cache(1 << 16)
def _pieces(token: str) -> tuple[str, ...]:
    pieces: list[str] = []
    is_open = False  # whether the last piece is a word that goes on
    for char in token:
        kind = unicodedata.category(char)[0]
        alone = kind == "S" or (kind in "LN" and _is_unspaced(char))
        if kind == "M" or (kind in "LN" and not alone):
            if is_open:
                pieces[-1] += char
            elif kind != "M":
                pieces.append(char)
            is_open = is_open or kind != "M"
        elif alone:
            pieces.append(char)
            is_open = False
        elif char not in _APOSTROPHES:
            is_open = False
    return tuple(pieces)


def _is_unspaced(char: str) -> bool:
    number = ord(char)
    return any(first <= number <= last for first, last in _UNSPACED)
