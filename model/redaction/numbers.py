"""Find bank cards, IBANs and coordinates."""

import re
from collections.abc import Iterator

from stdnum import luhn
from stdnum.iso7064 import mod_97_10

from model.redaction.spans import Span, keep_digits

_IBAN = re.compile(
    r"(?<![^\W_])[A-Z]{2}\d{2}(?:[ -]?[A-Z\d]){11,32}(?![^\W_])", re.IGNORECASE | re.ASCII
)
_SHORTEST_IBAN = 15
_WORD_END = re.compile(r"(?<=[^ -])(?=[ -]|$)")
_GAPS = re.compile(r"[ -]")

_CARD = re.compile(r"(?<![\w.,/+-])[1-6]\d{3}(?:[ .-]?\d){8,15}(?![\w/]|[.,-]\d)", re.ASCII)
_CARD_STARTS = re.compile(
    r"4\d{12}(?:\d{3})?(?:\d{3})?$|5[1-5]\d{14}$|2[2-7]\d{14}$|3[47]\d{13}$|3(?:0[0-5]|[689])\d{11,14}$"
    r"|35\d{14}$|(?:1800|2131)\d{11}$|6(?:011|5\d\d|4[4-9]\d|2\d\d)\d{12,15}$|(?:50|5[6-9]|6[378])\d{10,17}$",
)
"""Visa, Mastercard, Mir, American Express, Diners, JCB, Discover, UnionPay and Maestro."""

_DEGREES = (
    r"\d{1,2}\s?°\s?(?:\d{1,2}(?:\.\d+)?\s?['′’]\s?)?(?:\d{1,2}(?:\.\d+)?\s?(?:\"|″|''|”)\s?)?"
)
_PLACE = re.compile(
    r"(?<![\w.,/+-])(?:[NS]\s?)?([+-]?\d{1,2}\.\d{4,15})°?(?:\s?[NS])?(?:\s?[,;]\s?|\s)"
    r"(?:[EW]\s?)?([+-]?\d{1,3}\.\d{4,15})°?(?:\s?[EW](?!\w))?(?![\w.,]?\d)"
    rf"|(?<![\w.])(?:[NS]\s?)?{_DEGREES}[NS]?[,;]?\s?(?:[EW]\s?)?\d?{_DEGREES}[EWO](?!\w)",
)


def find_ibans(text: str) -> Iterator[Span]:
    """Yield IBANs whose remainder is right, in whatever groups they are typed."""
    for match in _IBAN.finditer(text):
        if end := _iban_end(match[0]):
            yield match.start(), match.start() + end


def find_cards(text: str) -> Iterator[Span]:
    """Yield card numbers of a known network whose check digit is right."""
    for match in _CARD.finditer(text):
        digits = keep_digits(match[0])
        if _CARD_STARTS.match(digits) and luhn.is_valid(digits):
            yield match.span()


def find_coordinates(text: str) -> Iterator[Span]:
    """Yield coordinates, in degrees with four decimals (eleven metres) or in minutes."""
    for match in _PLACE.finditer(text):
        if not match[1] or (abs(float(match[1])) <= 90 and abs(float(match[2])) <= 180):  # noqa: PLR2004 - degrees
            yield match.span()


def _iban_end(text: str) -> int | None:
    """Return where the IBAN at the start of the text ends: only at the end of a word.

    One end in 97 is right by chance, "… 8595 23 thx for": a last group with a digit is preferred.
    """
    best = None
    for match in _WORD_END.finditer(text):
        at = match.start()
        letters = _GAPS.sub("", text[:at])
        # The first four characters count last.
        if len(letters) < _SHORTEST_IBAN or not mod_97_10.is_valid(letters[4:] + letters[:4]):
            continue
        if not best or _ends_in_digits(text, at - 1):
            best = at
    return best


def _ends_in_digits(text: str, at: int) -> bool:
    """Whether the group of letters and digits that ends here holds a digit."""
    return any(map(str.isdigit, re.split(r"[ -]", text[: at + 1])[-1]))
