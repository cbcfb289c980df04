"""The judges know their people's lines, and give nothing to those of others."""

import random

import pytest

from pipeline.evaluation.attribution import (
    BOTH,
    CHARACTERS,
    WORDS,
    judge_lines,
    measure_attribution,
    train_judges,
)
from pipeline.evaluation.heldout import HeldOutLine, list_lines, make_real_answers
from tests.pipeline.evaluation.people import VOICES, answers, next_voice, turns

JUDGES = pytest.mark.parametrize("judge", [BOTH, CHARACTERS, WORDS])


@pytest.fixture(scope="module")
def judges():
    return train_judges(real(60, 1), 3, 0)


def real(count, seed):
    return list_lines(make_real_answers(turns(count, seed, sessions=12)))


def attribute(judges, judge=BOTH, size=10, **arms):
    """Attribute the arms' lines; `real` are real lines unless given."""
    lines = {"real": real(40, 2), **arms}
    judged = {name: judge_lines(judges, own) for name, own in lines.items()}
    return measure_attribution(judged, "real", judge, size, seed=0)


@JUDGES
def test_real_lines_of_people_unlike_each_other_are_told_apart(judges, judge):
    assert attribute(judges, judge, 1)["real"].f1.value > 0.9
    found = attribute(judges, judge)["real"]
    assert found.f1.value == found.relative.value == found.relative.low == 1.0
    assert found.confusion == ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@JUDGES
def test_lines_in_somebody_elses_way_are_attributed_to_them(judges, judge):
    swapped = list_lines(answers(turns(20, 2), 3, next_voice))

    assert attribute(judges, judge, 1, other=swapped)["other"].f1.value < 0.1
    assert attribute(judges, judge, other=swapped)["other"].relative.value == 0.0


@JUDGES
def test_lines_that_are_alike_whoever_says_them_are_no_better_than_chance(judges, judge):
    chance = random.Random(0)
    anybody = [
        HeldOutLine(voice, f"yes {chance.randrange(9)}") for voice in VOICES for _ in range(60)
    ]

    assert attribute(judges, judge, other=anybody)["other"].f1.value < 0.5


def test_nothing_is_compared_with_real_lines_that_the_judges_never_recognise(judges):
    swapped = list_lines(answers(turns(20, 2), 3, next_voice))

    found = attribute(judges, real=swapped, other=real(40, 3))["other"]

    assert found.f1.value == 1.0
    assert (found.relative.value, found.relative.low, found.relative.high) == (0.0, 0.0, 0.0)


def test_more_lines_in_a_bag_tell_more(judges):
    hard = [
        HeldOutLine(line.voice, line.text if number % 3 == 0 else "okay then", line.session)
        for number, line in enumerate(real(60, 2))
    ]
    f1 = [attribute(judges, size=size, hard=hard)["hard"].f1.value for size in (1, 5, 10)]

    assert f1[0] < f1[1] <= f1[2]


def test_every_voice_gets_as_many_bags_however_much_it_says(judges):
    much = [line for line in real(40, 2) if line.voice == VOICES[0]]
    little = [line for line in real(20, 3) if line.voice != VOICES[0]]

    found = attribute(judges, size=5, uneven=[*much, *little])["uneven"]

    assert found.bags == min(sum(one.voice == v for one in little) for v in VOICES[1:]) // 5


def test_a_voice_without_lines_counts_as_never_recognised(judges):
    two = [line for line in real(20, 2) if line.voice != VOICES[0]]

    found = attribute(judges, size=1, two=two, none=[])

    assert found["two"].f1.value == pytest.approx(2 / 3, abs=0.1)
    assert found["none"].f1.value == 0.0


def test_the_same_seed_gives_the_same_figures():
    once, again = (attribute(train_judges(real(20, 1), 2, 3)) for _ in range(2))

    assert once == again


def mixed(count, sessions=12):
    """Lines of which three in ten are in somebody else's way."""
    chance = random.Random(0)
    own = list_lines(make_real_answers(turns(count, 2, sessions=sessions)))
    voices = [line.voice if chance.random() < 0.7 else next_voice(line.voice) for line in own]
    return [HeldOutLine(v, line.text, line.session) for v, line in zip(voices, own, strict=True)]


def test_fewer_lines_give_wider_intervals(judges):
    few, many = (attribute(judges, size=1, mixed=mixed(count))["mixed"].f1 for count in (12, 120))

    assert few.high - few.low > many.high - many.low > 0
    assert many.low <= many.value <= many.high


def test_the_judges_own_variance_widens_the_interval():
    few = mixed(8)
    sure, unsure = (
        attribute(train_judges(few, refits, 0), CHARACTERS, 1, mixed=mixed(60))["mixed"].f1
        for refits in (0, 8)
    )

    assert unsure.value == sure.value
    assert unsure.high - unsure.low > sure.high - sure.low
