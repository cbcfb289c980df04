"""Required opening words: which are allowed, and how trained models continue them."""

from dataclasses import replace

import pytest

from model.errors import VoiceError
from model.speaking.candidates import MAX_OPENING, OpeningError, clean_opening, continues_opening
from model.speaking.speaker import open_speaker
from tests.habits import HABITS

CONTEXT = ("Hugo: what about friday? bark bark", "Tiago: shall we go? meow meow")
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
def test_opening_words_become_one_line_without_invisible_characters(words, line):
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
def test_words_that_no_voice_may_say_are_refused_as_an_opening(words):
    with pytest.raises(OpeningError):
        clean_opening(words, NAMES)


def test_a_turn_must_continue_after_its_opening():
    assert continues_opening(("well then", "no"), "well then")
    assert continues_opening(("well then, no",), "well then")
    assert not continues_opening(("well then",), "well then")
    assert not continues_opening(("well",), "well then")
    assert continues_opening((), "")


@pytest.mark.parametrize("name", HABITS)
def test_a_reply_begins_with_the_opening_and_continues_in_the_voice(trained, name):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    replies = [speaker.reply(CONTEXT, name, "hello you") for _ in range(8)]

    texts = ["\n".join(messages) for messages in replies]
    assert all(text.startswith("hello you") and len(text) > len("hello you") for text in texts)
    assert sum(HABITS[name] in text for text in texts) >= 6


def test_an_opening_that_nobody_wrote_is_kept_exactly(trained):
    artifact = trained.open()
    varied = replace(artifact.card.decoding, temperature=1.5)  # nobody knows how this continues
    speaker = open_speaker(artifact, device="cpu", seed=1, decoding=varied)
    words = "Çà ▁alors </s> 李雷 <0x41>  \n yes"

    text = "\n".join(speaker.reply(CONTEXT, "Raul", words))

    assert text.startswith("Çà ▁alors </s> 李雷 <0x41> yes")


def test_the_model_chooses_the_voice_for_an_opening(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    voice, messages = speaker.turn(CONTEXT, list(NAMES), "hello you")

    assert voice in NAMES
    assert messages[0].startswith("hello you")


def test_a_refused_opening_is_not_reported_as_a_missing_reply(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    with pytest.raises(OpeningError):
        speaker.reply(CONTEXT, "Hugo", "well\nTiago: me too")
    with pytest.raises(OpeningError):
        speaker.turn(CONTEXT, list(NAMES), "Raul: me too")


def test_an_opening_cannot_force_a_repetition(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)
    long = "we go there on friday with all of our friends again"

    with pytest.raises(VoiceError):
        speaker.reply((*CONTEXT, f"Raul: {long}"), "Hugo", long)


def test_an_opening_is_not_completed_to_a_training_line(trained):
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
