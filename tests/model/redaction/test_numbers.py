import json

import pytest

from benchmarks.redaction_languages import PHONE, PHONE_WITH_A_WORD, recall, sentences_of
from model.redaction.redact import find_private_parts, redact

LEAST_RECALL = 0.97
SEED = 11
LOCALES = (
    "pt_PT", "pt_BR", "en_GB", "en_US", "en_AU", "en_IN",
    "fr_FR", "de_DE", "es_ES", "it_IT", "nl_NL", "pl_PL",
)  # fmt: skip


@pytest.mark.parametrize("column", [PHONE, PHONE_WITH_A_WORD], ids=lambda column: column.name)
@pytest.mark.parametrize("locale", LOCALES)
def test_numbers_of_each_country_are_hidden_with_and_without_a_cue(locale, column):
    sentences = sentences_of(column, locale)

    assert recall(column, locale, sentences, SEED, 250) >= LEAST_RECALL


@pytest.mark.parametrize(
    "number",
    ["06.12.34.56.78", "+33.6.12.34.56.78", "06-12-34-56-78", "(06) 12 34 56 78",
     "+33 6.12.34.56.78",
     "0611.22.33.44", "612.34.56.78", "0488.123.456", "020.7946.0958", "+1.415.555.0132",
     "9876 5432", "4538.4019", "9045-3955", "77436687", "(02) 9876-5432", "02 12345678",
     "5490267304", "98765 43210", "504 940 326", "32 451 45 06", "375687789", "11987654320",
     "5511987654321", "447911123456", "0049 170 1234567", "030/12345678", "+49 (0)170/1234567",
     "+44 20 7946 0958 ext 12", "8-912-345-67-89", "8(912)3456789", "(351)912345678",
     "+351–912–345–678", "(0)6 12 34 56 78"],
)  # fmt: skip
def test_a_number_is_hidden_with_any_separators(number):
    assert redact(f"ok {number} bye") == "ok [phone] bye"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("912345678 934567890", "[phone] [phone]"),
        ("912345678/934567890/961234567", "[phone]/[phone]/[phone]"),
        ("06 12 34 56 78 07 98 76 54 32", "[phone] [phone]"),
        ("(415) 555-0132 (415) 555-0133", "[phone] [phone]"),
        ("912345678\n934 567 890", "[phone]\n[phone]"),
        ("+351 912 345 678 / 934 567 890", "[phone] / [phone]"),
        ("014 460-26-37 / 362-00-17", "[phone] / [phone]"),
        ("at 10:30 912345678", "at 10:30 [phone]"),
        ("at 10:30 912 345 678", "at 10:30 [phone]"),
        ("tel.912345678", "tel.[phone]"),
        ("1)912345678 2)934567890", "1)[phone] 2)[phone]"),
        ("912 345 678 2x", "[phone] 2x"),
        ("no. 1234567", "no. [phone]"),
        ("nº 1234567", "nº [phone]"),
        ("call 1701234567", "call [phone]"),
        ("+123456789 " * 4, "[phone] " * 4),
    ],
)
def test_numbers_beside_other_numbers_are_hidden(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    ["Windows 10.0.19045.3930", "version no 10.0.19045.3930", "chrome 119.0.6045.105",
     "python 3.11.7 and 3.12.1", "1.2.3.4.5.6.7.8.9", "v2024.03.01.1200",
     "192.168.100.200", "192.168.100.200:8080", "10.0.0.1/24", "8.8.8.8 8.8.4.4",
     "2024-03-01 12:30:00", "01.02.2024 - 15.02.2024", "3/10/2011", "20240301",
     "IMG_20240301_123456",
     "5.10.2023 14.30", "1939-1945", "2018/2019 and 2019/2020", "12:30:45.123456",
     "10.30-11.30 12.00-13.30", "$1,234,567.89", "1.234.567,89 €", "1 234 567 €", "$10 000 000 000",
     "10 000 000 000 €", "1.000.000.000", "R$ 1.500,00", "912.345.678 people", "12.345.678",
     "21-14 25-23 25-21", "25-23 25-21 19-25 15-13", "102-98", "3-1, 2-0, 4-4", "6-4 3-6 7-5 6-2",
     "3 17 22 31 45 49", "03 17 22 31 45 49", "10 20 30 40 50", "1 2 3 4 5 6 7 8 9 10 11 12",
     "1500-2000 words", "3.14159265", "3141.59265", "99.999999%", "10000000", "110011010",
     "SKU-12345678", "x,.912345678",
     "1920x1080 2560x1440", "5x5 10x10", "978-3-16-148410-0", "00:11:22:33:44:55"],
)  # fmt: skip
def test_versions_addresses_dates_prices_and_scores_are_shown(text):
    assert redact(f"it is {text} ok") == f"it is {text} ok"


def test_at_most_one_of_10000_lines_of_the_demo_chat_is_wrongly_hidden(sample_chat):
    chat = json.loads(sample_chat.read_text("utf-8"))
    texts = [e["text"] for e in chat["messages"] if isinstance(e.get("text"), str)]

    # Nobody in the demo chat writes a telephone number, a card or an identity number.
    wrong = [
        text
        for text in texts
        for part in find_private_parts(text)
        if part.kind in {"phone", "id", "iban", "card"}
    ]

    assert len(texts) > 20_000
    assert len(wrong) / len(texts) <= 1 / 10_000
