"""Where a private part of a text starts and ends, and how the parts already found are hidden."""

from collections.abc import Iterable

Span = tuple[int, int]

MASK = "\x1a"
"""Stands for each character already found: no word, no digit, no space, so no rule crosses it."""


def masked(text: str, spans: Iterable[Span]) -> str:
    """Return the text, as long as before, with ordered spans hidden from further rules."""
    pieces = []
    at = 0
    for start, end in spans:
        pieces += [text[at:start], MASK * (end - start)]
        at = end
    return "".join([*pieces, text[at:]])
