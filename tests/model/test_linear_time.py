"""Linear cost: any member of a group can send 4,096 characters, which must not block the bot."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from bot.handlers.as_command import parse_anyone_request
from bot.handlers.simulate import TurnsError, VoiceNameError, parse_simulation
from model.chat import eligibility, voice_names
from model.chat.conversation import Message, strip_media_word
from model.chat.eligibility import make_line, parse_voice_header, target_text
from model.chat.names import clean_name, fold
from model.chat.permissions import Facts, permissions
from model.chat.person import Decision, Person
from model.chat.quotes import strip_copies, strip_quotes
from model.chat.roster import Roster
from model.chat.voice_names import find_similar_names
from model.redaction import redact
from model.redaction.redact import find_private_parts

SHORT = 1_024
MOST_GROWTH = 9
"""Four times the text costs four times as much; a quadratic rule takes 16 times."""
NO_MEASURE = 0.000_5  # seconds

HEAD = "9:/@ pw "
"""Signs that keep every rule from skipping the text."""
PIECES = (
    *("1", "1 ", "1.", "1-", "1/", "12 ", "123 ", "1-2 123 4 ", "13 12 1 ", "(1)", "+1 "),
    *("9" * 13 + " ", "+123456789 ", "123456789 ", "12345678 ", "06 12 34 56 78 ", "912345678/"),
    *("10:30 9", "1234 4111 ", "4111 1111 1111 1111 ", "21-14 ", "192.168.1.1.", "GB82 ", "GB82"),
    *("GB82 WEST ", "1° ", "2.00000", "a", "A", "a.", "a-", "A-", "A ", "Aa ", "A.", "a@", "a@a."),
    *("aB1", "aA1/", "/1Az", "a" * 40 + " ", "Rua ", "Rua A ", "Rua de ", "Rua de A-", "12 A "),
    *("Rua de la A ", "1 rue A ", "Astr", "Am A ", "A-str ", "ул. А ", "г. А ", "д. 1", "PSC 1, "),
    *("1 A Street, A ", "https://a/", "a.com/", "www.a.", "t.me/", "?a_", "?token=", "zoom.us/"),
    *("google.a.", "tg://A-", "//a:a@", "pass ", "password ", "password is ", "pw: a", "secret"),
    *("mot de passe a ", "secret=", "bearer ", "api key", "code ", "code 1 ", "-code", "pin"),
    *("123 456 is your ", "eyJaaaaaaaaa.", "sk-", "bc1", "0x", "-----BEGIN ", "a (at) ", "[", "("),
    *("-----BEGIN " + "PRIVATE KEY-----", "a at a dot ", "arroba ", "[phone]", "+", "/", "\x1a"),
    *("\x1a1", "\x1a\x1a/", "\0", "\ud800", "\n", "\t", "  ", "ſ٣", "\u0301\u0316", "１ ", "é"),
    *("12345678901 ", "123.456.789-09 ", "12345678Z ", "AB123456C ", "1234 5678 9012 ", "GB82a "),
    *("bsn 123456782 ", "dni nif oib 123456789 ", "4111 1111 1111 1111 12/27 123 ", "a at gmail."),
    *("密码", "密码a", "hasło ", "hasło a1 ", "kod ", "kod 1234 ", "1234 é o código ", "codeа"),
    *("abandon ", "abandon\n", "basic ", "basic YTpi ", "key ", "key: a1", "token a1b2c3d4e5f6 "),
    *("AKIA", "a1b2", "a1b2-", "SK0a", "eyJa.", "M1a.", "rN7n7ot", "EQDt", "addr1", "x://a:", "a+"),
    *("://:@", "a.ics/", "aA1$ ", "İ1 "),
    "\u200b1",
)
SAID = (
    *("Hugo ", "Hugo,", "H ", "a ", " ", ":", ",;", "and ", "about ", "1 ", "1", "anyone "),
    *("algu\u0301", "\u0301\u0316", "é", "[", "[photo] ", "[voice 0:07", "🎭", "🎭 Hugo\n", "\n"),
    *("/as ", "/as Hugo ", "\u200d", ">", "> Eva:\n", "[x] ", "Eva:", "Eva:\n", "Eva", "Eva, ["),
    *("<", "<Eva> ", "Eva\n", '"x" - Eva\n', '"', "— Eva\n", "10:11 ", "[10:11] Eva "),
)
PEOPLE = (
    Person("Hugo Silva", (1,), imitate="yes", aliases=("H", "Johnny B")),
    Person("Eva", (2,), learn="no", names=("Eva Sá",)),
    *(Person(f"Friend {n}", (100 + n,)) for n in range(20)),
)
ROSTER = Roster(PEOPLE, understudies=frozenset({9}))
NOW = datetime(2025, 11, 25, tzinfo=UTC)


def repeated(piece, length, head=""):
    return (head + piece * (length // len(piece) + 1))[:length]


def seconds(work, text):
    """Return the processor time of one call."""
    started = time.process_time()
    work(text)
    return time.process_time() - started


def assert_linear(work, piece, head="", length=SHORT):
    """Measure at one, two and four times the length; one linear round of five is enough."""
    texts = [repeated(piece, length * times, head) for times in (1, 2, 4)]
    rounds = []
    for _ in range(5):
        short, middle, long = (seconds(work, text) for text in texts)
        if long <= MOST_GROWTH * max(short, NO_MEASURE):
            return
        rounds.append((short, middle, long))
    raise AssertionError(rounds)


@pytest.mark.parametrize("piece", PIECES, ids=ascii)
def test_redaction_takes_linear_time(piece):
    assert_linear(find_private_parts, piece, HEAD)


def scene(text):
    try:
        return parse_simulation(text, ROSTER)
    except (TurnsError, VoiceNameError):
        return None


READERS = {
    "fold": fold,
    "clean_name": clean_name,
    "find_similar_names": lambda text: find_similar_names(text, PEOPLE),
    "match_voice": ROSTER.match_voice,
    "parse_voice_header": parse_voice_header,
    "a spoken name": lambda text: parse_voice_header(f"🎭 {text}\nhi"),
    "strip_media_word": strip_media_word,
    "parse_scene": scene,
    "strip_quotes": strip_quotes,
    "strip_copies": lambda text: strip_copies(text, ROSTER.copy_labels),
    "parse_anyone_request": parse_anyone_request,
}


@pytest.mark.parametrize("reader", READERS)
def test_names_and_commands_are_matched_in_linear_time(reader):
    for piece in SAID:
        assert_linear(READERS[reader], piece, length=2 * SHORT)
        assert_linear(READERS[reader], piece, "Hugo Silva ", 2 * SHORT)


def message(text, author=1):
    return Message(-1, 5, author, "Rita", text, NOW)


@pytest.mark.parametrize(
    "piece", ["+123456789 ", "/1Az", "1-2 123 4 ", "Rua de A-", "GB82 ", "1 ", "A-"]
)
def test_a_hostile_message_takes_few_milliseconds(piece):
    text = repeated(piece, 4_096, HEAD)
    costs = [
        seconds(lambda text: target_text(make_line(message(text), ROSTER)), f"{n} {text}")
        for n in range(3)
    ]

    assert min(costs) < 0.1  # about 0.007 measured; three seconds before the rules were linear


def test_numbers_in_a_row_are_found_in_one_round(monkeypatch):
    rounds = []
    found = redact._apply_rules
    monkeypatch.setattr(redact, "_apply_rules", lambda text: rounds.append(1) or found(text))

    shown = redact.redact("+123456789 " * 372)

    assert shown == "[phone] " * 372
    assert len(rounds) == 2  # the second finds nothing more


def test_a_text_is_hidden_completely_if_every_round_finds_more():
    shown = redact.redact("a /" + "/1Az" * 300)

    assert shown == "[key]"
    assert redact.redact(shown) == shown


def test_a_text_in_several_prompts_is_redacted_once(monkeypatch):
    redacted = []
    monkeypatch.setattr(eligibility, "redact", lambda text: redacted.append(text) or text)

    lines = [make_line(message("said again and again in test_cost"), ROSTER) for _ in range(3)]

    assert len(set(lines)) == 1
    assert len(redacted) == 1


def test_only_the_beginning_of_a_very_long_message_is_read(monkeypatch):
    read = []
    monkeypatch.setattr(
        eligibility, "redact_beginning", lambda text, length: read.append(text) or text[:length]
    )

    make_line(message("a wall in test_cost " * 5_000), ROSTER)

    assert [len(text) <= eligibility.MAX_CHARACTERS for text in read] == [True]


def test_a_rosters_names_are_indexed_once(monkeypatch):
    roster = Roster(tuple(Person(f"Friend {n}", (n,)) for n in range(100)))
    folded = []
    monkeypatch.setattr(voice_names, "fold", lambda text: folded.append(text) or text)

    found = [roster.match_voice(f"friend {n}, so?") for n in range(100)]

    assert [person.ids for person, _ in found] == [(n,) for n in range(100)]
    assert not folded


def test_decisions_from_many_imports_are_compared_in_linear_time():
    def permit(sources):
        told = {
            f"the imported model {number}": [
                Decision(1, kind, NOW + timedelta(seconds=number + later), -1)
                for later, kind in enumerate(("optout", "optin"))
            ]
            for number in range(len(sources))
        }
        return permissions(PEOPLE[:1], Facts(told))

    assert_linear(permit, "x", length=500)
