"""Held-out loss decides when a run ends and which weights are used."""

import os
import signal

import pytest

from pipeline.terminal import (
    Point,
)
from pipeline.training.bases import open_base
from pipeline.training.callbacks import (
    HeldOut,
)
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.losses import losses
from pipeline.training.trainer import Precision, train
from tests.checkpoints import save_llama, save_t5

FLOAT32 = Precision(bf16=False, reason="a test")
BASES = {"encoder-decoder": save_t5, "decoder-only": save_llama}
CONTEXT = ("Hugo: shall we go?",)


@pytest.fixture(params=BASES)
def base(request, tmp_path):
    return open_base(str(BASES[request.param](tmp_path / "base")), tmp_path, [])


def said(base, *texts):
    return [encode(base.codec, "Hugo", CONTEXT, (text,), (200, 32)) for text in texts]


def nats(base, examples):
    found = losses(base, examples, bf16=False)
    return sum(loss.nats for loss in found) / sum(loss.characters for loss in found)


def test_a_run_that_only_learns_by_heart_is_stopped_and_its_best_weights_are_used(base, tmp_path):
    examples = said(base, *(["woof woof"] * 8))
    held_out = said(base, "what about me too")
    settings = Hyperparameters(
        epochs=60, batch_size=8, learning_rate=1e-2, evaluations=60, patience=2
    )

    outcome = train(base, examples, settings, tmp_path / "w", precision=FLOAT32, held_out=held_out)

    assert outcome.steps < 60
    assert outcome.kept == min(outcome.curve, key=lambda point: point.nats)
    assert outcome.curve[-1].nats > outcome.kept.nats
    assert nats(base, held_out) == pytest.approx(outcome.kept.nats, abs=1e-4)


def test_with_lora_too_the_best_weights_are_used(base, tmp_path):
    held_out = said(base, "what about me too")
    settings = Hyperparameters(
        epochs=40, batch_size=8, learning_rate=2e-2, evaluations=40, patience=2, lora=True
    )

    outcome = train(
        base, said(base, *(["woof woof"] * 8)), settings, tmp_path / "w",
        precision=FLOAT32, held_out=held_out,
    )  # fmt: skip

    assert nats(base, held_out) == pytest.approx(outcome.kept.nats, abs=1e-4)


def test_a_run_that_gets_better_goes_on_to_its_end(base, tmp_path):
    examples = said(base, *(["woof woof"] * 8))
    settings = Hyperparameters(epochs=20, batch_size=8, evaluations=5, patience=1)

    outcome = train(
        base, examples, settings, tmp_path / "w", precision=FLOAT32, held_out=examples[:1]
    )

    assert outcome.steps == 20
    assert [point.share for point in outcome.curve] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert outcome.kept == outcome.curve[-1]


def test_too_short_a_run_is_not_held_up_by_evaluations(base, tmp_path):
    examples = said(base, *(["woof woof"] * 8))
    settings = Hyperparameters(epochs=2, batch_size=4, evaluations=10)

    outcome = train(base, examples, settings, tmp_path, precision=FLOAT32, held_out=examples)

    assert outcome.curve == ()
    assert outcome.steps == 4


@pytest.mark.parametrize(
    ("losses", "patience", "ends"),
    [([3, 2, 1], 2, False), ([3, 1, 2], 2, False), ([3, 1, 2, 2], 2, True),
     ([1, 1, 1], 2, True), ([1, 2, 3, 4], 0, False)],
    ids=["better", "one worse", "two worse", "equals are not better", "patience without end"],
)  # fmt: skip
def test_a_curve_goes_nowhere_after_so_many_without_a_better_one(tmp_path, losses, patience, ends):
    watched = HeldOut(None, [], tmp_path, most=10, patience=patience, bf16=False)

    watched.curve = [Point(step, step / 10, loss) for step, loss in enumerate(losses)]

    assert watched.goes_nowhere is ends


def test_best_weights_that_the_last_checkpoint_needs_outlive_better_ones(base, tmp_path):
    watched = HeldOut(base, said(base, "hello"), tmp_path, most=10, patience=0, bf16=False)
    settings = Hyperparameters(epochs=1, batch_size=8, learning_rate=1e-4, warmup=0)

    def learn(step):
        train(base, said(base, "hello"), settings, tmp_path / "w", precision=FLOAT32)
        watched.measure(step, step / 10)

    learn(1)
    watched.mark()
    learn(2)
    learn(3)
    before = sorted(path.name for path in tmp_path.glob("best-*"))
    watched.mark()

    assert before == ["best-1.safetensors", "best-3.safetensors"]
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-3.safetensors"]


@pytest.mark.parametrize("lora", [False, True], ids=["all weights", "LoRA"])
def test_a_resumed_run_has_the_same_held_out_curve_as_an_unbroken_one(base, tmp_path, lora):
    folder = tmp_path / "base"
    settings = Hyperparameters(
        epochs=20, batch_size=8, learning_rate=3e-3, evaluations=10, patience=0, lora=lora
    )

    def run(work, stop_at=None, *, resume=False):
        fresh = open_base(str(folder), tmp_path, [])
        examples = said(fresh, *(["woof woof", "me too", "hello there"] * 3))

        def press(progress):
            if progress.step == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        return train(
            fresh, examples, settings, work, precision=FLOAT32,
            held_out=said(fresh, "what about me"), resume=resume, watch=press,
        )  # fmt: skip

    stopped = run(tmp_path / "broken", stop_at=17)
    resumed = run(tmp_path / "broken", resume=True)
    whole = run(tmp_path / "whole")

    assert stopped.interrupted
    assert 0 < len(stopped.curve) < len(whole.curve)
    assert [point.step for point in resumed.curve] == [point.step for point in whole.curve]
    nats = [point.nats for point in whole.curve]
    assert [point.nats for point in resumed.curve] == pytest.approx(nats, rel=1e-4)
    assert resumed.kept.step == whole.kept.step
