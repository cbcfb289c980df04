"""The merit of a reply from its scores."""

import pytest

from model.artifacts.artifact import Decoding
from model.speaking.candidates import ReplyScores, compute_merit

PLAIN = Decoding(voice_weight=1, context_weight=1, length_power=0)


def test_merit_adds_the_gains_of_context_and_voice():
    assert compute_merit(ReplyScores(here=-4, alone=-6, others=(-9, -9), tokens=5), PLAIN) == 2 + 3


def test_the_likeliest_other_voice_counts_most():
    near, far = ReplyScores(-6, -6, (-6, -60), 5), ReplyScores(-6, -6, (-30, -60), 5)

    assert compute_merit(near, PLAIN) < 1 < compute_merit(far, PLAIN)


def test_without_other_voices_only_the_context_counts():
    assert compute_merit(ReplyScores(-4, -6, (), 5), PLAIN) == 2


@pytest.mark.parametrize(("power", "wanted"), [(0, 5), (0.5, 2.5), (1, 1.25)])
def test_merit_is_normalized_by_length(power, wanted):
    settings = Decoding(voice_weight=1, context_weight=1, length_power=power)

    assert compute_merit(ReplyScores(-4, -6, (-9,), 4), settings) == pytest.approx(wanted)


def test_the_weights_scale_context_and_voice():
    found = ReplyScores(here=-4, alone=-6, others=(-9,), tokens=1)

    assert (
        compute_merit(found, Decoding(voice_weight=0.5, context_weight=2, length_power=1))
        == 4 + 1.5
    )
