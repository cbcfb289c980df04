"""Nats a character, and whether the right name wins."""

import pytest

from pipeline.evaluation.likelihood import (
    Cost,
    compute_perplexity,
    measure_likelihood,
    measure_right_voice,
    repeat_under_names,
)
from tests.pipeline.evaluation.people import VOICES, evidence, turns


def test_a_model_that_foresees_better_costs_less():
    measured = evidence().measured
    found = measure_likelihood(
        measured.turns,
        {"tuned": measured.tuned, "base": measured.base, "no_context": measured.no_context},
        seed=0,
    )

    assert (found.tuned.value, found.no_context.value, found.base.value) == (1.0, 2.0, 3.0)
    assert set(found.voices) == set(VOICES)
    assert found.voices["Hugo"]["base"].value == 3.0


def test_turns_seen_in_training_are_left_out_of_unseen():
    told = (*turns(1, 1), *turns(1, 2, seen=True))
    costs = [Cost(10.0, 5, 10)] * 3 + [Cost(1.0, 5, 10)] * 3

    found = measure_likelihood(told, dict.fromkeys(("tuned", "base", "no_context"), costs), seed=0)

    assert found.tuned.value == pytest.approx(0.55)
    assert found.unseen["tuned"].value == 1.0


def test_long_replies_weigh_by_their_length():
    costs = [Cost(10.0, 5, 10), Cost(270.0, 50, 90), Cost(10.0, 5, 10)]

    found = measure_likelihood(
        turns(1, 1), dict.fromkeys(("tuned", "base", "no_context"), costs), seed=0
    )

    assert found.tuned.value == pytest.approx(290 / 110)


def test_perplexity_is_e_to_the_nats_a_token():
    assert compute_perplexity([Cost(0.0, 4, 1), Cost(0.0, 4, 1)]) == 1.0
    assert compute_perplexity([Cost(4.0, 4, 1)]) == pytest.approx(2.718, abs=1e-3)


def test_the_right_name_wins_where_it_is_cheapest():
    measured = evidence().measured

    found = measure_right_voice(measured.turns, VOICES, measured.names, seed=0)

    assert found.share.value == found.unseen.value == 1.0
    assert found.own_name.value < found.other_names.value
    assert found.chance == pytest.approx(1 / 3)


def test_the_right_name_loses_where_another_is_cheaper():
    told = turns(5, 1)
    wrong = [Cost(30.0 if turn.voice == name else 10.0, 5, 10) for turn in told for name in VOICES]

    found = measure_right_voice(told, VOICES, wrong, seed=0)

    assert found.share.value == 0.0
    assert found.own_name.value > found.other_names.value


def test_each_turn_is_asked_under_every_name_in_order():
    told = repeat_under_names(turns(2, 1), VOICES)

    assert [turn.voice for turn in told] == list(VOICES) * 6
