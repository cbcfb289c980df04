"""The plain sentences at the end of a training."""

import pytest

from pipeline.training.losses import HeldOutLoss, Nats
from pipeline.training.verdict import (
    judge_likeness,
    loss_sentence,
    summarize_result,
    voice_sentence,
)


def losses(untuned, tuned, replies=200):
    return HeldOutLoss(Nats(untuned, tuned), None, {}, replies)


def scorecard(share=0.43, low=0.37, ratio=(0.9, 1.1), names=0.4, passes=1.0, bags=5, lines=143):
    """Return a card of five voices; `low` and `names` are the lower ends of intervals."""
    return {
        "passes": passes,
        "headline": {"bags": bags},
        "right_voice": {
            "absent": {"turns": 25, "chance": 0.25},
            "no_context": {"turns": 25, "chance": 0.2},
        },
        "attribution": {
            "chance": 0.2,
            "bags_of_1": {"generated": share, "real": 0.51},
            "bags_of_10": {"generated": share, "real": 0.51},
        },
        "replies": {"generated": {"lines": lines}},
        "intervals": {
            **{f"attribution.bags_of_{n}.generated": [low, 1.0] for n in (1, 10)},
            **{f"attribution.relative.bags_of_{n}.generated": ratio for n in (1, 10)},
            "right_voice.absent.share": [names, 1.0],
            "right_voice.no_context.share": [names, 1.0],
        },
    }


def test_the_sentences_name_direction_and_chance_of_each_figure():
    assert summarize_result(losses(1.053, 0.899), scorecard(0.25, 0.14)) == (
        "Its surprise at 200 real replies that it never saw fell from 1.05 to 0.90 per character "
        "(lower is better). "
        "Given ten of its lines, a classifier names the right friend in 25 of 100 cases; for the "
        "friends' own lines, in 51 (by chance, in 20), so it may or may not sound like them: these "
        "lines are too few to tell."
    )


@pytest.mark.parametrize(
    ("nats", "words"),
    [
        ((0.9, 1.05), "rose from 0.90 to 1.05"),
        ((0.901, 0.899), "stayed at 0.90"),
        ((1.05, 0.9), "fell from 1.05 to 0.90"),
    ],
)
def test_the_verdict_says_that_a_loss_rose_or_stayed(nats, words):
    assert loss_sentence(losses(*nats)).startswith(
        f"Its surprise at 200 real replies that it never saw {words} per character"
    )


@pytest.mark.parametrize(
    ("changes", "likeness"),
    [
        ({}, "alike"),
        ({"passes": 0.5}, "alike"),
        ({"passes": 0.499}, "untrained"),
        ({"passes": None}, "alike"),  # continued from a version that does not say
        ({"share": 0.2}, "unlike"),
        ({"names": 0.25}, "unlike"),
        ({"names": 0.251}, "alike"),
        ({"low": 0.2}, "uncertain"),
        ({"low": 0.201}, "alike"),
        ({"ratio": (0.9, 0.999)}, "beginning"),
        ({"ratio": (0.6, 0.999)}, "beginning"),
        ({"ratio": (0.899, 1.0)}, "uncertain"),
        ({"ratio": (0.899, 1.6)}, "uncertain"),
        ({"bags": 4}, "uncertain"),
        ({"bags": 4, "ratio": (0.6, 0.999)}, "beginning"),
    ],
)
def test_the_likeness_at_the_border_of_each_rule(changes, likeness):
    assert judge_likeness(scorecard(**changes)) == likeness


def test_after_less_than_half_a_pass_the_sentence_says_what_such_a_model_can_do():
    said = voice_sentence(scorecard(0.57, 0.5, ratio=(0.9, 1.2), passes=0.12))

    assert "sounds like them" not in said
    assert said.endswith(
        "but it has learned from only 12% of the training messages: such a model writes short "
        "messages that often do not fit and does not yet sound like anyone. Train for longer."
    )


def test_the_verdict_of_a_version_without_lines():
    assert "said nothing" in voice_sentence(scorecard(lines=0))


def test_with_few_lines_the_sentence_is_about_single_lines():
    assert voice_sentence(scorecard(bags=4)).startswith("Given one of its lines, a classifier")
