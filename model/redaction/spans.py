"""Spans of text: normalise characters, mask what was found."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

Span = tuple[int, int]

MASK = "\x1a"
"""Stands for each character already found: no word, no digit, no space, so no rule crosses it."""

_ODD = re.compile(
    "[\x00-\x08\x0e-\x1f\u00a0\u00ad\u2000-\u2013\u2212\u2028-\u202f\u205f-\u2064\u2066-\u2069\u3000\ufeff\uff01-\uff5e]"
    r"|[^\D0-9]",
)
"""Invisible characters, spaces and hyphens of other widths, digits of other scripts."""
_HYPHENS = frozenset("\u2010\u2011\u2012\u2013\u2212")


def normalize(text: str) -> tuple[str, Sequence[int]]:
    """Return the text in the characters that rules look for, and where each one stood.

    `１２` and `١٢` are `12`; what is invisible goes: it would part a number for a rule alone.
    """
    if not _ODD.search(text):
        return text, range(len(text))
    seen = [(at, c) for at, c in enumerate(text) if not _is_invisible(c)]
    return "".join(_plain(c) for _, c in seen), [at for at, _ in seen]


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf"} and not character.isspace()


def _plain(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if not _ODD.match(character):
        return character
    if character in _HYPHENS:
        return "-"
    folded = unicodedata.normalize("NFKC", character)
    return " " if folded.isspace() else folded


def mask(text: str, spans: Iterable[Span]) -> str:
    """Return the text, as long as before, with ordered spans hidden from further rules."""
    pieces = []
    at = 0
    for start, end in spans:
        pieces += [text[at:start], MASK * (end - start)]
        at = end
    return "".join([*pieces, text[at:]])


def keep_digits(text: str) -> str:
    """Return only the digits of a text."""
    return "".join(filter(str.isdigit, text))
