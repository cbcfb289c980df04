"""Nats a character, and whether the right name wins where turn-taking cannot help."""

from dataclasses import replace

import pytest

from pipeline.evaluation.heldout import HeldOutTurn
from pipeline.evaluation.likelihood import measure_likelihood, measure_right_voice, measure_turns
from tests.pipeline.evaluation.people import VOICES, score_by_ways, score_by_words, turns


@pytest.fixture(scope="module")
def measured():
    return measure_turns(turns(20, 1), VOICES, score_by_ways)


def test_the_right_names_win_with_a_model_that_knows_them(measured):
    found = measure_right_voice(measured, 0)

    assert found["absent"].share.value == found["no_context"].share.value == 1
    assert found["no_context"].chance == pytest.approx(1 / 3)
    assert found["absent"].chance == 0.5  # the other speaker is in view
    assert set(found["absent"].voices) == set(VOICES)


def test_a_model_that_ignores_names_is_never_right():
    found = measure_right_voice(measure_turns(turns(20, 1), VOICES, score_by_words), 0)

    assert found["absent"].share.value == found["no_context"].share.value == 0


def test_the_speakers_lines_are_removed_and_names_in_view_do_not_compete():
    turn = HeldOutTurn(VOICES[0], (f"{VOICES[1]}: hi", f"{VOICES[0]}: hello"), ("you",))
    asked = []

    def score(requests):
        asked.extend(requests)
        return score_by_words(requests)

    measure_turns([turn], VOICES, score)

    own, absent, alone = asked
    assert own.context == turn.context
    assert absent.context == (f"{VOICES[1]}: hi",)
    assert [name for name, _ in absent.replies] == [VOICES[0], VOICES[2]]
    assert alone.context == ()
    assert {name for name, _ in alone.replies} == set(VOICES)


def test_a_turn_without_an_absent_rival_is_left_out():
    everybody = HeldOutTurn(VOICES[0], tuple(f"{name}: hi" for name in VOICES), ("you",))

    measured = measure_turns([everybody, *turns(4, 1)], VOICES, score_by_ways)

    assert measured[0].absent == ()
    assert measure_right_voice(measured, 0)["absent"].turns == len(measured) - 1


def test_without_context_replies_cost_more(measured):
    found = measure_likelihood(measured, 0)

    assert found.no_context.value > found.tuned.value
    assert set(found.voices) == set(VOICES)


def test_turns_seen_in_training_are_told_apart():
    measured = measure_turns([*turns(9, 1), *turns(9, 2, seen=True)], VOICES, score_by_ways)
    priced = [
        replace(
            one, own=replace(one.own, nats=-(9.0 if one.turn.seen else 1.0) * 10, characters=10)
        )
        for one in measured
    ]

    found = measure_likelihood(priced, 0)

    assert found.unseen["tuned"].value == pytest.approx(1)
    assert found.tuned.value > 3
