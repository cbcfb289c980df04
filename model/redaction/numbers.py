"""Find phone numbers, bank cards, IBANs and coordinates."""

import re
from collections.abc import Iterator
from functools import lru_cache

from stdnum import iban, luhn
from stdnum.iso7064 import mod_97_10

from model.redaction.spans import MASK, Span, keep_digits, mask

_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_OTHER_NUMBERS = re.compile(
    r"(?<![\d+])(?:[12]\d{3}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2\d{4}"
    r"|97[89][- ](?:\d{1,7}[- ]){3}\d|(?:19|20)\d\d\s?[-/–,\s]\s?(?:19|20)\d\d)(?!\d)"
    rf"|(?<![\d+])(?<!\d\.){_BYTE}(?:\.{_BYTE}){{3}}(?!\.?\d)"
    r"|(?<![\d+-])\d{1,2}-\d{1,2}(?:\s\d{1,2}-\d{1,2})++(?![\d-])",
)
"""Dates, ISBNs, year ranges, IP addresses and match scores."""

_RUN = re.compile(
    r"(?:\+\s?|\(\+?)?\d(?:[ \u00a0.()/-]{0,3}\d){6,}+(?:\s?(?:x|ext\.?)\s?\d{1,5}(?!\d))?",
    re.ASCII | re.IGNORECASE,
)
"""Seven or more digits with the separators that people write between them.

The repetition is possessive: each run is read once, and no part of it is tried alone.
"""
_OTHER_BEFORE = re.compile(rf"(?:[\w$€£#%+{MASK}-]|(?<![a-zA-Z])[.,]|\d:)\Z", re.ASCII)
_UNIT = r"\s?(?:[€$£%°]|m/s|k?m\b|eur|usd)"
_OTHER_AFTER = re.compile(rf"[\w{MASK}]|[.,:/-]\d|{_UNIT}", re.ASCII | re.IGNORECASE)
"""Text next to a run that makes its first or last group part of another number or a word."""
_UNIT_AFTER = re.compile(_UNIT, re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3}(?:\.\d{3})+|\d{1,3}(?: \d{3})+")

_PHONE_WORD = re.compile(
    r"(?<!\w)(?:call|ring|text|txt|sms|dial|number|nr|nº|n[°o]?\.?[º°]|№|(?:no|num)\.|ph|phone|tel|tlf|telf|cell|mobile|cel"
    r"|celular|handy|festnetz|fixe?|fixo|móvil|movil|portable|whats(?:app)?|zap|wasap|telefone?"
    r"|teléfono|telefono|telefon|telemóvel|telefonnummer|nummer|numéro|numero|número|ligar?|liga-me"
    r"|llámame|llama|ruf|appelle|tél|chiamami|cellulare|bel|numer|zadzwoń|komórka"
    r"|звони|позвони|номер|тел|телефон|вотсап|смс)"
    rf"(?!\w)[^\d\n\[\]{MASK}]{{0,20}}$",
    re.IGNORECASE,
)
"""`no` and `num` only with a full stop: without one they are other words in most languages."""
_MAX_BEFORE = 32  # characters before a number that are searched for a phone word

