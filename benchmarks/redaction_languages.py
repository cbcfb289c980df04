"""List what redaction finds and misses, for each language and each form of a key.

Run from the repository root: `python -m benchmarks.redaction_languages SEED`. The rules were
written with seeds 1 to 19. Of `sentences.toml`, a third, chosen by hash, is held out: nobody
looked at its failures while writing rules.
"""

# ruff: noqa: T201 - this script prints tables.

import hashlib
import random
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice, repeat
from pathlib import Path

from faker import Faker

from benchmarks.made_up_keys import KEYS, make_key
from model.redaction.redact import find_private_parts

LOCALES = (
    "en_US", "en_GB", "en_AU", "en_IN", "pt_PT", "pt_BR", "es_ES", "fr_FR", "de_DE", "ru_RU",
    "uk_UA", "it_IT", "nl_NL", "pl_PL", "sv_SE", "da_DK", "no_NO", "fi_FI", "cs_CZ", "sk_SK",
    "hu_HU", "ro_RO", "bg_BG", "hr_HR", "el_GR", "tr_TR", "ar_AA", "he_IL", "fa_IR", "hi_IN",
    "zh_CN", "zh_TW", "ja_JP", "ko_KR", "th_TH", "vi_VN", "id_ID",
)  # fmt: skip
SENTENCES = tomllib.loads(Path(__file__).with_name("sentences.toml").read_text("utf-8"))
"""For each language, the sentences of each kind; `{}` is where the private part stands."""
ANY_LANGUAGE = (
    "{}", "it's {} lol", "{} thats my mums", "ok {} see you", "here you go: {}!",
    "ana has {}, ask her", "{} or the other one?", "so {}. bye",
)  # fmt: skip
AROUND_KEYS = ("{}", "ok {}", "{} thx", "here: {}", "use this one {} ok?")
HELD_OUT_ONE_IN = 3
LEAST = 0.95
COUNT = 400


@dataclass(frozen=True, slots=True)
class Column:
    """A kind of private data: how it is made up, and which sentences of a language tell it."""

    name: str
    make: Callable[[Faker, random.Random], str]
    sentences: str | Sequence[str] = ANY_LANGUAGE


def _make_password(fake: Faker, chance: random.Random) -> str:
    """Return letters and digits, two times in three with signs too."""
    return fake.password(chance.randint(8, 14), special_chars=chance.random() < 2 / 3)


def _make_code(fake: Faker, chance: random.Random) -> str:
    return fake.numerify(chance.choice(("######", "####", "%##-###", "%####", "### ###")))


def _group_by_four(text: str, chance: random.Random) -> str:
    groups = (text[at : at + 4] for at in range(0, len(text), 4))
    return " ".join(groups) if chance.random() < 1 / 2 else text


PHONE = Column("phone", lambda fake, _: fake.phone_number())
PHONE_WITH_A_WORD = Column("phone with a word", PHONE.make, "phone")
COLUMNS = (
    Column("password", _make_password, "password"),
    Column("password first", _make_password, "password_after"),
    Column("code", _make_code, "code"),
    Column("code first", _make_code, "code_after"),
    Column("card", lambda fake, chance: _group_by_four(fake.credit_card_number(), chance)),
    Column("IBAN", lambda fake, chance: _group_by_four(fake.iban(), chance)),
    PHONE,
    PHONE_WITH_A_WORD,
    Column("e-mail", lambda fake, _: fake.email()),
    Column("street", lambda fake, _: fake.street_address().replace("\n", ", ")),
)


