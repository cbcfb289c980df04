"""Normalise a text's characters and mask spans of it."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

Span = tuple[int, int]

MASK = "\x1a"
"""Replaces each character already found. No rule crosses it: it is not a letter, digit or space."""

_ODD = re.compile(
    "[\x00-\x08\x0e-\x1f\u00a0\u00ad\u2000-\u2013\u2212\u2028-\u202f\u205f-\u2064\u2066-\u2069\u3000\ufeff\uff01-\uff5e]"
    r"|[^\D0-9]",
)
"""Invisible characters, spaces and hyphens of other widths, digits of other scripts."""
_HYPHENS = frozenset("\u2010\u2011\u2012\u2013\u2212")


def normalize(text: str) -> tuple[str, Sequence[int]]:
    """Return a text in the characters that rules look for, and each one's original index.

    `１２` and `١٢` become `12`. Invisible characters are removed, because they can split a number.
    """
    if (text.isascii() and MASK not in text) or not _ODD.search(text):
        return text, range(len(text))
    kept = [
        (at, character)
        for at, character in enumerate(text)
        if unicodedata.category(character) not in {"Cc", "Cf"} or character.isspace()
    ]
    return "".join(_normalize_character(c) for _, c in kept), [at for at, _ in kept]


def _normalize_character(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if not _ODD.match(character):
        return character
    if character in _HYPHENS:
        return "-"
    folded = unicodedata.normalize("NFKC", character)
    return " " if folded.isspace() else folded


def mask(text: str, spans: Iterable[Span]) -> str:
    """Replace ordered spans of a text with `MASK`; the length stays."""
    pieces = []
    at = 0
    for start, end in spans:
        pieces += [text[at:start], MASK * (end - start)]
        at = end
    return "".join([*pieces, text[at:]])


def keep_digits(text: str) -> str:
    """Return only the digits of a text."""
    return "".join(filter(str.isdigit, text))
