"""The draw of the next voice from given probabilities."""

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


def test_voices_are_drawn_with_the_models_probabilities():
    found = drawn(("Raul: hello",), [0.6, 0.3, 0.1])

    assert found["Hugo"] / 600 == pytest.approx(0.6, abs=0.06)
    assert found["Tiago"] / 600 == pytest.approx(0.1, abs=0.04)


def test_a_voice_with_two_turns_in_a_row_is_not_drawn():
    assert set(drawn(TWO_OF_HUGO, [0.45, 0.3, 0.25])) == {"Raul", "Tiago"}


def test_a_voice_with_two_turns_in_a_row_is_drawn_if_it_is_clearly_likeliest():
    assert drawn(TWO_OF_HUGO, [0.6, 0.3, 0.1])["Hugo"] / 600 == pytest.approx(0.6, abs=0.06)


@pytest.mark.parametrize(
    "context",
    [(), ("Hugo: hi",), ("Hugo: hi", "Raul: hello", "Hugo: well?"), ("Hugo: hi", "[…]", "Hugo: so"),
     ("Ana: hi", "Ana: hello")],
    ids=["nothing", "one line", "somebody between", "somebody withheld between",
         "two of another's"],
)  # fmt: skip
def test_other_voices_are_not_restricted(context):
    assert set(drawn(context, [0.4, 0.3, 0.3])) == set(VOICES)


def test_the_only_voice_is_always_drawn():
    assert set(drawn(TWO_OF_HUGO, [0.01], voices=["Hugo"])) == {"Hugo"}
