import random

import pytest
from faker import Faker

from benchmarks.redaction_languages import (
    ANY_LANGUAGE,
    LOOK_ALIKES,
    NATIONAL_IDS,
    id_recall,
    wrong_ids,
)
from model.redaction.redact import redact

SEED = 5
COUNT = 20
LEAST_RECALL = 0.95
NAMED_ONLY = {
    ("NIF", "pt_PT"), ("NSS", "es_MX"), ("DNI", "es_AR"), ("BSN", "nl_NL"), ("TFN", "en_AU"),
    ("SSN", "en_US"), ("Aadhaar", "en_IN"), ("ЕГН", "bg_BG"), ("OIB", "hr_HR"), ("ת.ז", "he_IL"),
    ("マイナンバー", "ja_JP"), ("NIK", "id_ID"), ("IRD", "en_NZ"), ("РНОКПП", "uk_UA"),
}  # fmt: skip
"""Numbers of which one in ten random ones is valid, and that have no form of their own."""


@pytest.mark.parametrize("number", NATIONAL_IDS, ids=lambda one: f"{one.locale} {one.make}")
def test_valid_numbers_of_each_country_are_hidden(number):
    assert id_recall(number, number.sentences, SEED, COUNT) >= LEAST_RECALL
    if (number.name, number.locale) not in NAMED_ONLY:
        assert id_recall(number, ANY_LANGUAGE, SEED, COUNT) >= LEAST_RECALL


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CPF: 390.533.447-05!", "CPF: [id]!"),
        ("o meu é 39053344705", "o meu é [id]"),
        ("dni 54362315K", "dni [id]"),
        ("54362315-k", "[id]"),
        ("RSS MRA 85T10 A562S", "[id]"),
        ("rssmra85t10a562s", "[id]"),
        ("2 95 10 99 126 111 93", "[id]"),
        ("44051401359", "[id]"),
        ("ab 12 34 56 c", "[id]"),
        ("120464-126J", "[id]"),
        ("85.07.30-033 28", "[id]"),
        ("(710319/2745)", "([id])"),
        ("756.9217.0769.85", "[id]"),
        ("11010519491231002x", "[id]"),
        ("BOXW310820HNERXN09", "[id]"),
        ("111222333 is my BSN", "[id] is my BSN"),
        ("burgerservicenummer 1112.22.333", "burgerservicenummer [id]"),
        ("私のマイナンバーは123456789018です", "私のマイナンバーは[id]です"),
        ("我的身份证号是11010519491231002X", "我的身份证号是[id]"),
        ("a TAJ számom 123 456 788", "a TAJ számom [id]"),
    ],
)
def test_a_number_is_hidden_in_the_forms_that_people_write(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    ["390.533.447-06", "54362315L", "RSSMRA85T10A562T", "44051401358", "bsn 111222334",
     "111222333 bottles", "BSN is short for burgerservicenummer", "01010101011 0101101001010",
     "pi is 3.14159265359", "order #44051401359", "v44051401359", "44051401359€"],
)  # fmt: skip
def test_numbers_that_fail_their_check_or_are_part_of_others_are_no_ids(text):
    assert "[id]" not in redact(text)


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_few_other_numbers_are_taken_for_ids(name):
    assert wrong_ids(LOOK_ALIKES[name], SEED, 500) <= 0.025


def test_no_text_of_digits_and_letters_is_an_error():
    fake, chance = Faker(), random.Random(SEED)
    fake.seed_instance(SEED)
    forms = [number.make for number in NATIONAL_IDS if "#" in number.make]

    for _ in range(500):
        redact(fake.bothify(chance.choice(forms)))
