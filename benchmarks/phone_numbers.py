"""Measure the share of Faker's telephone numbers that redaction finds, for each country.

Run from the repository root: `python -m benchmarks.phone_numbers SEED`. The rules were
written with seeds 11 and 12.
"""

# ruff: noqa: T201 - this script prints a table.

import random
import sys
from collections.abc import Sequence

from faker import Faker

from model.redaction.redact import find_private_parts

LOCALES = (
    "pt_PT", "pt_BR", "en_GB", "en_US", "en_AU", "en_IN",
    "fr_FR", "de_DE", "es_ES", "it_IT", "nl_NL", "pl_PL",
)  # fmt: skip
WITHOUT_A_CUE = (
    "{}", "it's {} lol", "{} thats my mums", "ok {} see you", "here you go: {}!",
    "ana has {}, ask her", "{} or the other one?", "so {}. bye",
)  # fmt: skip
WITH_A_CUE = {
    "en": ("call me at {} after 6", "my new number is {}", "text {} when you land", "tel {}"),
    "pt": ("liga-me pro {} depois das 6", "o meu número é {}", "manda zap no {} kkk", "tel {}"),
    "fr": ("appelle-moi au {} ce soir", "mon numéro c'est {}", "envoie un sms au {}", "tél {}"),
    "de": ("ruf mich an {} nach 6", "meine nummer ist {}", "handy {} bitte", "tel {}"),
    "es": ("llámame al {} luego", "mi número es {}", "mi móvil {} jaja", "tel {}"),
    "it": ("chiamami al {} dopo", "il mio numero è {}", "scrivi su whatsapp {}", "tel {}"),
    "nl": ("bel me op {} straks", "mijn nummer is {}", "app me op {}", "tel {}"),
    "pl": ("zadzwoń {} po 18", "mój numer to {}", "napisz na whatsapp {}", "tel {}"),
}


def recall(locale: str, sentences: Sequence[str], seed: int, count: int) -> float:
    """Return the share of a locale's numbers that are hidden completely in a sentence."""
    fake, chance = Faker(locale), random.Random(seed)
    fake.seed_instance(seed)
    hidden = 0
    for _ in range(count):
        number, sentence = fake.phone_number(), chance.choice(sentences)
        at = sentence.index("{}")
        parts = find_private_parts(sentence.format(number))
        covered = {place for part in parts for place in range(part.start, part.end)}
        hidden += all(at + n in covered for n, c in enumerate(number) if c.isalnum())
    return hidden / count


def _print_table(seed: int, count: int = 2_000) -> None:
    print("| locale | without a cue | with a cue |")
    print("|---|---|---|")
    for locale in LOCALES:
        bare = recall(locale, WITHOUT_A_CUE, seed, count)
        cued = recall(locale, WITH_A_CUE[locale[:2]], seed, count)
        print(f"| {locale} | {bare:.3f} | {cued:.3f} |")


if __name__ == "__main__":
    _print_table(int(sys.argv[1]))
