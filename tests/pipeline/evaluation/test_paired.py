"""Comparing two versions on the same turns: differences and chance."""

import random

import pytest

from pipeline.evaluation.intervals import resample_sessions
from pipeline.evaluation.paired import (
    EvaluatedAnswer,
    EvaluatedTurn,
    Outcomes,
    attribution_difference,
    chance_of_more_copies,
    collect_outcomes,
    nats_difference,
    right_voice_difference,
)
from tests.pipeline.evaluation.people import answers, evidence, next_voice


def version(rights, nats=None, sessions=2):
    """Return a version that is right in these turns, with this many turns per session."""
    turns = tuple(
        EvaluatedTurn(number // sessions, right, (nats or [10.0] * len(rights))[number], 10)
        for number, right in enumerate(rights)
    )
    return Outcomes(2, (), turns)


def test_equal_versions_have_no_difference():
    same = version([True, False] * 20)

    found = right_voice_difference(same, same, seed=0)

    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_a_fall_on_the_same_turns_is_more_certain_than_on_other_turns():
    current = version([n % 10 < 7 for n in range(100)])
    worse = version([n % 10 < 6 for n in range(100)])
    shifted = version([(n + 5) % 10 < 6 for n in range(100)])

    paired_loss = right_voice_difference(worse, current, seed=0)
    other_loss = right_voice_difference(shifted, current, seed=0)

    assert paired_loss.value == other_loss.value == pytest.approx(-0.1)
    assert paired_loss.high < 0 < other_loss.high


def test_turns_of_one_conversation_are_resampled_together():
    values = [float(n // 20 % 2) for n in range(400)]
    alone, together = (
        resample_sessions(
            sessions, lambda numbers: sum(values[n] for n in numbers) / len(numbers), 0, 300
        )
        for sessions in (range(400), [n // 20 for n in range(400)])
    )

    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_with_few_conversations_single_turns_are_resampled():
    found = resample_sessions(
        [0] * 30 + [1] * 30, lambda numbers: float((numbers < 30).mean()), 0, 300
    )

    assert found.low > 0.2
    assert found.high < 0.8


def test_without_turns_there_is_no_difference():
    assert right_voice_difference(version([]), version([]), seed=0).value == 0


def test_nats_are_compared_per_character():
    new, current = version([True] * 12, [8.0] * 12), version([True] * 12, [10.0] * 12)

    assert nats_difference(new, current, seed=0).value == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("new", "current", "is_chance"),
    [(0, 0, True), (3, 0, True), (8, 0, False), (8, 8, True), (12, 8, True), (0, 9, True)],
)
def test_only_answers_copied_by_exactly_one_version_count(new, current, is_chance):
    def copying(count, start):
        copied = range(start, start + count)
        return Outcomes(2, tuple(EvaluatedAnswer(0, 0, (), n in copied) for n in range(40)), ())

    found = chance_of_more_copies(copying(new, 0), copying(current, 20))

    assert (found > 0.025) == is_chance


def test_outcomes_distinguish_a_version_in_the_right_voices():
    good = evidence()
    bad = evidence(lambda asked, seed: answers(asked, seed, next_voice))

    found = [collect_outcomes(one) for one in (bad, good)]

    difference = attribution_difference(*found, size=5, seed=0)
    assert difference.value < -0.9
    assert difference.high < -0.8
    assert all(turn.is_right for turn in found[1].turns)
    assert attribution_difference(*found, size=5, seed=0) == difference


def test_turns_without_a_rival_do_not_count_for_right_voice():
    current, new = version([True, None] * 20), version([True, True] * 20)

    assert right_voice_difference(new, current, seed=0).value == 0


def test_a_chance_difference_has_an_interval_around_zero():
    chance = random.Random(0)

    def guessing():
        lines = [((0.0, -9.0), (-9.0, 0.0))[chance.random() < 0.5] for _ in range(120)]
        return Outcomes(
            2, tuple(EvaluatedAnswer(n // 3, n % 2, (v,)) for n, v in enumerate(lines)), ()
        )

    found = attribution_difference(guessing(), guessing(), size=1, seed=0)

    assert found.low < 0 < found.high
