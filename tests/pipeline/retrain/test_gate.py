"""When a new version may serve in place of the current one."""

import io

import pytest
from rich.console import Console

from pipeline.retrain.gate import judged, print_verdict
from tests.pipeline.retrain.workshop import card


def test_a_version_that_is_as_good_may_serve():
    assert judged(card(), card()).reasons == ()


@pytest.mark.parametrize(
    ("new", "passes"),
    [
        (card(attribution=0.51, right_voice=0.61), True),
        (card(attribution=0.49), False),
        (card(right_voice=0.59), False),
        (card(copied=0.01), True),
        (card(copied=0.05), False),
        (card(copied=0.05, lines=20), True),
        (card(private=1), False),
        (card(attribution=0.9, right_voice=0.9), True),
    ],
    ids=[
        *("within", "whose lines", "right voice", "two copies", "ten copies"),
        *("one copy of few lines", "private", "better"),
    ],
)
def test_only_a_fall_below_the_interval_more_copies_or_a_secret_keep_it_out(new, passes):
    assert (judged(new, card()).reasons == ()) == passes


def test_bags_of_which_a_voice_has_one_alone_decide_nothing():
    new, current = card(attribution=0.1, bags=1), card(bags=1)
    new["attribution"]["bags_of_1"]["generated"] = current["attribution"]["bags_of_1"]["generated"]

    verdict = judged(new, current)

    assert verdict.figures[0].figure == "attribution, bags of 1"
    assert verdict.reasons == ()


def test_a_current_version_that_cannot_be_compared_is_a_reason():
    assert judged(card(), None, "nothing is held out").reasons == ("nothing is held out",)


def test_a_first_version_is_judged_alone():
    verdict = judged(card(copied=0.5), None)

    assert verdict.reasons == ()
    assert all(one.current is None for one in verdict.figures)


def test_the_figures_stand_side_by_side_in_80_columns():
    shown = io.StringIO()
    console = Console(file=shown, width=80, highlight=False, markup=False)

    print_verdict(judged(card(right_voice=0.4), card()), "0002-aabbccdd", "0001-00112233", console)

    told = shown.getvalue()
    row = next(line for line in told.splitlines() if "right voice" in line)
    assert row.split() == ["right", "voice", "0.400", "0.700", "0.600", "to", "0.800", "worse"]
    assert "0002-aabbccdd" in told
    assert "right voice fell from 0.700 to 0.400, below its interval" in told
    assert all(len(line) <= 80 for line in told.splitlines())
