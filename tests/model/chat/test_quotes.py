"""Quotes and copies of excluded people's words are not part of a message."""

from datetime import UTC, datetime

import pytest

from model.chat.conversation import Message
from model.chat.eligibility import add_voice_header, make_line
from model.chat.quotes import strip_copies, strip_quotes
from model.chat.roster import Person, Roster

HUGO, EVA, BOT = 1, 2, 9
PEOPLE = (
    Person("Hugo Silva", (HUGO,), aliases=("Huguinho",), imitate="yes"),
    Person("Eva Sá", (EVA,), names=("🌸 Évinha 🌸 Sá", "eva.s"), learn="no"),
)
ROSTER = Roster(PEOPLE, understudies=frozenset({BOT}))


def text_of(text, author=HUGO, roster=ROSTER):
    said = make_line(Message(-1, 5, author, "Rita", text, datetime(2024, 3, 1, tzinfo=UTC)), roster)
    return said and said.text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("> her words\nmy answer", "my answer"),
        (">her words\r\n>and more\r\nmy answer", "my answer"),
        ("before\n  >> her words\nafter", "before\nafter"),
        ("> her words", None),
        (">\n> her words", None),
        ("/as Hugo\n> her words", None),
        ("/as Hugo > her words", None),
        ("/as Hugo so?\n> her words", "so?"),
    ],
)
@pytest.mark.parametrize("roster", [ROSTER, Roster(PEOPLE[:1])], ids=["she is out", "nobody is"])
def test_quoted_lines_are_removed(text, left, roster):
    assert text_of(text, roster=roster) == left


@pytest.mark.parametrize(
    "text", [">_<", ">:(", ">.<", ">o<", "a > b", "->", "3 > 2", "=> yes", "x\n>_< y"]
)
def test_other_uses_of_the_quotation_mark_stay(text):
    assert text_of(text) == text
    assert strip_quotes(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Eva: her words",
        "EVA SA: her words\nand more of them",
        "eva.s : her words",
        "Evinha： her words",
        "- Eva: her words",
        "“Eva: her words”",
        "@Eva: her words",
        "[12.03.2024 10:15] Eva Sá: her words",
        "[12/03/24, 10:15] 🌸 Evinha  🌸  Sá: her words",
        "Eva Sá, [12.03.2024 10:15]\nher words",
        "[photo] Eva: her words",
        "> Eva: her words",
    ],
)
@pytest.mark.parametrize("author", [HUGO, 70], ids=["a friend", "a stranger"])
def test_copies_of_an_excluded_persons_words_are_removed(text, author):
    assert text_of(text, author) is None
    assert text_of(f"{text}\n\nmy answer", author) in {"my answer", None}
    assert text_of(add_voice_header("Hugo Silva", text), BOT) is None


def test_copies_after_a_command_are_removed():
    assert text_of("/as Hugo Eva: her words") is None


def test_only_the_copied_passage_is_removed():
    text = "look:\nEva: her words\nmore of hers\nHugo: his words\nhis too\n\nEva: again\n\nmine"

    assert text_of(text) == "look:\nHugo: his words\nhis too\n\n\nmine"


@pytest.mark.parametrize(
    "text",
    ["Hugo: yes", "see Eva: she knows", "Eva says: no", "to Eva, [photo]", "10:15", "Evan: x"],
)
def test_other_lines_with_a_colon_stay(text):
    assert text_of(text) == text


def test_nothing_is_removed_if_nobody_is_excluded():
    everybody = Roster((PEOPLE[0], Person("Eva Sá", (EVA,))))

    assert text_of("Eva: her words", roster=everybody) == "Eva: her words"


def test_a_shared_first_name_counts_as_the_excluded_persons():
    both = Roster((*PEOPLE, Person("Eva Reis", (3,))))

    assert text_of("Eva: whose words?", roster=both) is None
    assert text_of("Eva Reis: her words", roster=both) == "Eva Reis: her words"


@pytest.mark.parametrize(
    "sign", [">", ">>> ", "[", "[x] ", "Eva:", "Eva:\n", "@ ", "Eva, [", "\n", ": "]
)
def test_hostile_text_takes_linear_time(sign):
    steps = {}
    for size in (20_000, 80_000):
        text = sign * (size // len(sign))
        counted = _Counting(ROSTER.copy_labels)
        strip_copies(strip_quotes(text), counted)
        steps[size] = counted.asked

    assert steps[80_000] <= 5 * max(1, steps[20_000])


class _Counting(dict):
    asked = 0

    def get(self, key, default=None):
        self.asked += 1
        assert len(key) <= 80
        return super().get(key, default)
