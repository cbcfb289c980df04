"""The progress display shows the time left once it can be estimated."""

import pytest

from model.conduct import Progress
from pipeline.progress import describe, time_left


@pytest.mark.parametrize(
    ("share", "seconds", "left"),
    [
        (0.0, 0.0, ""),
        (0.0001, 13.0, ""),
        (0.04, 300.0, ""),
        (0.3, 2.0, ""),
        (0.1, 60.0, "9 min"),
        (0.5, 7_500.0, "2 h 05"),
        (1.0, 60.0, "0 s"),
    ],
)
def test_no_time_left_is_shown_before_it_can_be_estimated(share, seconds, left):
    assert time_left(share, seconds) == left


def test_a_training_s_first_steps_show_no_time_left():
    first, later = (describe(Progress(share, 20.0, 1, None, 3.0)) for share in (0.0002, 0.25))

    assert first == "  0%  loss …  3.0 pairs/s"
    assert later == " 25%  loss …  3.0 pairs/s  1 min left"
