"""The judge knows its people's lines, and gives nothing to those of others."""

import random

import pytest

from pipeline.evaluation.attribution import (
    measure_attribution,
    train_character_classifier,
    train_word_classifier,
)
from pipeline.evaluation.heldout import Line, list_lines, make_real_answers
from tests.pipeline.evaluation.people import VOICES, answers, next_voice, turns

JUDGES = pytest.mark.parametrize("learn", [train_character_classifier, train_word_classifier])


@JUDGES
def test_real_lines_of_people_unlike_each_other_are_told_apart(learn):
    judge = learn(list_lines(make_real_answers(turns(40, 1))))

    found = measure_attribution(judge, list_lines(make_real_answers(turns(20, 2))), seed=0)

    assert found[1].f1.value > 0.95
    assert found[10].f1.value == 1.0
    assert found[10].confusion == ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@JUDGES
def test_lines_in_somebody_else_s_way_are_attributed_to_them(learn):
    judge = learn(list_lines(make_real_answers(turns(40, 1))))

    found = measure_attribution(judge, list_lines(answers(turns(20, 2), 3, next_voice)), seed=0)

    assert found[1].f1.value < 0.05
    assert found[10].f1.value == 0.0


@JUDGES
def test_lines_that_are_alike_whoever_says_them_are_no_better_than_chance(learn):
    judge = learn(list_lines(make_real_answers(turns(40, 1))))
    chance = random.Random(0)
    anybody = [Line(voice, f"yes {chance.randrange(9)}") for voice in VOICES for _ in range(60)]

    found = measure_attribution(judge, anybody, seed=0)

    assert found[10].f1.value < 0.5


def test_more_lines_in_a_bag_tell_more():
    hard = [
        Line(line.voice, line.text if number % 3 == 0 else "okay then")
        for number, line in enumerate(list_lines(make_real_answers(turns(60, 2))))
    ]
    judge = train_character_classifier(list_lines(make_real_answers(turns(40, 1))))

    found = measure_attribution(judge, hard, seed=0)

    assert found[1].f1.value < found[5].f1.value <= found[10].f1.value


def test_every_voice_gets_as_many_bags_however_much_it_says():
    judge = train_character_classifier(list_lines(make_real_answers(turns(40, 1))))
    much = [line for line in list_lines(make_real_answers(turns(40, 2))) if line.voice == VOICES[0]]
    little = [
        line for line in list_lines(make_real_answers(turns(20, 3))) if line.voice != VOICES[0]
    ]

    found = measure_attribution(judge, [*much, *little], seed=0)

    fewest = min(sum(line.voice == voice for line in little) for voice in VOICES[1:])
    assert found[5].bags == fewest // 5


def test_a_voice_without_lines_counts_as_never_recognised():
    judge = train_character_classifier(list_lines(make_real_answers(turns(40, 1))))
    two = [line for line in list_lines(make_real_answers(turns(20, 2))) if line.voice != VOICES[0]]

    assert measure_attribution(judge, two, seed=0)[1].f1.value == pytest.approx(2 / 3, abs=0.05)
    assert measure_attribution(judge, [], seed=0)[10].f1.value == 0.0


def test_the_same_seed_gives_the_same_figures():
    judge = train_character_classifier(list_lines(make_real_answers(turns(20, 1))))
    lines = list_lines(make_real_answers(turns(10, 2)))

    assert measure_attribution(judge, lines, seed=3) == measure_attribution(judge, lines, seed=3)


def test_fewer_lines_give_wider_intervals():
    judge = train_character_classifier(list_lines(make_real_answers(turns(40, 1))))
    chance = random.Random(0)

    def mixed(count):
        return [
            Line(voice, line.text)
            for line in list_lines(make_real_answers(turns(count, 2)))
            for voice in [line.voice if chance.random() < 0.7 else next_voice(line.voice)]
        ]

    few, many = (measure_attribution(judge, mixed(count), seed=0)[1].f1 for count in (8, 80))

    assert few.high - few.low > many.high - many.low > 0
    assert many.low <= many.value <= many.high
