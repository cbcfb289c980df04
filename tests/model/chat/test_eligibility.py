import random
from datetime import UTC, datetime

import pytest

from benchmarks.redaction import labelled_lines
from model.chat.conversation import Message
from model.chat.eligibility import (
    LONG_TEXT,
    WITHHELD,
    add_voice_header,
    is_speakable,
    make_line,
    make_lines,
    target_text,
)
from model.chat.person import Person
from model.chat.roster import Roster
from model.redaction.redact import redact

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
HUGO, ANA, RUI, EVA, BOT, GIF, STRANGER = 1, 2, 3, 4, 9, 8, 70
ROSTER = Roster(
    (
        Person("Hugo", (HUGO,), imitate="yes"),
        Person("Ana", (ANA,), imitate="ask"),
        Person("Rui", (RUI,), learn="no"),
        Person("Eva", (EVA,), imitate="no"),
    ),
    bots=frozenset({GIF}),
    understudies=frozenset({BOT}),
)


def line(text, author=HUGO, **more):
    return make_line(Message(-1, 5, author, "Rita Lopes", text, NOW, **more), ROSTER)


def test_a_friends_message_is_a_line_and_a_target():
    said = line("  hi\r\nall\rof you ")

    assert said is not None
    assert (said.message_id, said.author_id, said.sent_at) == (5, HUGO, NOW)
    assert (said.speaker, said.text, said.is_target) == ("Hugo", "hi\nall\nof you", True)


@pytest.mark.parametrize(
    "text",
    ["/start", "/help@some_bot", "/as", "/AS", "/as Hugo", "/as@bot Hugo", "/as nobody hello",
     "/a b c", "/simulate 6", "", "  \n "],
)  # fmt: skip
def test_commands_and_empty_messages_have_no_line(text):
    assert line(text) is None


@pytest.mark.parametrize(
    "text", ["/", "/ hm", "//", "/rant/over", "/olá", "either/or", "see /start"]
)
def test_a_slash_alone_is_no_command(text):
    said = line(text)

    assert said is not None
    assert said.text == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/as Ana what about Friday?", "what about Friday?"),
        ("/as@understudy_bot ana, what?", "what?"),
        ("/AS Hugo\nhello", "hello"),
        ("/as Hugo /help", "/help"),
    ],
)
def test_the_words_after_as_and_a_voice_are_a_line(text, words):
    said = line(text)

    assert said is not None
    assert (said.speaker, said.text, said.is_target) == ("Hugo", words, True)


@pytest.mark.parametrize("name", ["Rui", "Eva"])
def test_the_words_after_as_and_another_name_have_no_line(name):
    assert line(f"/as {name} hello") is None


@pytest.mark.parametrize(
    "more",
    [
        {"author": GIF},
        {"is_from_bot": True},
        {"is_forward": True},
        {"author": BOT, "is_forward": True},
    ],
    ids=["a bot's", "by way of a bot", "a forward", "a forward of ours"],
)
def test_bots_and_forwards_have_no_line(more):
    assert line(add_voice_header("Hugo", "hi"), **more) is None


@pytest.mark.parametrize("is_from_bot", [True, False], ids=["live", "exported"])
def test_our_bots_message_is_a_line_of_its_voice_and_never_a_target(is_from_bot):
    said = line(add_voice_header("Hugo", " hi\r\nyou "), BOT, is_from_bot=is_from_bot)

    assert said is not None
    assert (said.speaker, said.text, said.is_target) == ("Hugo", "hi\nyou", False)
    assert target_text(said) is None


def test_our_bots_own_messages_have_no_line():
    assert line("Pick a voice:", BOT) is None


def test_lines_of_a_voice_not_in_the_roster_stay_and_of_an_excluded_one_are_withheld():
    assert line(add_voice_header("Zoe", "hi"), BOT).speaker == "Zoe"

    withheld = line(add_voice_header("Rui", "hi"), BOT)

    assert (withheld.speaker, withheld.text) == (None, WITHHELD)


def test_lines_of_excluded_people_are_withheld():
    said = line("my secret", RUI)

    assert (said.speaker, said.text, said.is_target) == (None, WITHHELD, False)
    assert target_text(said) is None


@pytest.mark.parametrize(
    ("author", "speaker"), [(STRANGER, "Rita"), (EVA, "Eva")], ids=["a stranger", "one who said no"]
)
def test_lines_of_strangers_and_silent_people_are_never_targets(author, speaker):
    said = line("hi", author)

    assert (said.speaker, said.is_target) == (speaker, False)


def test_lines_of_a_person_with_imitate_ask_are_targets():
    assert target_text(line("hi", ANA)) == "hi"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("hi", "hi"),
        ("[photo] look at this", "look at this"),
        ("[voice 0:07]", None),
        ("[photo]", None),
        ("[…]", None),
        ("call [phone] now", None),
        ("[photo] of [name]", None),
        ("[photo] [video] x", None),
        ("[ ", "[ "),
        ("[]", "[]"),
        ("a [b\nc]", "a [b\nc]"),
        (f"[{'x' * 61}]", f"[{'x' * 61}]"),
    ],
)
def test_bracketed_words_are_never_targets_but_a_caption_is(text, target):
    said = line(text)

    assert target_text(said) == (target.strip() if target else None)


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("hi", True),
        ("", False),
        (" \n", False),
        ("[photo]", False),
        ("my [phone] is", False),
        ("[]", True),
    ],
)
def test_speakable_text_has_words_and_no_bracketed_ones(text, may):
    assert is_speakable(text) is may


def test_lines_keep_the_order_of_messages():
    chat = [Message(-1, n, HUGO, None, text, NOW) for n, text in enumerate(["a", "/start", "b"])]

    assert [said.text for said in make_lines(chat, ROSTER)] == ["a", "b"]


def test_cutting_a_long_message_equals_redacting_it_and_then_cutting():
    chance = random.Random(25)
    texts = [labelled.text for labelled in labelled_lines()]

    for _ in range(30):
        wall = " ".join(chance.choices(texts, k=80)).strip()
        head = redact(wall)[:200].rsplit(maxsplit=1)[0]
        assert line(wall).text == f"{head} {LONG_TEXT}"


@pytest.mark.parametrize("before", range(40))
def test_a_private_part_at_the_cut_of_a_long_message_is_hidden_completely(before):
    link = "https://example.com/?token=" + "a1" * 700
    wall = f"{link} {'a' * before} call me at 912 345 678 or {'word ' * 200}"

    shown = line(wall).text

    assert not set("912345678") & set(shown)
    assert shown.endswith(LONG_TEXT)