@dataclass(frozen=True, slots=True)
class NationalId:
    """A number of persons: a method of Faker or a pattern makes it; a module of stdnum checks it.

    Where Faker's own numbers are not valid, a pattern's random digits are drawn until they are.
    """

    name: str
    locale: str
    make: str
    module: str = ""

    def draw(self, seed: int, count: int) -> list[str]:
        """Return valid numbers; those without check digits are valid by their form."""
        fake = Faker(self.locale)
        fake.seed_instance(seed)
        number = fake.bothify if "#" in self.make else getattr(fake, self.make)
        drawn = (
            number(self.make) if "#" in self.make else number() for _ in repeat(None, 1_000_000)
        )
        is_valid = import_module(f"stdnum.{self.module}").is_valid if self.module else bool
        return list(islice((one for one in map(str.upper, drawn) if is_valid(one)), count))

    @property
    def sentences(self) -> Sequence[str]:
        """Return sentences that name the number."""
        return (f"{self.name} {{}}", f"my {self.name} is {{}}", f"{{}} is my {self.name}")


NATIONAL_IDS = (
    NationalId("CPF", "pt_BR", "cpf", "br.cpf"),
    NationalId("CPF", "pt_BR", "ssn", "br.cpf"),
    NationalId("NIF", "pt_PT", "#########", "pt.nif"),
    NationalId("cartão de cidadão", "pt_PT", "######## # ??#", "pt.cc"),
    NationalId("DNI", "es_ES", "nif", "es.dni"),
    NationalId("NIE", "es_ES", "nie", "es.nie"),
    NationalId("CURP", "es_MX", "curp", "mx.curp"),
    NationalId("RFC", "es_MX", "rfc", "mx.rfc"),
    NationalId("NSS", "es_MX", "ssn", "luhn"),
    NationalId("CUIT", "es_AR", "cuit", "ar.cuit"),
    NationalId("DNI", "es_AR", "dni", "ar.dni"),
    NationalId("RUT", "es_CL", "person_rut", "cl.rut"),
    NationalId("cédula", "es", "###-#######-#", "do.cedula"),
    NationalId("codice fiscale", "it_IT", "ssn", "it.codicefiscale"),
    NationalId("NIR", "fr_FR", "ssn", "fr.nir"),
    NationalId("Steuer-ID", "de_DE", "## ### ### ###", "de.idnr"),
    NationalId("SVNR", "de_AT", "ssn", "at.vnr"),
    NationalId("AHV", "de_CH", "ssn", "ch.ssn"),
    NationalId("BSN", "nl_NL", "ssn", "nl.bsn"),
    NationalId("rijksregisternummer", "nl_BE", "ssn", "be.nn"),
    NationalId("NINO", "en_GB", "AB######C"),
    NationalId("NHS", "en_GB", "### ### ####", "gb.nhs"),
    NationalId("PPS", "en_IE", "#######?", "ie.pps"),
    NationalId("SSN", "en_US", "ssn", "us.ssn"),
    NationalId("SSN", "en_US", "#########", "us.ssn"),
    NationalId("ITIN", "en_US", "itin", "us.itin"),
    NationalId("SIN", "en_CA", "ssn", "ca.sin"),
    NationalId("TFN", "en_AU", "### ### ###", "au.tfn"),
    NationalId("Aadhaar", "en_IN", "#### #### ####", "in_.aadhaar"),
    NationalId("Aadhaar", "en_IN", "aadhaar_id", "in_.aadhaar"),
    NationalId("PAN", "en_IN", "???P?####?", "in_.pan"),
    NationalId("personnummer", "sv_SE", "ssn", "se.personnummer"),
    NationalId("fødselsnummer", "no_NO", "ssn", "no.fodselsnummer"),
    NationalId("CPR", "da_DK", "######-####", "dk.cpr"),
    NationalId("HETU", "fi_FI", "ssn", "fi.hetu"),
    NationalId("kennitala", "is_IS", "1#0###-###9", "is_.kennitala"),
    NationalId("isikukood", "et_EE", "ssn", "ee.ik"),
    NationalId("personas kods", "lv_LV", "ssn", "lv.pvn"),
    NationalId("asmens kodas", "lt_LT", "###########", "lt.asmens"),
    NationalId("PESEL", "pl_PL", "ssn", "pl.pesel"),
    NationalId("rodné číslo", "cs_CZ", "birth_number", "cz.rc"),
    NationalId("rodné číslo", "sk_SK", "birth_number", "sk.rc"),
    NationalId("CNP", "ro_RO", "ssn", "ro.cnp"),
    NationalId("ЕГН", "bg_BG", "##########", "bg.egn"),
    NationalId("OIB", "hr_HR", "ssn", "hr.oib"),
    NationalId("JMBG", "sr_BA", "ssn", "si.emso"),
    NationalId("ЕМБГ", "mk_MK", "ssn", "si.emso"),
    NationalId("EMŠO", "sl_SI", "1#0#9########", "si.emso"),
    NationalId("ΑΜΚΑ", "el_GR", "ssn", "gr.amka"),
    NationalId("TC kimlik", "tr_TR", "ssn", "tr.tckimlik"),
    NationalId("ת.ז", "he_IL", "ssn", "il.idnr"),
    NationalId("СНИЛС", "ru_RU", "###-###-### ##"),
    NationalId("ИНН", "ru_RU", "############", "ru.inn"),
    NationalId("РНОКПП", "uk_UA", "ssn", "ua.rntrc"),
    NationalId("身份证", "zh_CN", "ssn", "iso7064.mod_11_2"),
    NationalId("주민등록번호", "ko_KR", "ssn", "kr.rrn"),
    NationalId("マイナンバー", "ja_JP", "############", "jp.in_"),
    NationalId("เลขบัตรประชาชน", "th_TH", "ssn", "th.pin"),
    NationalId("NIK", "id_ID", "################", "id.nik"),
    NationalId("NRIC", "en", "######-##-####", "my.nric"),
    NationalId("CNIC", "en_PK", "#####-#######-#", "pk.cnic"),
    NationalId("ID", "zu_ZA", "8#0#1#####08#", "za.idnr"),
    NationalId("IRD", "en_NZ", "##-###-###", "nz.ird"),
)
LOOK_ALIKES = {
    "years": ("%###", "in %###", "%###-%###"),
    "dates": ("%#.%#.20##", "20##-0%-1#", "20##0%1#", "%# 0% 20##", "1#/0%/##", "1#0%##"),
    "prices": ("%###.## €", "$ %,###,###", "%.###.###,##", "%## ### kr", "%###### yen"),
    "order numbers": (
        "order #%########", "#%#####", "order %#######", "parcel %###########", "???%########",
        "%##-#######-#######", "invoice 2025/%####", "ticket ?%#####",
    ),
    "scores": ("%#-%# %#-%# %#-%#", "%:# %:#", "%### points", "%## ### ### views", "%#/%#"),
    "unix times": ("13########", "15########", "17########", "16###########", "17###########"),
}  # fmt: skip
"""Patterns of numbers that are no identity numbers; `%` is a digit from 1 to 9."""


