"""Who speaks next, drawn from given odds."""

import random
from collections import Counter
from math import log

import pytest

from model.speaking.speaker import draw_voice

VOICES = ["Hugo", "Raul", "Tiago"]
TWO_OF_HUGO = ("Raul: hello", "Hugo: hi", "Hugo: well?")


def drawn(context, odds, voices=VOICES, times=600):
    chance = random.Random(1)
    scores = [log(share) - 40 for share in odds]
    return Counter(draw_voice(context, voices, scores, chance) for _ in range(times))


def test_voices_speak_as_often_as_the_model_thinks():
    found = drawn(("Raul: hello",), [0.6, 0.3, 0.1])

    assert found["Hugo"] / 600 == pytest.approx(0.6, abs=0.06)
    assert found["Tiago"] / 600 == pytest.approx(0.1, abs=0.04)


def test_who_had_two_turns_rests():
    assert set(drawn(TWO_OF_HUGO, [0.45, 0.3, 0.25])) == {"Raul", "Tiago"}


def test_who_had_two_turns_goes_on_where_that_is_likely():
    assert drawn(TWO_OF_HUGO, [0.6, 0.3, 0.1])["Hugo"] / 600 == pytest.approx(0.6, abs=0.06)


@pytest.mark.parametrize(
    "context",
    [(), ("Hugo: hi",), ("Hugo: hi", "Raul: hello", "Hugo: well?"), ("Hugo: hi", "[…]", "Hugo: so"),
     ("Ana: hi", "Ana: hello")],
    ids=["nothing", "one line", "somebody between", "somebody withheld between",
         "two of another's"],
)  # fmt: skip
def test_nobody_else_rests(context):
    assert set(drawn(context, [0.4, 0.3, 0.3])) == set(VOICES)


def test_the_only_voice_goes_on():
    assert set(drawn(TWO_OF_HUGO, [0.01], voices=["Hugo"])) == {"Hugo"}
