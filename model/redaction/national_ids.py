"""Find national identity, tax and social security numbers of persons.

python-stdnum validates them. It has no list of which of its numbers belong to persons, so the
tables below name its modules. A number counts by itself if its form is its country's own, or if at
most 2 % of random numbers of its length are valid (a date and a check digit, or two check digits).
Every other number, of which one in ten or more is valid, counts only next to a word that names it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import islice

from model.redaction.spans import Span, keep_digits

_MONTH_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_DAY_MONTH = r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])"
_OMOCODE = r"[\dL-NP-V]"
"""A digit of a codice fiscale, or the letter that replaces it when two people have the same."""

_BY_FORM = (
    (r"\d{3}\.\d{3}\.\d{3}-\d\d|\d{9}-\d\d", "br.cpf"),
    (
        r"\d{11}",
        "br.cpf tr.tckimlik pl.pesel be.nn be.bis lt.asmens gr.amka de.idnr no.fodselsnummer",
    ),
    (r"\d\d \d{3} \d{3} \d{3}", "de.idnr"),
    (r"\d\d\.\d\d\.\d\d[- ]\d{3}[ .-]\d\d", "be.nn be.bis"),
    (r"\d{6} \d{5}", "no.fodselsnummer gr.amka"),
    (r"\d\d-\d{8}-\d", "ar.cuit"),
    (r"(?:\d{7,8}|\d{1,2}\.\d{3}\.\d{3})-\d|\d{7}-K|\d\.\d{3}\.\d{3}-K", "cl.rut"),
    (r"\d{6}/\d{3,4}", "cz.rc"),
    (r"(?:19|20)\d{6}[-+]\d{4}", "se.personnummer"),
    (r"\d{6}[-+A-FU-Y]\d{3}[\dA-Y]", "fi.hetu dk.cpr se.personnummer is_.kennitala"),
    (r"\d{6}-\d{5}", "lv.pvn"),
    (r"(?:\d{8}|\d\d\.\d{3}\.\d{3})-?[A-Z]", "es.dni cl.rut"),
    (r"[KLMXYZ][ -]?\d{7}[ -]?[A-Z]", "es.nie es.nif"),
    (
        r"[A-Z]{3} ?[A-Z]{3} ?(?:0{2}[A-EHLMPR-T]0{2}) ?[A-Z]0{3}[A-Z]".replace("0", _OMOCODE),
        "it.codicefiscale",
    ),
    (rf"[A-Z]{{4}}\d\d{_MONTH_DAY}[HMX][A-Z]{{5}}[A-Z\d]\d", "mx.curp"),
    (rf"(?-i:[A-ZÑ&]{{4}}\d\d{_MONTH_DAY}[A-Z\d]{{3}})", "mx.rfc"),
    (r"(?-i:\d{7}[A-W][A-IW]?)", "ie.pps"),
    (r"\d{8} ?\d ?[A-Z]{2}\d", "pt.cc"),
    (r"\d{4} \d{4} \d{4}|\d{4}-\d{4}-\d{4}", "in_.aadhaar jp.in_"),
    (r"\d{3} \d{3} \d{3}|\d{3}-\d{3}-\d{3}", "ca.sin"),
    (r"\d{4}\.\d\d\.\d{3}", "nl.bsn"),
    (r"\d{12}", "ru.inn"),
    (r"\d{13}", "ro.cnp si.emso za.idnr kr.rrn fr.nif ch.ssn"),
    (r"756\.\d{4}\.\d{4}\.\d\d", "ch.ssn"),
    (r"[12378] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", "fr.nir"),
    (rf"\d{{6}}(?:19|20)\d\d{_MONTH_DAY}\d{{3}}[\dX]", "iso7064.mod_11_2"),  # China
    (r"\d{6}-\d\d-\d{4}", "my.nric"),
    (r"\d-\d{4}-\d{5}-\d\d-\d", "th.pin"),
    (r"\d{3}-\d{7}-\d", "do.cedula"),
    (r"\d{5}-\d{7}-\d", "pk.cnic"),
    (r"\d{3}-\d\d-\d{4}", "us.ssn us.itin us.atin"),
    (rf"\d{{4}} ?{_DAY_MONTH}\d\d", "at.vnr"),
    # Without check digits, or with check digits that newer numbers lack:
    (
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d\d){3} ?[A-D]",
        "",
    ),  # NINO
    (rf"\d\d{_MONTH_DAY}-[1-8]\d{{6}}", ""),  # South Korea
    (r"\d{3}-\d{3}-\d{3}[ -]\d\d", ""),  # SNILS
)
"""Forms, and the modules, one of which must find the number valid; no number has two forms."""

_PAN = re.compile(r"(?<!\w)[A-Z]{3}P[A-Z]\d{4}[A-Z](?!\w)")
"""India's taxpayer number: a P in fourth place means a person; there is no check digit."""

