"""Quotes and copies of excluded people's words are not part of a message."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from model.chat.conversation import Message
from model.chat.eligibility import add_voice_header, make_line
from model.chat.person import Person
from model.chat.quotes import strip_quotes
from model.chat.roster import Roster

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
        ("look\n> Eva Sá:\nher words\n\nmore of them\n\n> Hugo:\nhis words", "look"),
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


COPIES = {
    "by hand": (
        *("Eva: her words", "EVA SA: her words\nand more of them", "eva.s : her words"),
        *("Evinha： her words", "- Eva: her words", "“Eva: her words”", "@Eva: her words"),
        *("[photo] Eva: her words", "> Eva: her words", "**Eva**: her words", "*Eva:* her words"),
        *("_Eva_: her words", "<Eva> her words", "Eva | her words", "Eva » her words"),
        *("Eva - her words", "Eva -- her words\nEva: and more", "Sá, Eva: her words"),
    ),
    "reported": (
        *("Eva wrote: her words", 'Eva said: "her words"', 'Eva said, "her words"'),
        *("Eva escreveu: her words", "Eva schrieb: her words", "Eva a écrit : her words"),
        *("Eva написала: her words", "كتب Eva: her words", "Eva 写道：her words"),
        *("as Eva once said: her words", "Quoting Eva: her words", "Eva's message: her words"),
        *('"her words" - Eva', "“her words”\n— Eva Sá, 2025", "«her words» (Eva)"),
    ),
    "Telegram Desktop": (
        "Eva Sá, [12.03.2024 10:15]\nher words",
        "Eva Sá, [12.03.2024 10:15]\n[Forwarded from Zoe]\nher words\n\nmore of them",
        "Zoe, [12.03.2024 10:14]\n[Forwarded from Eva Sá]\nher words",
        "[12.03.2024 10:15] Eva Sá: her words",
        "[5/19/26 2:40 AM] Eva Sá: her words",
    ),
    "Telegram for Android": ("Eva Sá:\nher words\n\nmore of them\n\nHugo Silva:\nhis words",),
    "Telegram for macOS": ("> Eva Sá:\nher words\n\nmore of them",),
    "WhatsApp": (
        "[12/03/24, 10:15] 🌸 Evinha  🌸  Sá: her words",
        "[12/03/2025, 10:11:12] Eva: her words\n\nher second paragraph",
        "[12/3/25, 10:11:12\u202fAM] Eva: her words",
        "\u200e[12.03.25, 10:11:12] \u202aEva\u202c: \u200eher words",
        "12/03/2025, 10:11 - Eva: her words",
        "3/12/25, 10:11 AM - Eva: her words",
        "12.03.25, 10:11 - Eva: her words",
        "12/3/25, 10:11 a. m. - Eva: her words",
        "2025/3/12 午前10:11 - Eva: her words",
        "2025. 3. 12. 오전 10:11 - Eva: her words",
        "[3/27/2565 BE, 21:41:35] Eva: her words",
        "[3/27/R4, 21:41:35] Eva: her words",
        "\u200f١٢/٣/٢٠٢٥، ١٠:١١ ص - Eva: her words",
    ),
    "Discord": (
        "Eva — Today at 10:11 AM\nher words\n\nmore of them",
        "Eva — 03/12/2025 10:11 AM\nher words",
        "Eva — Heute um 10:11 Uhr\nher words",
        "[10:11]Eva: her words",
        "[March 12, 2025 at 5:37 PM] Eva#4824 (123456789012345678) : her words",
    ),
    "Slack": ("Eva Sá\n  3:13 PM\nher words", "Eva  [10:11 AM]\nher words", "Eva 10:11\nher words"),
    "Teams and Skype": (
        "[10:42 • 13/08/2024] Eva Sá:\nher words",
        "[10:42] Eva Sá\nher words",
        "[\u200e12/\u200e03/\u200e2025 10:11] Eva Sá: her words",
    ),
    "Messenger and Instagram": ("Eva Sá\nher words",),
    "WeChat and QQ": (
        "Eva Sá 2022/11/17 21:07\nher words\n\nmore of them",
        "Eva(12345678) 10:11:12\nher words",
    ),
    "LINE and KakaoTalk": (
        "10:11\tEva Sá\ther words",
        "10:11 Eva Sá her words",
        "上午10:11\tEva Sá\ther words",
        "[Eva] [오전 10:11] her words",
        "오전 10:11, Eva : her words",
    ),
    "Zoom": ("10:11:12 From Eva Sá to Everyone: her words",),
    "IRC and Matrix": (
        "10:11 < Eva> her words",
        "[10:11:12] <@Eva> her words",
        "10:11:12      Eva | her words",
        "Eva\ther words",
        "[5/20/26 2:32 PM] @x:example.com (Eva): her words",
    ),
    "e-mail": (
        "On Wed, Mar 12, 2025 at 10:11 AM Eva Sá <eva.sa@example.com> wrote:\n\nher words",
        "On Wed, Mar 12, 2025 at 10:11 AM Eva Sá <eva.sa@example.com>\nwrote:\n\nher words",
        "Am Mi., 12. März 2025 um 10:11 Uhr schrieb Eva Sá <eva.sa@example.com>:\nher words",
        "Em qua., 12 de mar. de 2025 às 10:11, Eva Sá escreveu:\nher words",
        "From: Eva Sá <eva.sa@example.com>\nDate: 12 Mar 2025\nSubject: hi\n\nher words",
    ),
}
"""How apps and people copy messages. Of the apps, each form is documented by others, by parsers of
such texts or in reports about copying."""


@pytest.mark.parametrize("text", [text for texts in COPIES.values() for text in texts])
@pytest.mark.parametrize("author", [HUGO, 70], ids=["a friend", "a stranger"])
def test_copies_of_an_excluded_persons_words_are_removed(text, author):
    for shown in (
        text_of(text, author),
        text_of(f"{text}\n\nmy answer", author),
        text_of(f"{text}\nHugo Silva: his words\n\n{text}", author),
        text_of(add_voice_header("Hugo Silva", text), BOT),
    ):
        assert not re.search("her |more of|Eva", shown or "")


@pytest.mark.parametrize("text", [text for texts in COPIES.values() for text in texts])
def test_copies_of_others_stay(text):
    others = Roster((PEOPLE[0], replace(PEOPLE[1], learn="yes"), Person("Raul", (4,), learn="no")))

    assert text_of(text, roster=others) == text_of(text, roster=Roster())


def test_copies_after_a_command_are_removed():
    assert text_of("/as Hugo Eva: her words") is None


def test_only_the_copied_passage_is_removed():
    text = "look:\nEva: her words\nmore of hers\nHugo: his words\nhis too\n\nEva: again\n\nmine"

    assert text_of(text) == "look:\nHugo: his words\nhis too\n\n\nmine"


def test_an_apps_copy_ends_at_the_next_friends_message():
    text = (
        "Eva, [12.03.2024 10:15]\nHugo: look\n\nmore of hers\n\n"
        "Hugo Silva, [12.03.2024 10:16]\nhis words"
    )

    assert text_of(text) == "Hugo Silva, [12.03.2024 10:16]\nhis words"


def test_names_in_scripts_without_spaces_and_emoji_are_found():
    roster = Roster((PEOPLE[0], Person("李雷", (5,), names=("李 雷", "🌸"), learn="no")))

    for text in (
        "李雷说：你好",
        "在 2025年3月12日 10:11, 李雷写道：\n你好",
        "🌸: 你好",
        "🌸\n你好",
    ):
        assert not re.search("你好", text_of(text, roster=roster) or "")


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        *(("𝓔𝓿𝓪", "Eva: her words"), ("Eva", "𝓔𝓿𝓪: her words"), ("Łucja", "Lucja: her words")),
        *(("Dr. Eva Sá", "Eva: her words"), ("The Boss", "Boss: her words")),
        *(("El Eva", "Eva: her words"), ("The", "the: her words"), ("🌸 A", "a: her words")),
        *(("🌸 Eva 🌸", "🌸 Eva 🌸\nher words"), ("🌸 Eva 🌸", "“her words” — 🌸 Eva 🌸")),
        *(("[Eva]", "“her words” — [Eva]"), ("@eva", "“her words” — @eva")),
    ],
)
def test_a_name_is_found_in_other_letters_and_without_its_title(shown, text):
    roster = Roster((PEOPLE[0], Person("Rita", (5,), names=(shown,), learn="no")))

    assert text_of(text, roster=roster) is None


def test_a_title_or_an_article_is_no_name():
    names = ("Dr. Eva", "The Boss", "O Rui", "Mrs T")
    roster = Roster((PEOPLE[0], Person("Rita", (5,), names=names, learn="no")))

    for text in (
        "Dr. Silva: no",
        "the plan: we go by car",
        "o plano: vamos de carro",
        "don't: it's hot",
    ):
        assert text_of(text, roster=roster) == text


@pytest.mark.parametrize("name", ["Hugo", "Eva"])
def test_no_number_of_names_hides_a_header(name):
    assert text_of(f"({f'{name} ' * 15}) Eva: her words") is None


@pytest.mark.parametrize(
    "text",
    [
        *("Hugo: yes", "to Eva, [photo]", "10:15", "Evan: x", "see you at Eva's at 10:15"),
        *("love you Eva :)", "Eva :D", "Eva https://example.com", "Eva", "Eva!\nwhere are you"),
        *("who comes:\n- Hugo\n- Eva", "so I told Eva and Hugo and all others: wait"),
        *("[voice 0:07] Eva will like it", "I am with Eva - she is fine", "12 Eva cakes"),
    ],
)
def test_other_lines_stay(text):
    assert text_of(text) == text


def test_nothing_is_removed_if_nobody_is_excluded():
    everybody = Roster((PEOPLE[0], Person("Eva Sá", (EVA,))))

    assert text_of("Eva: her words", roster=everybody) == "Eva: her words"


def test_a_shared_first_name_counts_as_the_excluded_persons():
    both = Roster((*PEOPLE, Person("Eva Reis", (3,))))

    assert text_of("Eva: whose words?", roster=both) is None
    assert text_of("Eva Reis: her words", roster=both) == "Eva Reis: her words"
