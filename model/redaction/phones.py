"""Find phone numbers."""

import re
from collections.abc import Iterator
from functools import lru_cache

from model.redaction.spans import MASK, Span, keep_digits, mask

_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_OTHER_NUMBERS = re.compile(
    r"(?<![\d+])(?:[12]\d{3}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2\d{4}"
    r"|97[89][- ](?:\d{1,7}[- ]){3}\d|(?:19|20)\d\d\s?[-/–,\s]\s?(?:19|20)\d\d)(?!\d)"
    rf"|(?<![\d+])(?<!\d\.){_BYTE}(?:\.{_BYTE}){{3}}(?!\.?\d)"
    r"|(?<![\d+-])\d{1,2}-\d{1,2}(?:\s\d{1,2}-\d{1,2})++(?![\d-])",
)
"""Dates, ISBNs, spans of years, IP addresses and match scores."""

_RUN = re.compile(
    r"(?:\+\s?|\(\+?)?\d(?:[ \u00a0.()/-]{0,3}\d){6,}+(?:\s?(?:x|ext\.?)\s?\d{1,5}(?!\d))?",
    re.ASCII | re.IGNORECASE,
)
"""Seven or more digits with the separators that people write between them.

The repetition is possessive, so each run is read once and no part of it is tried alone.
"""
_BAD_START = re.compile(rf"(?:[\w$€£#%+{MASK}-]|(?<![a-zA-Z])[.,]|\d:)\Z", re.ASCII)
_UNIT = r"\s?(?:[€$£%°]|m/s|k?m\b|eur|usd)"
_BAD_END = re.compile(rf"[\w{MASK}]|[.,:/-]\d|{_UNIT}", re.ASCII | re.IGNORECASE)
"""Text next to a run that makes its first or last group part of something else."""
_COUNTED = re.compile(_UNIT, re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3}(?:\.\d{3})+|\d{1,3}(?: \d{3})+")

_PHONE_WORD = re.compile(
    r"(?<!\w)(?:call|ring|text|txt|sms|dial|number|num|nr|no|ph|phone|tel|tlf|telf|cell|mobile|cel"
    r"|celular|handy|festnetz|fixe?|fixo|móvil|movil|portable|whats(?:app)?|zap|wasap|telefone?"
    r"|teléfono|telefono|telefon|telemóvel|telefonnummer|nummer|numéro|numero|número|ligar?|liga-me"
    r"|llámame|llama|ruf|appelle|tél|chiamami|cellulare|bel|numer|zadzwoń|komórka"
    r"|звони|позвони|номер|тел|телефон|вотсап|смс)"
    rf"(?!\w)[^\d\n\[\]{MASK}]{{0,20}}$",
    re.IGNORECASE,
)
_BEFORE = 32  # characters that may hold such a word