_NINE = r"\d{3}([ .-]?)\d{3}\1\d{3}"
_BY_WORD = (
    (r"bsn|burgerservice\w*|sofi(?:nummer)?", _NINE, "nl.bsn"),
    (r"nif|contribuinte|nº? fiscal|número fiscal", _NINE, "pt.nif"),
    (r"(?-i:SIN|NAS)|social insurance|assurance sociale", r"\d{9}", "ca.sin"),
    (r"tfn|tax file", _NINE, "au.tfn"),
    (r"ssn|social security|itin", r"\d{9}|\d{3} \d\d \d{4}", "us.ssn us.itin"),
    (r"ת[.\"״]?ז\.?|(?:תעודת|מספר) ה?זהות|teudat zehut|tz", r"\d{8,9}|\d{8}-\d", "il.idnr"),
    (r"oib", r"\d{11}", "hr.oib"),
    (r"dni|documento", r"\d{1,2}\.?\d{3}\.?\d{3}(?:-?\d)?", "ar.dni pe.cui"),
    (r"c[eé]dula|ced|c\.?i\.?|nuip", r"\d{10,11}|\d{9}-\d", "ec.ci do.cedula co.nit"),
    (r"egn|егн|лнч", r"\d{10}", "bg.egn bg.pnf"),
    (
        r"cpr\W?n\w*|cpr|personn\w*|pnr|kennitala|kt",
        r"\d{10}",
        "dk.cpr se.personnummer is_.kennitala",
    ),
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
    (r"rč|rc|rodn[eé] [čc][ií]slo", r"\d{9,10}", "cz.rc"),
    (r"epic|voter id", r"[A-Z]{3}\d{7}", "in_.epic"),
    (r"рнокпп|іпн|ипн|rntrc", r"\d{10}", "ua.rntrc"),
    (r"carn[eé]t?|ci", r"\d{11}", "cu.ni"),
    (r"nss|imss", r"\d{11}", "luhn"),  # Mexico
    # python-stdnum does not know these:
    (r"снилс|snils", r"\d{11}", ""),
    (r"nino|national insurance|ni number", r"[A-Z]{2}\d{6}[A-Z]", ""),
    (r"taj|adóazonosító\w*|személyi\w*", rf"{_NINE}|\d{{10}}|\d-?\d{{6}}-?\d{{4}}", ""),  # Hungary
    (r"身分證|身份證|身分证", r"[A-Z][1289]\d{8}", ""),  # Taiwan
    (r"cccd|cmnd|căn cước", r"\d{9}|\d{12}", ""),  # Vietnam
    (r"کد ?ملی|شماره ملی|الهوية|هوية|الرقم القومي", r"\d{10}|\d{14}", ""),  # Iran, Arab countries
)
"""Words, the forms of numbers that only count next to one of them, and the modules."""

_SPACED = "[a-zA-Z\u00c0-\u052f]"
"""A letter of a script that separates words by spaces: Latin, Greek, Cyrillic."""
_BEFORE, _AFTER = 32, 24
"""Characters before and after a number in which a word may name it."""
_MAX_CHECKED = 16
"""A text with more candidates is a list of numbers: all the others are hidden without a check."""


@dataclass(frozen=True, slots=True)
class _Named:
    """Numbers of one form that count only near one of the words."""

    words: re.Pattern[str]
    form: re.Pattern[str]
    modules: str


@dataclass(frozen=True, slots=True)
class _Tables:
    """The tables above, compiled; the groups of `by_form` are the rows of `_BY_FORM`."""

    by_form: re.Pattern[str]
    any_word: re.Pattern[str]
    by_word: tuple[_Named, ...]


def find_national_ids(text: str) -> Iterator[Span]:
    """Yield identity numbers of persons whose check digits and dates are valid."""
    candidates = _find_candidates(text)
    for (start, end), modules in islice(candidates, _MAX_CHECKED):
        if _is_valid(text[start:end], modules):
            yield start, end
    yield from (span for span, _ in candidates)


def find_pans(text: str) -> Iterator[Span]:
    """Yield Indian tax numbers of persons, which have fewer digits than all others."""
    for match in _PAN.finditer(text):
        yield match.span()


def _find_candidates(text: str) -> Iterator[tuple[Span, str]]:
    """Yield spans with the form of an identity number, and the modules that validate them."""
    tables = _compile_tables()
    for match in tables.by_form.finditer(text):
        yield match.span(), _BY_FORM[(match.lastindex or 1) - 1][1]
    if tables.any_word.search(text):
        for named in tables.by_word:
            if named.words.search(text):
                for match in named.form.finditer(text):
                    if _is_near(named.words, text, *match.span()):
                        yield match.span(), named.modules


def _is_near(words: re.Pattern[str], text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - _BEFORE) : start], text[end : end + _AFTER]
    return bool(words.search(before) or words.search(after))


def _is_valid(written: str, modules: str) -> bool:
    """Whether one of the modules finds a number valid; without modules, its form is enough."""
    number = written.upper().replace(".", "").replace(" ", "")
    if set(keep_digits(number)) <= {"0", "1"}:  # a binary number
        return False
    names = modules.split()
    return not names or any(import_module(f"stdnum.{one}").is_valid(number) for one in names)


@lru_cache(1)
def _compile_tables() -> _Tables:
    """Compile the tables when a message has enough digits, and not when this module is imported."""
    return _Tables(
        by_form=_compile_form("|".join(f"({_guard(form)})" for form, _ in _BY_FORM)),
        any_word=_compile_words("|".join(words for words, _, _ in _BY_WORD)),
        by_word=tuple(
            _Named(_compile_words(words), _compile_form(_guard(form)), modules)
            for words, form, modules in _BY_WORD
        ),
    )


def _compile_words(words: str) -> re.Pattern[str]:
    """Compile words that stand alone; scripts without spaces have no such limits."""
    return re.compile(rf"(?<!{_SPACED})(?=[^\W\d])(?:{words})(?!{_SPACED})", re.IGNORECASE)


def _guard(form: str) -> str:
    """Keep a form with spaces from matching a part of a longer row of digits."""
    return rf"(?<![\d)] )(?:{form})(?! \d)" if " " in form else form


def _compile_form(form: str) -> re.Pattern[str]:
    """Compile a form so that it isn't part of another number, a word, an amount or an order."""
    return re.compile(
        rf"(?<![\w+$€£#])(?<![\d)][.,/-])(?<!\))(?:{form})(?!\w|[.,/+-]\d|\s?[€$£%])",
        re.IGNORECASE | re.ASCII,
    )
