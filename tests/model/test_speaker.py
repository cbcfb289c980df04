"""Really trained models of both families speak in the voice that is forced."""

from collections import Counter

import pytest

from model.speaker import open_speaker
from tests.habits import HABITS

CONTEXT = ("Hugo: what about friday? woof woof", "Tiago: shall we go? meow meow")


@pytest.mark.parametrize("name", HABITS)
def test_a_forced_voice_shows_its_own_habit(trained, name):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    replies = [" ".join(speaker.reply(CONTEXT, name)) for _ in range(10)]

    shown = Counter(habit for reply in replies for habit in HABITS.values() if habit in reply)
    assert shown[HABITS[name]] >= 8
    assert shown.total() - shown[HABITS[name]] <= 1


def test_the_model_lets_every_friend_speak_and_nobody_else(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    drawn = Counter(speaker.next_voice(CONTEXT, list(HABITS)) for _ in range(60))

    assert set(drawn) == set(HABITS)


def test_a_voice_that_is_not_offered_never_speaks(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    drawn = {speaker.next_voice(CONTEXT, ["Raul"]) for _ in range(5)}

    assert drawn == {"Raul"}


def test_an_empty_context_is_answered_too(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    assert speaker.reply((), "Hugo")
