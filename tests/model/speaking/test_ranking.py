"""The merit of a reply from its scores."""

import pytest

from model.artifacts.artifact import Decoding
from model.speaking.candidates import ReplyScores, compute_merit, measure_distance
from model.speaking.voice_classifier import TurnLength

PLAIN = Decoding(voice_weight=1, context_weight=1, length_power=0, length_weight=1)


def test_merit_adds_context_and_voice_and_subtracts_the_distance():
    scores = ReplyScores(here=-4, alone=-6, tokens=5, voice=3, distance=0.5)

    assert compute_merit(scores, PLAIN) == 2 + 3 - 0.5


def test_without_a_table_only_the_context_counts():
    assert compute_merit(ReplyScores(-4, -6, 5), PLAIN) == 2


@pytest.mark.parametrize(("power", "wanted"), [(0, 5), (0.5, 4), (1, 3.5)])
def test_the_context_is_normalized_by_length(power, wanted):
    settings = Decoding(voice_weight=1, context_weight=1, length_power=power)

    assert compute_merit(ReplyScores(-4, -6, 4, voice=3), settings) == pytest.approx(wanted)


def test_the_weights_scale_each_part():
    weights = Decoding(voice_weight=0.5, context_weight=2, length_power=1, length_weight=4)

    assert compute_merit(ReplyScores(-4, -6, 1, voice=3, distance=0.25), weights) == 4 + 1.5 - 1


def test_the_distance_is_0_for_the_same_length_and_grows_with_each_difference():
    usual = TurnLength(messages=2, characters=20)

    assert measure_distance(["0123456789"] * 2, usual) == 0
    assert measure_distance(["0123456789" * 2], usual) == 1
    assert measure_distance(["0123456789" * 2] * 2, usual) == pytest.approx(0.693, abs=0.001)
    assert measure_distance(["01234"] * 2, usual) == pytest.approx(0.693, abs=0.001)


def test_long_bursts_are_alike():
    assert measure_distance(["01"] * 5, TurnLength(9, 10)) == 0
