import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.redaction import figures_of, labelled_lines
from model.redaction.redact import PrivatePart, find_private_parts, redact

LEAST_RECALL = {
    "address": 0.9,
    "card": 0.98,
    "code": 0.98,
    "email": 0.98,
    "iban": 0.98,
    "key": 0.98,
    "link": 0.98,
    "password": 0.98,
    "phone": 0.98,
    "place": 0.98,
    "wallet": 0.98,
}
LEAST_PRECISION = 0.98
MOST_LOOK_ALIKES_TOUCHED = 1 / 150

SWORN = "-----BEGIN " + "PRIVATE KEY-----\nMIIBVQIBADANBg\n-----END " + "PRIVATE KEY-----"
BOT_TOKEN = "110201543:" + "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawz"


@pytest.fixture(scope="module")
def figures():
    return figures_of(labelled_lines())


@pytest.mark.parametrize("kind", LEAST_RECALL)
def test_private_parts_of_each_kind_are_found(figures, kind):
    assert figures.recall(kind) >= LEAST_RECALL[kind]


@pytest.mark.parametrize("kind", LEAST_RECALL)
def test_hidden_parts_are_private(figures, kind):
    assert figures.precision(kind) >= LEAST_PRECISION


def test_look_alikes_are_shown():
    harmless = [line.text for line in labelled_lines() if not line.private]

    touched = [text for text in harmless if redact(text) != text]

    assert len(touched) / len(harmless) <= MOST_LOOK_ALIKES_TOUCHED


def test_there_are_enough_labelled_parts():
    lines = labelled_lines()

    assert sum(bool(line.private) for line in lines) >= 480
    assert sum(not line.private for line in lines) >= 120
    assert all(part.end <= len(line.text) for line in lines for part in line.private)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("call me at 912 345 678 ok", "call me at [phone] ok"),
        ("06 12 34 56 78 / 07 98 76 54 32", "[phone] / [phone]"),
        ("tel:+1 (415) 555-0132", "tel:[phone]"),
        ("4155550132", "[phone]"),
        ("mail ana@example.com.", "mail [email]."),
        ("dave (at) example (dot) com", "[email]"),
        ("https://zoom.us/j/123?pwd=abc now", "https://zoom.us/[link] now"),
        ("https://example.com?token=abc", "https://example.com?[link]"),
        ("https://ana:hunter2@example.com/x", "https://[link]@example.com/x"),
        ("t.me/+AbCdEf", "t.me/[link]"),
        ("card 4111-1111-1111-1111!", "card [card]!"),
        ("de89 3704 0044 0532 0130 00 thanks", "[iban] thanks"),
        ("4111 1111 1111 1111 12/27 123 ok", "[card] [card] [card] ok"),
        ("4111111111111111\nexp 12/2027 cvv 123", "[card]\nexp [card] cvv [card]"),
        ("4111 1111 1111 1111 1227 123", "[card] [card] [card]"),
        ("4111 1111 1111 1111 since 2019", "[card] since 2019"),
        ("hugo.silva at gmail.com", "[email]"),
        ("RO49 AAAA 1B31 0075 9384 0000", "[iban]"),
        ("RO69BACXABCDEFGHIJKLMNOP is it", "[iban] is it"),
        ("mt84 malt 0110 0001 2345 mtlc ast0 01s", "[iban]"),
        ("ok12 ro49 aaaa 1b31 0075 9384 0000", "ok12 [iban]"),
        ("btc 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "btc [wallet]"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", "[wallet]"),
        (f"here\n{SWORN}\nbye", "here\n[key]\nbye"),
        (f"it is {BOT_TOKEN}", "it is [key]"),
        ("my pw is hunter2.", "my pw is [password]."),
        ("password: swordfish", "password: [password]"),
        ("o código é 483920", "o código é [code]"),
        ("G-123456 is your Google verification code.", "[code] is your Google verification code."),
        ("I live at 42 Maple Street", "I live at [address]"),
        ("живу на ул. Ленина, д. 5, кв. 12", "живу на [address]"),
        ("38.7223, -9.1393 come", "[place] come"),
    ],
)
def test_a_private_part_is_replaced_by_its_placeholder(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112 fails its check digit",
        "GB82 WEST 1234 5698 7654 33",
        "look at gmail.com",
        "foi no 1234567 ontem",
        "at 1701234567 UTC",
        "password: no idea",
        "he will pass by at 10:30!",
        "código penal 1940",
        "During 3 weeks, Spring 2024",
        "Plaza Mayor 20 min",
        "Im Mai 2024 um 8",
        "https://open.spotify.com/track/4cOdK2wGLETKBW3PvgPWqT",
        "call me at 5 or at 6:30, 2023/2024",
        "91.5, 120.1",
        "",
        "[phone] and [key]",
    ],
)
def test_text_that_only_looks_private_is_shown(text):
    assert redact(text) == text


def test_parts_are_ordered_and_do_not_overlap():
    parts = find_private_parts("ana@example.com 912 345 678, pw: hunter2")

    assert parts == [
        PrivatePart("email", 0, 15),
        PrivatePart("phone", 16, 27),
        PrivatePart("password", 33, 40),
    ]


PIECES = [word for line in labelled_lines() for word in line.text.split()]
PRIVATE_TALK = st.lists(
    st.sampled_from(PIECES)
    | st.text(max_size=4)
    | st.sampled_from(["[phone]", "code", "pw:", "\x1a", "\0", "\ud800", "ſ٣", "\n", "1" * 30]),
    max_size=12,
).flatmap(lambda words: st.sampled_from([" ", "", "\n"]).map(lambda joint: joint.join(words)))
ANY_TEXT = st.text(st.characters(categories=["L", "N", "P", "S", "Z", "C"]), max_size=200)


@settings(deadline=None)
@given(PRIVATE_TALK | ANY_TEXT)
def test_redaction_is_idempotent_for_any_text(text):
    once = redact(text)

    assert redact(once) == once
    assert bool(once) == bool(text)


@pytest.mark.parametrize(
    "text",
    ["+351\u200b 912 345 678", "+３５１ ９１２ ３４５ ６７８", "+٣٥١ ٩١٢ ٣٤٥ ٦٧٨",
     "+351\u202f912\u202f345\u202f678", "+351 912\x1a 345 678", "+351 9\xad12 345 678"],
    ids=["an invisible space", "wide digits", "Arabic digits", "narrow spaces",
         "a control character", "a soft hyphen"],
)  # fmt: skip
def test_a_number_in_other_characters_is_hidden_completely(text):
    assert redact(f"é: {text}!") == "é: [phone]!"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("password - swordfish", "swordfish"),
        ("пароль — рыбка", "рыбка"),
        ("dave ARROBA example PUNTO com", "dave"),
        ("api key: abcdef123456", "abcdef123456"),
        ("site.com?token=abcdef", "abcdef"),
    ],
)
def test_no_precondition_hides_a_text_from_its_rule(text, hidden):
    assert hidden not in redact(text)
