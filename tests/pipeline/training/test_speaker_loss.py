"""A loss on names: each turn should be likeliest under its own name."""

import os
import random
import signal
from collections import Counter
from datetime import UTC, datetime

import pytest
import torch

from pipeline.dataset.pairs import Pair
from pipeline.training.bases import open_base
from pipeline.training.device import Precision
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.scorer import score_examples
from pipeline.training.speaker_loss import NAMES, TURNS, SpeakerLoss
from pipeline.training.trainer import train
from tests.checkpoints import save_llama
from tests.training_rows import rows_of

NOW = datetime(2024, 3, 1, tzinfo=UTC)
SOUNDS = {"Hugo": "bark bark", "Tiago": "meow", "Raul": "tweet tweet tweet", "Ana": "hello there"}
FLOAT32 = Precision(bf16=False, reason="a test")


@pytest.fixture
def base(tmp_path):
    return open_base(str(save_llama(tmp_path / "base")), tmp_path, [])


def pairs(count=8):
    return [
        Pair(-1, (number,), (), voice, ("Ana: and friday?",), (sound,) * (1 + number % 2), NOW)
        for voice, sound in SOUNDS.items()
        for number in range(count)
    ]  # fmt: skip


def speaker_loss(base, own=None, min_passes=0.0, **settings):
    return SpeakerLoss(
        base, pairs() if own is None else own, Hyperparameters(**settings), min_passes
    )


def ask(base, voice, target):
    """Return the model's log-probabilities of a turn under each name, its own first."""
    names = [voice, *(name for name in SOUNDS if name != voice)]
    examples = [encode(base.codec, name, (), target, (384, 64)) for name in names]
    return torch.tensor([score.nats for score in score_examples(base, examples)])


def test_it_is_the_cross_entropy_of_the_right_name(base, monkeypatch):
    monkeypatch.setattr("pipeline.training.speaker_loss.NAMES", len(SOUNDS))
    loss = speaker_loss(base)
    turns = [(group[0].voice, group[0]) for group in loss._draw(3)]

    nats = []
    for voice, example in turns:
        text = base.codec.text(example.reply)
        target = (SOUNDS[voice],) * text.count(SOUNDS[voice])
        nats.append(-ask(base, voice, target).log_softmax(0)[0])

    base.weights.eval()
    assert float(loss.compute(3).detach()) == pytest.approx(
        float(torch.stack(nats).mean()), rel=1e-4
    )


@pytest.mark.parametrize("parts", [2, 4, 5])
def test_the_parts_of_a_step_add_up_to_it(base, parts):
    loss = speaker_loss(base)
    base.weights.eval()

    own = [float(loss.compute(3, part, parts).detach()) for part in range(parts)]

    assert min(own) > 0
    assert sum(own) == pytest.approx(float(loss.compute(3).detach()), rel=1e-4)


def test_a_step_in_several_parts_learns_the_same(tmp_path, monkeypatch):
    folder = save_llama(tmp_path / "base")
    whole, _ = learn(folder, tmp_path / "whole", weight=1.0)
    monkeypatch.setattr("pipeline.training.trainer.estimate_batch_size", lambda *_, **__: 2)

    in_parts, _ = learn(folder, tmp_path / "parts", weight=1.0)

    assert right(in_parts) == pytest.approx(right(whole), rel=0.02)


def test_a_step_asks_about_turns_of_all_voices_equally_often(base):
    uneven = [pair for pair in pairs(40) if pair.voice == "Hugo"] + pairs(2)
    loss = speaker_loss(base, uneven)

    asked = Counter(group[0].voice for step in range(60) for group in loss._draw(step))

    assert sum(asked.values()) == 60 * TURNS
    assert asked.keys() == SOUNDS.keys()
    assert min(asked.values()) > 0.6 * max(asked.values())


def test_each_turn_has_its_own_name_first_and_different_rivals(base):
    for group in speaker_loss(base)._draw(0):
        names = [example.voice for example in group]
        assert len(names) == len(set(names)) == NAMES
        assert base.codec.text(group[0].reply).startswith(f" {SOUNDS[names[0]]}")


def test_the_draws_depend_on_seed_and_step_only(base):
    random.seed(1)
    first = speaker_loss(base)._draw(5)
    random.seed(2)

    assert speaker_loss(base)._draw(5) == first
    assert speaker_loss(base)._draw(6) != first
    assert speaker_loss(base, seed=1)._draw(5) != first


def test_it_needs_a_weight_and_two_voices(base):
    one = [pair for pair in pairs() if pair.voice == "Hugo"]

    assert speaker_loss(base).is_used
    assert not speaker_loss(base, speaker_loss=0.0).is_used
    assert not speaker_loss(base, one).is_used


def learn(folder, work, *, weight, stop_at=None, resume=False, **more):
    """Train a fresh model on lines without names in view, and return it with the outcome."""
    base = open_base(str(folder), folder, [])
    examples = [encode(base.codec, p.voice, p.context, p.target, (200, 32)) for p in pairs(2)]
    settings = Hyperparameters(
        epochs=6, batch_size=8, learning_rate=2e-3, speaker_loss=weight, **more
    )

    def press(progress):
        if progress.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    loss = SpeakerLoss(base, pairs(), settings, 0.0)
    outcome = train(
        base, rows_of(base, examples), settings, work, precision=FLOAT32,
        speaker_loss=loss if loss.is_used else None, resume=resume, on_progress=press,
    )  # fmt: skip
    base.weights.eval()
    return base, outcome


def right(base):
    """Return the mean log-probability of the right name."""
    turns = [(voice, (sound,)) for voice, sound in SOUNDS.items()]
    return sum(float(ask(base, *turn).log_softmax(0)[0]) for turn in turns) / len(turns)


def test_a_model_learns_names_sooner_with_it(tmp_path):
    folder = save_llama(tmp_path / "base")

    without, _ = learn(folder, tmp_path / "w", weight=0.0)
    with_it, _ = learn(folder, tmp_path / "n", weight=1.0)

    assert right(with_it) > right(without) + 0.1


def test_a_resumed_run_still_has_it(tmp_path):
    folder = save_llama(tmp_path / "base")

    learn(folder, tmp_path / "broken", weight=1.0, stop_at=3)
    resumed, _ = learn(folder, tmp_path / "broken", weight=1.0, resume=True)
    whole, _ = learn(folder, tmp_path / "whole", weight=1.0)

    assert right(resumed) == pytest.approx(right(whole), rel=1e-3)


@pytest.mark.parametrize(("min_passes", "is_used"), [(1.0, True), (7.0, False)])
def test_a_run_with_too_little_time_for_it_goes_without(base, tmp_path, min_passes, is_used):
    examples = [encode(base.codec, p.voice, p.context, p.target, (200, 32)) for p in pairs(2)]
    settings = Hyperparameters(epochs=2, batch_size=8, minutes=1)
    loss = SpeakerLoss(base, pairs(), settings, min_passes)

    outcome = train(
        base,
        rows_of(base, examples),
        settings,
        tmp_path / "w",
        precision=FLOAT32,
        speaker_loss=loss,
    )

    assert (tmp_path / "w" / "speaker_loss").exists() is is_used
    assert (outcome.speaker_loss > 0) is is_used
