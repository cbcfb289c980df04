"""What in a message is a bank card, an IBAN, a position on the map or a telephone number."""

import re
from collections.abc import Iterator

from model.checksums import is_luhn, remainder_97
from model.spans import MASK, Span, masked

_IBAN = re.compile(
    r"(?<![^\W_])[A-Z]{2}\d{2}(?:[ -]?[A-Z\d]){11,32}(?![^\W_])", re.IGNORECASE | re.ASCII
)
_SHORTEST_IBAN = 15

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

_NUMBER = re.compile(
    rf"(?<![\w.,$€£#%+{MASK}-])(?<!\d[ :/])(?:\+\s?|\(\+?)?\d(?:[ \u00a0.()/-]{{0,3}}\d){{6,26}}"
    rf"(?:\s?(?:x|ext\.?)\s?\d{{1,5}})?(?![\w%€$£°{MASK}]|[.,:/-]\d|\s?(?:[€$%]|m/s|k?m\b|eur|usd))",
    re.ASCII | re.IGNORECASE,
)
_NO_NUMBER = re.compile(
    r"(?<![\d+])(?:\d{4}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2\d{4}|\d{1,3}(?:\.\d{1,3}){3}"
    r"|97[89][- ](?:\d{1,7}[- ]){3}\d|(?:19|20)\d\d\s?[-/–,\s]\s?(?:19|20)\d\d)(?!\d)",
)
"""Dates, IP addresses, ISBNs and spans of years."""
_PHONE_WORD = re.compile(
    r"(?<!\w)(?:call|ring|text|txt|sms|dial|number|num|nr|no|ph|phone|tel|tlf|telf|cell|mobile|cel"
    r"|celular|handy|festnetz|fixe?|fixo|móvil|movil|portable|whats(?:app)?|zap|wasap|telefone?"
    r"|teléfono|telefono|telefon|telemóvel|telefonnummer|nummer|numéro|numero|número|ligar?|liga-me"
    r"|llámame|llama|ruf|appelle|tél|звони|позвони|номер|тел|телефон|вотсап|смс)"
    rf"(?!\w)[^\d\n\[\]{MASK}]{{0,20}}$",
    re.IGNORECASE,
)
_BEFORE = 32
_EXTENSION = re.compile(r"[xe]", re.IGNORECASE)
_DECIMAL = re.compile(r"\d+\.\d+")
_SHAPE = re.compile(
    r"(?:.*\D)?\d{3}[ .-]\d{3}[ .-]\d{4}|(?:0\d\d|\d\d) \d{4,5}[ -]\d{4}"
    r"|8[ -]?\d{3}[ -]?\d{3}[ -]?\d\d[ -]?\d\d|[2679]\d\d[ -]?\d{3}[ -]?\d{3}",
)
"""America's groups, Brazil's, Russia's with its trunk 8, nine digits as Portugal and Spain do."""
_COUNTED = re.compile(r"(?<!\d)\d(?!\d).*(?<!\d)\d(?!\d)")
"""Two digits on their own: `4 8 15 16 23 42` is no telephone number."""
_LOCAL = re.compile(r"\d{3}-\d{2}-\d{2}|[2-9]\d{2}-\d{3}[1-9]")
_INTERNATIONAL = range(9, 18)
_NATIONAL = range(9, 14)
_LONGEST_NATIONAL = 13
_WITHOUT_TRUNK = ("US", "PT", "ES", "BR", "MX", "RU")
"""Regions whose numbers are written without a leading zero, where the metadata has to decide."""


def ibans(text: str) -> Iterator[Span]:
    """Yield IBANs whose remainder is right, in whatever groups they are typed."""
    for match in _IBAN.finditer(text):
        if end := _iban_end(match[0]):
            yield match.start(), match.start() + end


def cards(text: str) -> Iterator[Span]:
    """Yield card numbers of a known network whose check digit is right."""
    for match in _CARD.finditer(text):
        digits = _digits(match[0])
        if _CARD_STARTS.match(digits) and is_luhn(digits):
            yield match.span()


def places(text: str) -> Iterator[Span]:
    """Yield coordinates, in degrees with four decimals (eleven metres) or in minutes."""
    for match in _PLACE.finditer(text):
        if not match[1] or (abs(float(match[1])) <= 90 and abs(float(match[2])) <= 180):  # noqa: PLR2004 - degrees
            yield match.span()


def phones(text: str) -> Iterator[Span]:
    """Yield telephone numbers."""
    text = masked(text, (match.span() for match in _NO_NUMBER.finditer(text)))
    for match in _NUMBER.finditer(text):
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        is_named = bool(_PHONE_WORD.search(before))
        for start, end in _numbers_in(match[0]):
            if _is_phone(match[0][start:end], is_named=is_named):
                yield match.start() + start, match.start() + end


def _numbers_in(run: str) -> list[Span]:
    """Split "06 12 34 56 78 / 07 98 76 54 32" into two numbers, but keep "030/1234567" one."""
    before, slash, after = run.partition("/")
    if not slash or min(len(_digits(before)), len(_digits(after))) < _NATIONAL.start:
        return [(0, len(run))]
    return [(0, len(before.rstrip())), (len(run) - len(after.lstrip()), len(run))]


def _iban_end(text: str) -> int | None:
    """Return where the IBAN at the start of the text ends: only at the end of a word.

    One end in 97 is right by chance, "… 8595 23 thx for": a last group with a digit is preferred.
    """
    letters = [(at, letter) for at, letter in enumerate(text) if letter.isalnum()]
    first = "".join(letter for _, letter in letters[:4])
    remainder, best = 0, None
    for count, (at, letter) in enumerate(letters[4:], 5):
        remainder = remainder_97(letter, remainder)
        ends = not text[at + 1 : at + 2].isalnum() and count >= _SHORTEST_IBAN
        # The first four characters count last.
        if ends and remainder_97(first, remainder) == 1 and (not best or _ends_in_digits(text, at)):
            best = at + 1
    return best


def _ends_in_digits(text: str, at: int) -> bool:
    """Whether the group of letters and digits that ends here holds a digit."""
    return any(map(str.isdigit, re.split(r"[ -]", text[: at + 1])[-1]))


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _is_phone(written: str, *, is_named: bool) -> bool:
    """Whether a run of digits is a telephone number.

    Named as one, with a `+` or 00, a trunk 0, an area code in brackets or grouped as a country
    groups its numbers it is; otherwise the metadata of six regions decides. Round numbers and
    decimals never are.
    """
    number = _EXTENSION.split(written, maxsplit=1)[0]
    digits = _digits(number)
    if _DECIMAL.fullmatch(number) or (digits.endswith("0000") and not is_named):
        return False
    if number.startswith(("+", "(+")) or digits.startswith("00"):
        return len(digits) in _INTERNATIONAL
    if is_named:
        return len(digits) <= _LONGEST_NATIONAL and not _COUNTED.search(number)
    if len(digits) not in _NATIONAL:
        return len(digits) < _NATIONAL.start and _is_short(number)
    if digits[0] == "0" or "(" in number or _SHAPE.fullmatch(number):
        return True
    return not _COUNTED.search(number) and _is_valid(digits)


def _is_short(number: str) -> bool:
    """Whether seven digits are written as a local number, `555-0142` or `123-45-67`."""
    return bool(_LOCAL.fullmatch(number))


def _is_valid(digits: str) -> bool:
    # Here, not above: 0.1 s and 5 MB that most messages never need.
    import phonenumbers

    for region in _WITHOUT_TRUNK:
        try:
            number = phonenumbers.parse(digits, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number_for_region(number, region):
            return True
    return False
