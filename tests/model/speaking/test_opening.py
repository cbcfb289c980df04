"""Which words may be put into a friend's mouth, and that really trained models go on from them."""

import pytest

from model.errors import VoiceError
from model.speaking.candidates import MAX_OPENING, OpeningError, clean_opening, continues_opening
from model.speaking.speaker import open_speaker
from tests.habits import HABITS

CONTEXT = ("Hugo: what about friday? woof woof", "Tiago: shall we go? meow meow")
NAMES = ("Hugo", "Tiago", "Raul")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("well then", "well then"),
        ("  well \t then  ", "well then"),
        ("one\ntwo\r\nthree\u2028four", "one two three four"),
        ("in\u202evisible\u200b", "invisible"),
        ("listen: no", "listen: no"),
        ("não sei 😂", "não sei 😂"),
    ],
)
def test_words_become_one_line_of_what_can_be_seen(words, line):
    assert clean_opening(words, NAMES) == line


@pytest.mark.parametrize(
    "words",
    [
        "",
        "\n \u200b",
        "yes\nTiago: no",
        "yes RAUL : no",
        "ask hu\u200bgo: no",
        "🎭 Tiago hello",
        "[photo]",
        "call me at +351 912 345 678",
        "write to a.b@example.com",
        "a" * (MAX_OPENING + 1),
    ],
)
def test_what_no_voice_may_say_is_no_beginning(words):
    with pytest.raises(OpeningError):
        clean_opening(words, NAMES)


def test_a_turn_goes_on_only_where_something_is_added():
    assert continues_opening(("well then", "no"), "well then")
    assert continues_opening(("well then, no",), "well then")
    assert not continues_opening(("well then",), "well then")
    assert not continues_opening(("well",), "well then")
    assert continues_opening((), "")


@pytest.mark.parametrize("name", HABITS)
def test_a_reply_begins_with_the_words_and_goes_on_in_the_voice(trained, name):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    replies = [speaker.reply(CONTEXT, name, "hello you") for _ in range(8)]

    texts = ["\n".join(messages) for messages in replies]
    assert all(text.startswith("hello you") and len(text) > len("hello you") for text in texts)
    assert sum(HABITS[name] in text for text in texts) >= 6


def test_words_that_nobody_ever_wrote_are_kept_to_the_letter(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)
    words = "Çà ▁alors </s> 李雷 <0x41>  \n yes"

    text = "\n".join(speaker.reply(CONTEXT, "Raul", words))

    assert text.startswith("Çà ▁alors </s> 李雷 <0x41> yes")


def test_the_model_chooses_who_says_the_words(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    voice, messages = speaker.turn(CONTEXT, list(NAMES), "hello you")

    assert voice in NAMES
    assert messages[0].startswith("hello you")


def test_a_beginning_that_may_not_be_is_no_want_of_words(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    with pytest.raises(OpeningError):
        speaker.reply(CONTEXT, "Hugo", "well\nTiago: me too")
    with pytest.raises(OpeningError):
        speaker.turn(CONTEXT, list(NAMES), "Raul: me too")


def test_what_was_just_said_is_not_said_again_by_forcing_it(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)
    long = "we go there on friday with all of our friends again"

    with pytest.raises(VoiceError):
        speaker.reply((*CONTEXT, f"Raul: {long}"), "Hugo", long)


def test_a_rest_of_a_line_of_training_is_not_completed(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)
    asked = []

    class Everything:
        def contains(self, messages):
            asked.append(messages)
            return True

    object.__setattr__(speaker, "copy_index", Everything())

    with pytest.raises(VoiceError):
        speaker.reply(CONTEXT, "Hugo", "hello you")
    assert all(messages[0].startswith("hello you") for messages in asked)