def is_held_out(sentence: str) -> bool:
    """Whether nobody looks at this sentence while writing rules: one in three, by its hash."""
    return hashlib.sha256(sentence.encode()).digest()[0] % HELD_OUT_ONE_IN == 0


def sentences_of(column: Column, locale: str) -> Sequence[str]:
    """Return the sentences in which a column's values stand; none if the language has none."""
    if isinstance(column.sentences, str):
        return SENTENCES[locale[:2]].get(column.sentences, ())
    return column.sentences


def find_misses(
    column: Column, locale: str, sentences: Sequence[str], seed: int, count: int
) -> Iterator[str]:
    """Yield the lines in which a letter or digit of a private part remains."""
    fake, chance = Faker(locale), random.Random(seed)
    fake.seed_instance(seed)
    for _ in range(count):
        value, sentence = column.make(fake, chance), chance.choice(sentences)
        line = sentence.replace("{}", value)
        if not _is_hidden(line, sentence.index("{}"), value):
            yield line


def _is_hidden(line: str, at: int, value: str) -> bool:
    hidden = {n for part in find_private_parts(line) for n in range(part.start, part.end)}
    return all(at + n in hidden for n, character in enumerate(value) if character.isalnum())


def recall(column: Column, locale: str, sentences: Sequence[str], seed: int, count: int) -> float:
    """Return the share of a column's values that are hidden completely."""
    return 1 - sum(1 for _ in find_misses(column, locale, sentences, seed, count)) / count