_EXTENSION = re.compile(r"[xe]", re.IGNORECASE)
_DECIMAL = re.compile(r"\d+\.\d+")
_LONE_DIGIT = re.compile(r"(?<!\d)\d(?!\d)")
_SHAPES = (
    r"\d{10}|1[3-9]\d{9}|\d{5}[ -]\d{5}|(?:\d{1,3}[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}"
    r"|\d\d \d{4,5}[ -]\d{4}"
    r"|8[ -]?\d{3}[ -]?\d{3}[ -]?\d\d[ -]?\d\d|[2679]\d\d[ -]?\d{3}[ -]?\d{3}"
)
"""Ten digits, China's eleven; groups of India, North America, Brazil, Russia, Portugal, Spain."""
_SHAPE = re.compile(_SHAPES)
_IN_LIST = re.compile(
    rf"(?<![^\s)])(?:{_SHAPES}|\d{{9,13}}"
    r"|\(\d{2,5}\)[ -]?\d{3,5}[ -]?\d{3,4}|0\d(?:[ .-]\d\d){4}"
    r"|0\d{1,4}[ -]\d{5,8}|0\d{1,4}[ .-]\d{3,4}[ .-]\d{3,4}|0\d{3}(?:[ -]\d\d){3})(?!\S)",
)
"""The same and those with a leading 0, for several numbers in a row."""
_LOCAL = re.compile(r"\d{3}-\d{2}-\d{2}|[2-9]\d{2}-\d{3}[1-9]")
_EIGHT = re.compile(r"(\d{4})([ .-]?)(\d{4})")
_DATE = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|(?:(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
    r"(?:19|20)\d\d",
)
_PAIRS = re.compile(r"(?!(?:0\d(?: \d\d){4}(?: |$))+$)\d\d?(?: \d\d?){4,}")
"""Rows of numbers such as a lottery's; French numbers are five pairs with a leading 0."""
_LAST_YEAR = 2100
_LONGEST_SPAN = 300  # years

_FEWEST = 7
_INTERNATIONAL = range(9, 18)
_NATIONAL = range(9, 14)
_LONGEST = 64  # characters of one number

_REGIONS = ("US", "PT", "ES", "BR", "MX", "RU", "PL", "IT", "IN")
"""Regions whose numbers have no leading zero, so that the metadata has to decide."""
_MOST_TRIES = 4
_MOST_LOOKUPS = 4
"""Maximum runs that the metadata decides, at 0.5 ms each; with more, all are hidden."""


def find_phones(text: str) -> Iterator[Span]:
    """Yield telephone numbers, in no particular order.

    The form decides if it can, whatever the country: a leading `+`, 00 or 0, an area code in
    brackets, usual groups, a word for a telephone before it. `PhoneNumberMatcher` decides the rest.
    """
    text = mask(text, (match.span() for match in _OTHER_NUMBERS.finditer(text)))
    doubtful: list[Span] = []
    for match in _RUN.finditer(text):
        start, end = _trim_run(text, *match.span())
        is_named = bool(_PHONE_WORD.search(text[max(0, start - _BEFORE) : start]))
        for piece in _split_at_slashes(text, start, end):
            verdict = _is_phone(text[slice(*piece)], is_named=is_named)
            if verdict:
                yield piece
            elif verdict is None:
                doubtful.append(piece)
            else:
                yield from _numbers_in_list(text, piece, doubtful)
    is_list = len(doubtful) > _MOST_LOOKUPS
    for start, end in doubtful:
        found = ((0, end - start),) if is_list else _find_valid(text[start:end])
        yield from ((start + a, start + b) for a, b in found)


def _trim_run(text: str, start: int, end: int) -> Span:
    """Return a run's bounds without a first or last group that belongs to the adjacent text."""
    is_counted = text[start - 1 : start] in {"$", "€", "£"} or _COUNTED.match(text, end)
    if is_counted and _THOUSANDS.fullmatch(text, start, end):
        return start, start
    if _BAD_START.search(text, max(0, start - 2), start):
        space = text.find(" ", start, end)
        start = end if space < 0 else end - len(text[space:end].lstrip(" ./)-"))
    if _BAD_END.match(text, end):
        space = text.rfind(" ", start, end)
        end = start if space < 0 else start + len(text[start:space].rstrip(" ./(-"))
    return start, end


def _split_at_slashes(text: str, start: int, end: int) -> list[Span]:
    """Split "06 12 34 56 78 / 07 98 76 54 32" into two numbers, but keep "030/1234567" one."""
    for slash, fewest in ((" / ", _FEWEST), ("/", _NATIONAL.start)):
        parts = text[start:end].split(slash)
        if len(parts) > 1 and min(len(keep_digits(part)) for part in parts) >= fewest:
            break
    else:
        return [(start, end)] if start < end else []
    spans = []
    for part in parts:
        spans.append((start + len(part) - len(part.lstrip()), start + len(part.rstrip())))
        start += len(part) + len(slash)
    return spans


def _numbers_in_list(text: str, run: Span, doubtful: list[Span]) -> Iterator[Span]:
    """Yield the numbers in a run of several; add those that the metadata must decide to a list."""
    if _PAIRS.fullmatch(text, *run):
        return
    for match in _IN_LIST.finditer(text, *run):
        verdict = _is_phone(match[0], is_named=False)
        if verdict:
            yield match.span()
        elif verdict is None:
            doubtful.append(match.span())


def _is_phone(written: str, *, is_named: bool) -> bool | None:
    """Whether a run of digits is a telephone number; None if its form does not tell."""
    number = _EXTENSION.split(written[: 2 * _LONGEST], maxsplit=1)[0]
    digits = keep_digits(number)
    if len(number) > _LONGEST or set(digits) <= {"0", "1"}:
        return False
    if number.startswith(("+", "(+")) or digits.startswith("00"):
        return len(digits) in _INTERNATIONAL
    if not is_named and len(digits) not in _NATIONAL:
        return bool(_LOCAL.fullmatch(number)) or _is_eight_digits(number)
    if _is_other_number(number, digits, is_named=is_named):
        return False
    if is_named or digits[0] == "0" or "(" in number or _SHAPE.fullmatch(number):
        return True
    return None


def _is_eight_digits(number: str) -> bool:
    """Whether it may be a local number such as `9876 5432`, not a date or `1500-2000`."""
    match = _EIGHT.fullmatch(number)
    if not match or match[3] == "0000" or _DATE.fullmatch(match[1] + match[3]):
        return False
    first, last = int(match[1]), int(match[3])
    is_round = first % 10 == last % 10 == 0
    is_span = first < _LAST_YEAR and 0 < last - first < _LONGEST_SPAN
    return not (match[2] and (is_round or is_span))


def _is_other_number(number: str, digits: str, *, is_named: bool) -> bool:
    """Whether it is a version, a decimal, a round number or a row such as `4 8 15 16 23 42`."""
    lone = len(_LONE_DIGIT.findall(number))
    is_counted = lone > 1 and "(" not in number
    if len(digits) >= _NATIONAL.stop or is_counted or (lone and "." in number):
        return True
    if is_named:
        return bool(_DECIMAL.fullmatch(number)) and not _EIGHT.fullmatch(number)
    is_grouped = "." in number and (_DECIMAL.fullmatch(number) or _THOUSANDS.fullmatch(number))
    return bool(is_grouped or digits.endswith("0000") or _PAIRS.fullmatch(number))


@lru_cache(1024)
def _find_valid(written: str) -> tuple[Span, ...]:
    """Return the spans in a run that are valid numbers of one of the regions."""
    # Imported here: it takes 0.03 s and 1 MB, which most messages never need.
    from phonenumbers import PhoneNumberMatcher

    for region in _REGIONS:
        found = PhoneNumberMatcher(written, region, max_tries=_MOST_TRIES)
        if spans := tuple((match.start, match.end) for match in found):
            return spans
    return ((0, len(written)),) if PhoneNumberMatcher(f"+{written}", None).has_next() else ()


def clear_cache() -> None:
    """Drop the cached numbers, which are parts of messages."""
    _find_valid.cache_clear()