_EXTENSION = re.compile(r"[xe]", re.IGNORECASE)
_DECIMAL = re.compile(r"\d+\.\d+")
_UNIX_TIME = re.compile(r"1[3-8]\d{8}")
"""From March 2011 to March 2030, in seconds."""
_LONE_DIGIT = re.compile(r"(?<!\d)\d(?!\d)")
_SHAPES = (
    r"\d{10}|1[3-9]\d{9}|\d{5}[ -]\d{5}|(?:\d{1,3}[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}"
    r"|\d\d \d{4,5}[ -]\d{4}"
    r"|8[ -]?\d{3}[ -]?\d{3}[ -]?\d\d[ -]?\d\d|[2679]\d\d[ -]?\d{3}[ -]?\d{3}"
)
"""Ten digits, China's eleven; the groups of India, North America, Brazil, Russia, Iberia."""
_SHAPE = re.compile(_SHAPES)
_IN_LIST = re.compile(
    rf"(?<![^\s)])(?:{_SHAPES}|\d{{9,13}}"
    r"|\(\d{2,5}\)[ -]?\d{3,5}[ -]?\d{3,4}|0\d(?:[ .-]\d\d){4}"
    r"|0\d{1,4}[ -]\d{5,8}|0\d{1,4}[ .-]\d{3,4}[ .-]\d{3,4}|0\d{3}(?:[ -]\d\d){3})(?!\S)",
)
"""The same, and forms with a leading 0, for several numbers in a row."""
_LOCAL = re.compile(r"\d{3}-\d{2}-\d{2}|[2-9]\d{2}-\d{3}[1-9]")
_EIGHT = re.compile(r"(\d{4})([ .-]?)(\d{4})")
_DATE = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|(?:(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
    r"(?:19|20)\d\d",
)
_PAIRS = re.compile(r"(?!(?:0\d(?: \d\d){4}(?: |$))+$)\d\d?(?: \d\d?){4,}")
"""Rows of numbers such as a lottery's, but not French numbers: five pairs that start with 0."""
_LAST_YEAR = 2100
_MAX_YEAR_RANGE = 300  # years

_MIN_DIGITS = 7
_INTERNATIONAL = range(9, 18)
_NATIONAL = range(9, 14)
_MAX_LENGTH = 64  # characters of one number

_REGIONS = ("US", "PT", "ES", "BR", "MX", "RU", "PL", "IT", "IN")
"""Regions whose numbers have no leading zero, so that `phonenumbers` has to decide."""
_MAX_TRIES = 4
_MAX_LOOKUPS = 4
"""Maximum runs that `phonenumbers` decides, at 0.5 ms each; with more, all are hidden."""

_IBAN = re.compile(
    r"(?<![^\W_])[A-Z]{2}\d{2}(?:[ -]?[A-Z\d]){11,32}(?![^\W_])", re.IGNORECASE | re.ASCII
)
_MIN_IBAN = 15
_MIN_IBAN_DIGITS = 9
"""With fewer digits, words of ordinary text may have correct check digits by chance."""
_WORD_END = re.compile(r"(?<=[^ -])(?=[ -]|$)")
_GROUP_GAP = re.compile(r"[ -]")

_CARD = re.compile(r"(?<![\w.,/+-])[1-9]\d{3}(?:[ .-]?\d){8,15}(?![\w/]|[.,-]\d)", re.ASCII)
_CARD_STARTS = re.compile(
    r"4\d{12}(?:\d{3})?(?:\d{3})?$|5[1-5]\d{14}$|2[2-7]\d{14}$|3[47]\d{13}$|3(?:0[0-5]|[689])\d{11,14}$"
    r"|35\d{14}$|(?:1800|2131)\d{11}$|6(?:011|5\d\d|4[4-9]\d|2\d\d)\d{12,15}$|(?:50|5[6-9]|6[378])\d{10,17}$"
    r"|[2-9]\d{15}$",
)
"""Visa, Mastercard, Mir, American Express, Diners, JCB, Discover, UnionPay and Maestro.

Sixteen digits count in any case: Iran, India, Turkey and Ukraine have their own networks.
"""
_CARD_END = re.compile(r"(?<=\d)(?=[ .-]|$)")
_AFTER_CARD = re.compile(
    r"[\s,;:|/-]{1,3}(?:[^\W\d]{1,16}\.?[\s,;:|/-]{1,3}){0,3}"
    r"((?:0[1-9]|1[0-2])[\s./-]{0,3}(?:20)?[2-4]\d)(?!\d)"
    r"(?:[\s,;:|/-]{1,3}(?:[^\W\d]{1,16}2?[\s,;:|/-]{1,3}){0,3}(\d{3,4})(?![\w.,:]?\d))?",
)
"""The expiry date, and the security code after it."""

_DEGREES = (
    r"\d{1,2}\s?°\s?(?:\d{1,2}(?:\.\d+)?\s?['′’]\s?)?(?:\d{1,2}(?:\.\d+)?\s?(?:\"|″|''|”)\s?)?"
)
_PLACE = re.compile(
    r"(?<![\w.,/+-])(?:[NS]\s?)?([+-]?\d{1,2}\.\d{4,15})°?(?:\s?[NS])?(?:\s?[,;]\s?|\s)"
    r"(?:[EW]\s?)?([+-]?\d{1,3}\.\d{4,15})°?(?:\s?[EW](?!\w))?(?![\w.,]?\d)"
    rf"|(?<![\w.])(?:[NS]\s?)?{_DEGREES}[NS]?[,;]?\s?(?:[EW]\s?)?\d?{_DEGREES}[EWO](?!\w)",
)


def find_phones(text: str) -> Iterator[Span]:
    """Yield telephone numbers, in no particular order.

    The form decides if it can, whatever the country: a leading `+`, 00 or 0, an area code in
    brackets, usual groups, a word for a telephone before it. `PhoneNumberMatcher` decides the rest.

    The matcher alone, tried with 14 regions, does not replace these forms. Of Faker's numbers
    (benchmarks/redaction_languages.py) it finds 0.68 in Brazil, 0.73 in the Netherlands and 0.87 in
    the USA; these forms find at least 0.99 in each of 12 countries. It mistakes dates, scores and
    prices for telephone numbers. 4,000 characters of numbers take it 0.86 s, and these forms 0.02
    s.
    """
    text = mask(text, (match.span() for match in _OTHER_NUMBERS.finditer(text)))
    undecided: list[Span] = []
    for match in _RUN.finditer(text):
        start, end = _trim_run(text, *match.span())
        follows_word = bool(_PHONE_WORD.search(text[max(0, start - _MAX_BEFORE) : start]))
        for piece in _split_at_slashes(text, start, end):
            verdict = _is_phone(text[slice(*piece)], follows_word=follows_word)
            found = [(piece, verdict)]
            if verdict is False:  # it may be several numbers
                is_row = _PAIRS.fullmatch(text, *piece)
                several = () if is_row else _IN_LIST.finditer(text, *piece)
                found = [(one.span(), _is_phone(one[0], follows_word=False)) for one in several]
            yield from (span for span, is_phone in found if is_phone)
            undecided += [span for span, is_phone in found if is_phone is None]
    is_list = len(undecided) > _MAX_LOOKUPS
    for start, end in undecided:
        valid = ((0, end - start),) if is_list else _find_valid_phones(text[start:end])
        yield from ((start + a, start + b) for a, b in valid)


def find_cards(text: str) -> Iterator[Span]:
    """Yield card numbers of a known network with a correct check digit, and what follows them.

    The expiry date and the security code are separate parts.
    """
    for match in _CARD.finditer(text):
        if end := _find_card_end(match[0]):
            yield match.start(), match.start() + end
            if after := _AFTER_CARD.match(text, match.start() + end):
                yield from (after.span(group) for group in (1, 2) if after[group])


def find_ibans(text: str) -> Iterator[Span]:
    """Yield IBANs with correct check digits, in any grouping.

    With few digits, an IBAN must also have the form of its country's.
    """
    at = 0
    while match := _IBAN.search(text, at):
        at = match.start() + 2
        if end := _find_iban_end(match[0]):
            at = match.start() + end
            yield match.start(), at


def find_coordinates(text: str) -> Iterator[Span]:
    """Yield coordinates, in degrees with four decimals (eleven metres) or in minutes."""
    for match in _PLACE.finditer(text):
        if not match[1] or (abs(float(match[1])) <= 90 and abs(float(match[2])) <= 180):  # noqa: PLR2004 - degrees
            yield match.span()


def _trim_run(text: str, start: int, end: int) -> Span:
    """Return a run's bounds without a first or last group that belongs to the adjacent text."""
    has_unit = text[start - 1 : start] in {"$", "€", "£"} or _UNIT_AFTER.match(text, end)
    if has_unit and _THOUSANDS.fullmatch(text, start, end):
        return start, start
    if _OTHER_BEFORE.search(text, max(0, start - 2), start):
        space = text.find(" ", start, end)
        start = end if space < 0 else end - len(text[space:end].lstrip(" ./)-"))
    if _OTHER_AFTER.match(text, end):
        space = text.rfind(" ", start, end)
        end = start if space < 0 else start + len(text[start:space].rstrip(" ./(-"))
    return start, end


def _split_at_slashes(text: str, start: int, end: int) -> list[Span]:
    """Split "06 12 34 56 78 / 07 98 76 54 32" into two numbers, but keep "030/1234567" as one."""
    for slash, min_digits in ((" / ", _MIN_DIGITS), ("/", _NATIONAL.start)):
        parts = text[start:end].split(slash)
        if len(parts) > 1 and min(len(keep_digits(part)) for part in parts) >= min_digits:
            break
    else:
        return [(start, end)] if start < end else []
    spans = []
    for part in parts:
        spans.append((start + len(part) - len(part.lstrip()), start + len(part.rstrip())))
        start += len(part) + len(slash)
    return spans


def _is_phone(run: str, *, follows_word: bool) -> bool | None:
    """Whether a run of digits is a telephone number; None if its form does not decide."""
    number = _EXTENSION.split(run[: 2 * _MAX_LENGTH], maxsplit=1)[0]
    digits = keep_digits(number)
    if len(number) > _MAX_LENGTH or set(digits) <= {"0", "1"}:
        return False
    if number.startswith(("+", "(+")) or digits.startswith("00"):
        return len(digits) in _INTERNATIONAL
    if not follows_word and len(digits) not in _NATIONAL:
        return bool(_LOCAL.fullmatch(number)) or _is_eight_digit_phone(number)
    if _is_other_number(number, digits, follows_word=follows_word):
        return False
    if follows_word or digits[0] == "0" or "(" in number or _SHAPE.fullmatch(number):
        return True
    return None


def _is_eight_digit_phone(number: str) -> bool:
    """Whether this may be a local number such as `9876 5432`: no date, and not `1500-2000`."""
    match = _EIGHT.fullmatch(number)
    if not match or match[3] == "0000" or _DATE.fullmatch(match[1] + match[3]):
        return False
    first, last = int(match[1]), int(match[3])
    is_round = first % 10 == last % 10 == 0
    is_year_range = first < _LAST_YEAR and 0 < last - first < _MAX_YEAR_RANGE
    return not (match[2] and (is_round or is_year_range))


def _is_other_number(number: str, digits: str, *, follows_word: bool) -> bool:
    """Whether this is a version, a decimal, a Unix time, a round number or a row: `4 8 15`."""
    lone = len(_LONE_DIGIT.findall(number))
    is_row = lone > 1 and "(" not in number
    if len(digits) >= _NATIONAL.stop or is_row or (lone and "." in number):
        return True
    if _UNIX_TIME.fullmatch(number) and not follows_word:
        return True
    if follows_word:
        return bool(_DECIMAL.fullmatch(number)) and not _EIGHT.fullmatch(number)
    is_grouped = "." in number and (_DECIMAL.fullmatch(number) or _THOUSANDS.fullmatch(number))
    return bool(is_grouped or digits.endswith("0000") or _PAIRS.fullmatch(number))


@lru_cache(1024)
def _find_valid_phones(run: str) -> tuple[Span, ...]:
    """Return the spans in a run that are valid numbers in one of the regions."""
    # Imported here: it takes 0.03 s and 1 MB, which most messages never need.
    from phonenumbers import PhoneNumberMatcher

    for region in _REGIONS:
        found = PhoneNumberMatcher(run, region, max_tries=_MAX_TRIES)
        if spans := tuple((match.start, match.end) for match in found):
            return spans
    return ((0, len(run)),) if PhoneNumberMatcher(f"+{run}", None).has_next() else ()


def clear_cache() -> None:
    """Drop the cached numbers, which are parts of messages."""
    _find_valid_phones.cache_clear()


def _find_iban_end(text: str) -> int | None:
    """Return where the IBAN at the start of a text ends; it ends only at the end of a word.

    One of 97 ends is valid by chance, "… 8595 23 thx for": an end that makes the form of the
    country's IBANs is preferred, then a last group with a digit.
    """
    best = None
    for match in _WORD_END.finditer(text):
        end = match.start()
        number = _GROUP_GAP.sub("", text[:end])
        # The first four characters count last.
        if len(number) < _MIN_IBAN or not mod_97_10.is_valid(number[4:] + number[:4]):
            continue
        if iban.is_valid(number, check_country=False):
            return end
        last_group = _GROUP_GAP.split(text[:end])[-1]
        has_digits = len(keep_digits(number)) >= _MIN_IBAN_DIGITS
        if has_digits and (not best or any(map(str.isdigit, last_group))):
            best = end
    return best


def _find_card_end(text: str) -> int | None:
    """Return where the card number at the start of a text ends, the last possible group first."""
    for match in reversed(list(_CARD_END.finditer(text))):
        digits = keep_digits(text[: match.start()])
        if _CARD_STARTS.match(digits) and luhn.is_valid(digits):
            return match.start()
    return None
