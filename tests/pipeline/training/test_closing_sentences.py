"""The plain sentences at the end of a training."""

import pytest

from pipeline.training.losses import HeldOutLoss, Nats
from pipeline.training.verdict import loss_sentence, summarize_result, voice_sentence


def losses(untuned, tuned, replies=200):
    return HeldOutLoss(Nats(untuned, tuned), None, {}, replies)


def scorecard(share, low, real=0.51, lines=143, names=0.4):
    """Return a card of five voices; `names` is the lower bound of right voice."""
    return {
        "right_voice": {
            "absent": {"turns": 25, "chance": 0.25},
            "no_context": {"turns": 25, "chance": 0.2},
        },
        "attribution": {"chance": 0.2, "recall": {"generated": share, "real": real}},
        "replies": {"generated": {"lines": lines}},
        "intervals": {
            "attribution.bags_of_1.generated": [low, 1.0],
            "right_voice.absent.share": [names, 1.0],
            "right_voice.no_context.share": [names, 1.0],
        },
    }


def test_the_verdict_names_direction_and_chance_of_each_figure():
    assert summarize_result(losses(1.053, 0.899), scorecard(0.25, 0.14)) == (
        "Held-out loss fell from 1.05 to 0.90 nats per character on 200 replies (lower is better). "
        "Classifiers of the friends' real lines recognise the voice in 25% of its 143 lines "
        "(higher is better, chance 20%, real replies 51%), so it may or may not sound like them: "
        "these lines are too few to tell."
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
    assert loss_sentence(losses(*nats)).startswith(f"Held-out loss {words} nats")


@pytest.mark.parametrize(
    ("share", "low", "words"),
    [
        (0.15, 0.05, "does not yet sound like anyone"),
        (0.30, 0.19, "may or may not sound like them: these lines are too few to tell"),
        (0.30, 0.24, "begins to sound like them"),
        (0.43, 0.37, "sounds like them"),
    ],
)
def test_it_sounds_like_somebody_only_if_the_interval_is_above_chance(share, low, words):
    assert voice_sentence(scorecard(share, low)).endswith(f"so it {words}.")


def test_a_model_that_cannot_tell_the_names_apart_sounds_like_nobody():
    said = voice_sentence(scorecard(0.49, 0.42, names=0.22))

    assert said.endswith(
        "so it does not yet sound like anyone: for the model itself, the right name is not "
        "likelier than others."
    )


def test_the_verdict_of_a_version_without_lines():
    assert "said nothing" in voice_sentence(scorecard(0.0, 0.0, lines=0))
