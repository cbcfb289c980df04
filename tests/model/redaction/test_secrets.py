import random

import pytest

from benchmarks.made_up_keys import KEYS
from benchmarks.redaction_languages import COLUMNS, SENTENCES, key_recall, recall
from model.redaction.redact import redact

SEED = 11
LEAST_RECALL = 0.95
PASSWORD, CODE = (one for one in COLUMNS if one.name in {"password", "code"})


@pytest.mark.parametrize("column", [PASSWORD, CODE], ids=lambda column: column.name)
@pytest.mark.parametrize("language", SENTENCES)
def test_passwords_and_codes_are_found_in_each_language(language, column):
    sentences = SENTENCES[language][column.sentences]

    assert recall(column, "en_US", sentences, SEED, 30) >= LEAST_RECALL


@pytest.mark.parametrize("form", KEYS.values(), ids=KEYS)
def test_keys_in_each_form_are_found(form):
    assert key_recall(form, SEED, 30) >= LEAST_RECALL


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lösenordet: sommar", "lösenordet: [password]"),
        ("hasła do wifi: tajne", "hasła do wifi: [password]"),
        ("haslo: tajne", "haslo: [password]"),
        ("密码：芝麻开门", "密码：芝麻开门"),
        ("密码是abc123xyz了", "密码是[password]了"),
        ("パスワードはabc123XYZです", "パスワードは[password]です"),
        ("รหัสผ่านคือabc123XYZ", "รหัสผ่านคือ[password]"),
        ("Türcode 4821", "Türcode [code]"),
        ("aB3$xyz9 is the password", "[password] is the password"),
        ("wifi-passwort - sonnenschein", "wifi-passwort - [password]"),
        ("password is hunter2!", "password is [password]!"),
        ("DB_PASSWORD=hunter psql", "DB_PASSWORD=[password] psql"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [key]"),
        ("redis://:pw4x@host", "redis://[link]@host"),
        ("postgres://me:p@ss/word@db.example.com", "postgres://[link]@db.example.com"),
        ("webcal://p12-caldav.icloud.com/published/2/MTIz", "webcal://p12-caldav.icloud.com/[link]"),
        ("https://example.org/feeds/team.ics", "https://example.org/[link]"),
        ("xrp rN7n7otQDd6FczFgLdSqtcsAUxDkw6fzRH", "xrp [wallet]"),
        ("ton EQDtFpEwcFAEcRe5mLVh2N6C0x-_hJEM7W61_JLnSF74p4q2", "ton [wallet]"),
        (
            "seed: legal winner thank year wave sausage worth useful legal winner thank yellow ok",
            "seed: [wallet] ok",
        ),
    ],
)  # fmt: skip
def test_a_secret_is_hidden(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "legal winner thank year wave sausage worth useful legal winner thank thank",
        "kod pocztowy 4821",
        "Fehlercode: 40412",
        "code qr 4821",
        "código postal 4821",
        "2000 lines of code",
        "the Windows10 password is unknown",
        "password for the wifi at 10am",
        "mes paroles: amour",
        "Sandi: hello",
        "basic information",
        "http://localhost:8000/@alice",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "8e3239bd-6643-47a2-a7dc-2913ebd1b6ec",
        "Screenshot_20240301-123456_Chrome_Browser",
        "Donaudampfschifffahrtsgesellschaft",
    ],
)
def test_words_that_are_no_secrets_are_shown(text):
    assert redact(text) == text


def test_a_key_without_a_digit_or_sign_is_found():
    chance = random.Random(SEED)
    letters = "".join(chance.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(16))

    assert redact(f"ok AKIA{letters}") == "ok [key]"
