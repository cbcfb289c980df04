"""When a new version may serve in place of the current one."""

import io

import pytest
from rich.console import Console

from pipeline.dataset.pairs import Pair
from pipeline.evaluation.evaluate import GATE
from pipeline.retrain.gate import decide, enlarge, print_decision
from pipeline.terminal import Progress
from tests.pipeline.chats import NOON
from tests.pipeline.retrain.retrain_runner import card, judged


def test_a_version_that_is_as_good_may_serve():
    assert decide(judged(card()), judged(card())).reasons == ()


@pytest.mark.parametrize(
    ("new", "passes"),
    [
        (card(attribution=0.58, right_voice=0.68), True),
        (card(attribution=0.45), False),
        (card(right_voice=0.55), False),
        (card(copied=0.1), True),
        (card(copied=0.2), False),
        (card(private=1), False),
        (card(attribution=0.9, right_voice=0.9), True),
    ],
    ids=["a turn", "whose lines", "right voice", "few copies", "copies", "private", "better"],
)
def test_only_a_fall_beyond_chance_copies_or_private_data_prevent_promotion(new, passes):
    assert (decide(judged(new), judged(card())).reasons == ()) == passes


def test_the_same_fall_is_certain_on_the_same_turns_only():
    new, current = card(right_voice=0.62), card()

    paired = decide(judged(new, turns=96), judged(current, turns=96))
    others = decide(judged(new, turns=96, seed=1), judged(current, turns=96))

    assert paired.reasons == ("right voice fell from 0.700 to 0.620, more than chance explains",)
    assert others.reasons == ()


def test_a_large_fall_is_reported_even_with_few_turns():
    decision = decide(judged(card(attribution=0.267), 8, seed=1), judged(card(0.632), 8))

    attribution = decision.comparisons[0]
    assert attribution.high > 0
    (reason,) = decision.reasons
    assert reason.startswith("attribution fell from 0.632 to 0.267; 8 turns are too few to tell")
    assert reason.endswith('promote it with --force-promotion "REASON"')


def test_a_small_fall_within_chance_is_accepted():
    decision = decide(judged(card(attribution=0.5), 8, seed=1), judged(card(0.6), 8))

    assert decision.reasons == ()


@pytest.mark.parametrize(("bags", "size"), [(1, 1), (3, 1), (4, 10)])
def test_attribution_takes_the_largest_bags_of_which_each_voice_has_four(bags, size):
    decision = decide(judged(card(bags=bags)), judged(card(bags=bags)))

    assert decision.comparisons[0].metric == f"attribution, bags of {size}"


def test_a_current_version_that_cannot_be_compared_is_a_reason():
    decision = decide(judged(card()), None, "nothing is held out")

    assert decision.reasons == ("nothing is held out",)


@pytest.mark.parametrize(("fall", "turns", "passes"), [(0.365, 8, True), (0.365, 96, False)])
def test_only_a_certain_fall_keeps_withdrawn_words_in_use(fall, turns, passes):
    new, current = judged(card(attribution=0.632 - fall), turns, seed=1), judged(card(0.632), turns)

    assert (decide(new, current, must_replace=True).reasons == ()) is passes


@pytest.mark.parametrize(("replies", "larger"), [(40, None), (48, 48), (999, 120)])
def test_twice_as_many_turns_are_worth_a_second_comparison(replies, larger):
    pairs = [Pair(1, (), (), "Ana", (), (), NOON)] * replies

    found = enlarge(GATE, pairs)

    assert (found and found.replies) == larger


def test_a_first_version_is_judged_alone():
    decision = decide(judged(card(copied=0.5)), None)

    assert decision.reasons == ()
    assert all(one.current is None for one in decision.comparisons)


def test_the_figures_stand_side_by_side_in_80_columns():
    decision = decide(judged(card(right_voice=0.4)), judged(card()))

    told = printed(decision, "0001-00112233")

    row = next(line for line in told if line.startswith("  right voice, 48 turns"))
    assert row.split()[4:7] == ["0.400", "0.700", "-0.30"]
    assert row.split()[-2:] == ["0.500", "worse"]
    assert "  0002-aabbccdd and 0001-00112233 answered the same 48 held-out turns of 12" in told[0]
    assert "  nats a character, 48 turns" in "\n".join(told)
    assert "  right voice fell from 0.700 to 0.400, more than chance explains" in told
    assert all(len(line) <= 80 for line in told)


def test_a_first_version_s_figures_name_their_chance_and_direction():
    told = printed(decide(judged(card()), None), None)

    row = next(line for line in told if line.startswith("  right voice, 48 turns"))
    assert row.split()[4:] == ["0.700", "0.500"]
    assert any("higher is better" in line for line in told)
    assert any("lower is better" in line for line in told)


def printed(decision, current):
    shown = io.StringIO()
    console = Console(file=shown, width=80, highlight=False, markup=False)
    print_decision(decision, "0002-aabbccdd", current, Progress(console, verbose=True))
    return shown.getvalue().splitlines()
