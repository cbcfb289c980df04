"""The merit of a reply from its scores."""

import pytest

from model.artifacts.artifact import Decoding
from model.speaking.candidates import ReplyScores, compute_merit

PLAIN = Decoding(voice_weight=1, context_weight=1, length_power=0, length_weight=1)


def test_merit_adds_context_voice_and_length():
    scores = ReplyScores(here=-4, alone=-6, tokens=5, voice=3, length=-0.5)

    assert compute_merit(scores, PLAIN) == 2 + 3 - 0.5


def test_without_a_table_only_the_context_counts():
    assert compute_merit(ReplyScores(-4, -6, 5), PLAIN) == 2


@pytest.mark.parametrize(("power", "wanted"), [(0, 5), (0.5, 4), (1, 3.5)])
def test_the_context_is_normalized_by_length(power, wanted):
    settings = Decoding(voice_weight=1, context_weight=1, length_power=power)

    assert compute_merit(ReplyScores(-4, -6, 4, voice=3), settings) == pytest.approx(wanted)


def test_the_weights_scale_each_part():
    weights = Decoding(voice_weight=0.5, context_weight=2, length_power=1, length_weight=4)

    assert compute_merit(ReplyScores(-4, -6, 1, voice=3, length=-0.25), weights) == 4 + 1.5 - 1
