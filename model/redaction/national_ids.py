"""Find national identity, tax and social security numbers of persons.

python-stdnum validates them. It has no list of which of its numbers belong to persons, so the
tables below name its modules. A number counts by itself if its form is its country's own, or if at
most 2 % of random numbers of its length are valid (a date and a check digit, or two check digits).
Every other number, of which one in ten or more is valid, counts only beside a word that names it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import islice

from model.redaction.spans import Span

_MONTH_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_DAY_MONTH = r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])"
_OMOCODE = r"[\dL-NP-V]"
"""A digit of a codice fiscale, or the letter that replaces it when two people have the same."""

_BY_FORM = (
    (r"\d{3}\.\d{3}\.\d{3}-\d\d|\d{9}-\d\d", "br.cpf"),
    (
        r"\d{11}",
        "br.cpf tr.tckimlik pl.pesel be.nn be.bis ee.ik lt.asmens gr.amka no.fodselsnummer de.idnr"
        " ar.cuit",
    ),
    (r"\d\d \d{3} \d{3} \d{3}", "de.idnr"),
    (r"\d\d\.\d\d\.\d\d[- ]\d{3}[ .-]\d\d", "be.nn be.bis"),
    (r"\d{6} \d{5}", "no.fodselsnummer gr.amka"),
    (r"\d\d-\d{8}-\d", "ar.cuit"),
    (r"\d{1,2}\.\d{3}\.\d{3}-[\dK]|\d{7,8}-[\dK]", "cl.rut"),
    (r"\d{6}/\d{3,4}", "cz.rc"),
    (r"(?:19|20)?\d{6}[-+]\d{4}", "dk.cpr se.personnummer is_.kennitala"),
    (r"\d{6}[-+A-FU-Y]\d{3}[\dA-Y]", "fi.hetu"),
    (r"\d{6}-\d{5}", "lv.pvn"),
    (r"(?:\d{8}|\d\d\.\d{3}\.\d{3})-?[A-Z]", "es.dni"),
    (r"[KLMXYZ][ -]?\d{7}[ -]?[A-Z]", "es.nie es.nif"),
    (
        rf"[A-Z]{{3}} ?[A-Z]{{3}} ?{_OMOCODE}{{2}}[A-EHLMPR-T]{_OMOCODE}{{2}}"
        rf" ?[A-Z]{_OMOCODE}{{3}}[A-Z]",
        "it.codicefiscale",
    ),
    (rf"[A-Z]{{4}}\d\d{_MONTH_DAY}[HMX][A-Z]{{5}}[A-Z\d]\d", "mx.curp"),
    (rf"(?-i:[A-ZÑ&]{{4}}\d\d{_MONTH_DAY}[A-Z\d]{{3}})", "mx.rfc"),
    (r"(?-i:[A-Z]{3}P[A-Z]\d{4}[A-Z])", "in_.pan"),
    (r"(?-i:\d{7}[A-W][A-IW]?)", "ie.pps"),
    (r"\d{8} ?\d ?[A-Z]{2}\d", "pt.cc"),
    (r"\d{4}([ -])\d{4}\1\d{4}", "in_.aadhaar jp.in_"),
    (r"\d{3}([ -])\d{3}\1\d{3}", "ca.sin"),
    (r"\d{4}\.\d\d\.\d{3}", "nl.bsn"),
    (r"\d{12}", "ru.inn"),
    (r"\d{13}", "ro.cnp si.emso za.idnr kr.rrn fr.nif"),
    (r"756\.?\d{4}\.?\d{4}\.?\d\d", "ch.ssn"),
    (r"[12378] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", "fr.nir"),
    (rf"\d{{6}}(?:19|20)\d\d{_MONTH_DAY}\d{{3}}[\dX]", "iso7064.mod_11_2"),  # China
    (r"\d{6}-\d\d-\d{4}", "my.nric"),
    (r"\d-\d{4}-\d{5}-\d\d-\d", "th.pin"),
    (r"\d{3}-\d{7}-\d", "do.cedula"),
    (r"\d{5}-\d{7}-\d", "pk.cnic"),
    (r"\d{3}-\d\d-\d{4}", "us.ssn us.itin us.atin"),
    (rf"\d{{4}} {_DAY_MONTH}\d\d", "at.vnr"),
    # Without check digits, or with check digits that newer numbers lack:
    (r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d\d){3} ?[A-D]", ""),  # NINO
    (rf"\d\d{_MONTH_DAY}-[1-8]\d{{6}}", ""),  # South Korea
    (r"\d{3}-\d{3}-\d{3}[ -]\d\d", ""),  # SNILS
)
"""Forms, and the modules of which one must find the number valid."""

_NINE = r"\d{3}([ .-]?)\d{3}\1\d{3}"
_BY_WORD = (
    (r"bsn|burgerservice\w*|sofi(?:nummer)?", _NINE, "nl.bsn"),
    (r"nif|contribuinte|nº? fiscal|número fiscal", _NINE, "pt.nif"),
    (r"(?-i:SIN|NAS)|social insurance|assurance sociale", r"\d{9}", "ca.sin"),
    (r"tfn|tax file", _NINE, "au.tfn"),
    (r"ssn|social security|itin", r"\d{9}|\d{3} \d\d \d{4}", "us.ssn us.itin"),
    (r"ת[.\"״]?ז\.?|תעודת זהות|(?:מספר|ת\.) זהות|teudat zehut|tz", r"\d{8,9}|\d{8}-\d", "il.idnr"),
    (r"oib", r"\d{11}", "hr.oib"),
    (r"dni|documento", r"\d\d\.?\d{3}\.?\d{3}(?:-?\d)?", "ar.dni pe.cui"),
    (r"c[eé]dula|ced|c\.?i\.?|nuip", r"\d{10,11}|\d{9}-\d", "ec.ci do.cedula co.nit"),
    (r"egn|егн|лнч", r"\d{10}", "bg.egn bg.pnf"),
    (r"cpr\W?n\w*|cpr|personn\w*|pnr|kennitala|kt", r"\d{10}", "dk.cpr se.personnummer is_.kennitala"),
    (r"personn\w*|pnr", r"(?:19|20)\d{10}", "se.personnummer"),
    (r"nhs|utr", r"\d{3}([ -]?)\d{3}\1\d{4}|\d{5} ?\d{5}", "gb.nhs gb.utr"),
    (r"svn?r|sv[ -]?nummer|vsnr|sozialversicherung\w*", r"\d{10}", "at.vnr"),
    (r"nik|ktp", r"\d{16}", "id.nik"),
    (r"a?adh?aar|aadhar|आधार|uid(?:ai)?", r"\d{12}", "in_.aadhaar"),
    (r"my ?number|マイナンバー|個人番号|マイナ", r"\d{12}", "jp.in_"),
    (r"ic|nric|mykad", r"\d{12}", "my.nric"),
    (r"thai id|เลขบัตร\w*|บัตรประชาชน\w*|เลขประจำตัว\w*", r"\d{13}", "th.pin"),
    (r"afm|αφμ|α\.φ\.μ\.", r"\d{9}", "gr.vat"),
    (r"ird", r"\d{2,3}-?\d{3}-?\d{3}", "nz.ird"),
    (r"rut|run", r"\d{7,8}[\dK]", "cl.rut"),
    (r"cnic", r"\d{13}", "pk.cnic"),
    (r"rč|rc|rodn[eé] č?c?íslo|rodne cislo", r"\d{9,10}", "cz.rc"),
    (r"epic|voter id", r"[A-Z]{3}\d{7}", "in_.epic"),
    (r"рнокпп|іпн|ипн|rntrc", r"\d{10}", "ua.rntrc"),
    (r"carn[eé]t?|ci", r"\d{11}", "cu.ni"),
    (r"nss|imss", r"\d{11}", "luhn"),  # Mexico
    (r"снилс|snils", r"\d{11}", ""),
)
"""Words, the forms of numbers that only count beside one of them, and the modules."""

_BEFORE, _AFTER = 32, 24
"""Characters before and after a number in which a word may name it."""
_MAX_CHECKED = 16
"""A text with more candidates is a list of numbers: all the others are hidden without a check."""


@dataclass(frozen=True, slots=True)
class _Number:
    """Numbers of one form; `words` is the pattern that must be near, None if none is needed."""

    form: re.Pattern[str]
    modules: tuple[str, ...]
    words: re.Pattern[str] | None = None


def find_national_ids(text: str) -> Iterator[Span]:
    """Yield identity numbers of persons whose check digits and dates are valid."""
    by_form, by_word, any_word = _numbers()
    if any_word.search(text):
        by_form += tuple(number for number in by_word if number.words.search(text))
    candidates = (
        (number, match.span())
        for number in by_form
        for match in number.form.finditer(text)
        if number.words is None or _is_near(number.words, text, *match.span())
    )
    for number, (start, end) in islice(candidates, _MAX_CHECKED):
        if _is_valid(text[start:end], number.modules):
            yield start, end
    yield from (span for _, span in candidates)


def _is_near(words: re.Pattern[str], text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - _BEFORE) : start], text[end : end + _AFTER]
    return bool(words.search(before) or words.search(after))


def _is_valid(written: str, modules: tuple[str, ...]) -> bool:
    """Whether one of the modules finds a number valid; without modules, its form is enough."""
    number = written.upper().replace(".", "").replace(" ", "")
    return not modules or any(import_module(f"stdnum.{one}").is_valid(number) for one in modules)


@lru_cache(1)
def _numbers() -> tuple[tuple[_Number, ...], tuple[_Number, ...], re.Pattern[str]]:
    """Compile the tables; only messages with several digits need them."""
    by_form = tuple(_Number(_compile(form), tuple(names.split())) for form, names in _BY_FORM)
    by_word = tuple(
        _Number(_compile(form), tuple(names.split()), _compile_words(words))
        for words, form, names in _BY_WORD
    )
    return by_form, by_word, _compile_words("|".join(words for words, _, _ in _BY_WORD))


def _compile_words(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)


def _compile(form: str) -> re.Pattern[str]:
    """Compile a form so that it isn't part of another number, a word, an amount or an order."""
    before, after = (r"(?<![\d)] )", r"(?! \d)") if " " in form else ("", "")
    return re.compile(
        rf"(?<![\w+$€£#])(?<![\d)][.,/-])(?<!\)){before}(?:{form})(?!\w|[.,/+-]\d|\s?[€$£%]){after}",
        re.IGNORECASE | re.ASCII,
    )