def _print_table(seed: int, count: int = COUNT) -> None:
    """Print each language's recall, and for its own sentences that of the held-out third."""
    print(f"| locale | {' | '.join(column.name for column in COLUMNS)} | not found |")
    print(f"|---|{'---|' * len(COLUMNS)}---|")
    for locale in LOCALES:
        cells, missed = [], []
        for column in COLUMNS:
            sentences = sentences_of(column, locale)
            if not sentences:
                cells.append("")
                continue
            found = recall(column, locale, sentences, seed, count)
            cells.append(f"{found:.2f}")
            held_out = [sentence for sentence in sentences if is_held_out(sentence)]
            if isinstance(column.sentences, str) and held_out:
                found_held_out = recall(column, locale, held_out, seed, count)
                cells[-1] += f" ({found_held_out:.2f})"
            if found < LEAST:
                missed.append(column.name)
        print(f"| {locale} | {' | '.join(cells)} | {', '.join(missed)} |")


def key_recall(form: str, seed: int, count: int) -> float:
    """Return the share of keys in a form whose random part is hidden completely."""
    chance, hidden = random.Random(seed), 0
    for _ in range(count):
        key, private = make_key(form, chance)
        line = chance.choice(AROUND_KEYS).replace("{}", key)
        hidden += _is_hidden(line, line.index(private), private)
    return hidden / count


def _print_keys(seed: int, count: int = COUNT) -> None:
    print("| form | found |")
    print("|---|---|")
    for name, form in KEYS.items():
        print(f"| {name} | {key_recall(form, seed, count):.2f} |")


def _print_misses(seed: int, count: int, locale: str) -> None:
    """Print the lines that are missed, without those of held-out sentences."""
    for column in COLUMNS:
        shown = [one for one in sentences_of(column, locale) if not is_held_out(one)]
        for line in find_misses(column, locale, shown, seed, count) if shown else ():
            print(f"{column.name}: {line}")


def id_recall(number: NationalId, sentences: Sequence[str], seed: int, count: int) -> float:
    """Return the share of valid numbers that are hidden completely."""
    chance, drawn = random.Random(seed), number.draw(seed, count)
    told = ((one, chance.choice(sentences)) for one in drawn)
    hidden = (
        _is_hidden(sentence.replace("{}", one), sentence.index("{}"), one) for one, sentence in told
    )
    return sum(hidden) / len(drawn)


def wrong_ids(patterns: Sequence[str], seed: int, count: int) -> float:
    """Return the share of look-alikes of which a part is hidden as an identity number."""
    fake, chance = Faker(), random.Random(seed)
    fake.seed_instance(seed)
    texts = [fake.bothify(chance.choice(patterns)) for _ in range(count)]
    return sum(any(part.kind == "id" for part in find_private_parts(one)) for one in texts) / count


def _print_national_ids(seed: int, count: int = COUNT) -> None:
    print("\n| number | locale | form | by itself | with its name |\n|---|---|---|---|---|")
    for number in NATIONAL_IDS:
        example = "".join("9" if one.isdigit() else one for one in number.draw(seed, 1)[0])
        form = "".join("A" if one.isalpha() else one for one in example)
        figures = (
            f"{id_recall(number, sentences, seed, count):.2f}"
            for sentences in (ANY_LANGUAGE, number.sentences)
        )
        print(f"| {number.name} | {number.locale} | `{form}` | {' | '.join(figures)} |")
    print("\n| numbers that are none | hidden as one |\n|---|---|")
    for name, patterns in LOOK_ALIKES.items():
        print(f"| {name} | {wrong_ids(patterns, seed, 25 * count):.4f} |")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _print_misses(int(sys.argv[1]), 20, sys.argv[2])
    else:
        _print_table(int(sys.argv[1]))
        _print_national_ids(int(sys.argv[1]))
        print()
        _print_keys(int(sys.argv[1]))
