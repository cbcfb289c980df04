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


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _print_misses(int(sys.argv[1]), 20, sys.argv[2])
    else:
        _print_table(int(sys.argv[1]))
        print()
        _print_keys(int(sys.argv[1]))
