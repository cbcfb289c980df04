"""The held-out loss decides when a run ends and which weights are used."""

import os
import signal

import pytest
import torch

from model.errors import TrainingError
from pipeline.training import trainer
from pipeline.training.bases import open_base
from pipeline.training.device import Precision
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.scorer import Score, score_examples
from pipeline.training.trainer import train
from tests.checkpoints import save_llama, save_t5
from tests.training_rows import rows_of

FLOAT32 = Precision(bf16=False, reason="a test")
BASES = {"encoder-decoder": save_t5, "decoder-only": save_llama}
CONTEXT = ("Hugo: shall we go?",)

one_family = pytest.mark.parametrize("base", ["decoder-only"], indirect=True)
other_family = pytest.mark.parametrize("base", ["encoder-decoder"], indirect=True)


@pytest.fixture(params=BASES)
def base(request, tmp_path):
    return open_base(str(BASES[request.param](tmp_path / "base")), tmp_path, [])


def said(base, *texts):
    return [encode(base.codec, "Hugo", CONTEXT, (text,), (200, 32)) for text in texts]


def run(base, examples, settings, work, **options):
    return train(base, rows_of(base, examples), settings, work, precision=FLOAT32, **options)


def nats(base, examples):
    return sum(score_examples(base, examples), start=Score()).loss


@one_family
def test_an_overfitting_run_is_stopped_and_its_best_weights_are_used(base, tmp_path):
    examples = said(base, *(["bark bark"] * 8))
    held_out = said(base, "what about me too")
    settings = Hyperparameters(
        epochs=60, batch_size=8, learning_rate=1e-2, evaluations=60, patience=2
    )

    outcome = run(base, examples, settings, tmp_path / "w", held_out=held_out)

    assert outcome.steps < 60
    assert outcome.kept == min(outcome.curve, key=lambda point: point.nats)
    assert outcome.curve[-1].nats > outcome.kept.nats
    assert nats(base, held_out) == pytest.approx(outcome.kept.nats, abs=1e-4)


@other_family
def test_with_lora_too_the_best_weights_are_used(base, tmp_path):
    held_out = said(base, "what about me too")
    settings = Hyperparameters(
        epochs=40, batch_size=8, learning_rate=2e-2, evaluations=40, patience=2, lora=True
    )

    outcome = run(
        base, said(base, *(["bark bark"] * 8)), settings, tmp_path / "w", held_out=held_out
    )

    assert nats(base, held_out) == pytest.approx(outcome.kept.nats, abs=1e-4)


@other_family
def test_a_run_that_improves_continues_to_its_end(base, tmp_path):
    examples = said(base, *(["bark bark"] * 8))
    settings = Hyperparameters(epochs=10, batch_size=8, evaluations=5, patience=1)

    outcome = run(base, examples, settings, tmp_path / "w", held_out=examples[:1])

    assert outcome.steps == 10
    assert [point.share for point in outcome.curve] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert outcome.kept == outcome.curve[-1]


@one_family
def test_a_short_run_is_not_evaluated(base, tmp_path):
    examples = said(base, *(["bark bark"] * 8))
    settings = Hyperparameters(epochs=2, batch_size=4, evaluations=10)

    outcome = run(base, examples, settings, tmp_path, held_out=examples)

    assert outcome.curve == ()
    assert outcome.steps == 4


@one_family
@pytest.mark.parametrize(
    ("nats", "patience", "steps"),
    [([3, 2, 1, 1, 1, 1], 3, 6), ([3, 1, 2, 1, 0, 1], 2, 4), ([3, 1, 2, 2, 0, 0], 2, 4),
     ([3, 1, 2, 2, 0, 0], 3, 6), ([1, 1, 1, 1, 1, 1], 2, 3), ([1, 2, 3, 4, 5, 6], 0, 6)],
    ids=["better", "one is equal", "two are worse", "more patience", "all are equal", "none"],
)  # fmt: skip
def test_a_run_ends_after_as_many_evaluations_without_a_better_one(
    base, tmp_path, monkeypatch, nats, patience, steps
):
    found = iter(nats)
    monkeypatch.setattr(trainer, "score_examples", lambda *_, **__: [Score(-next(found), 1, 1)])
    examples = said(base, *(["bark bark"] * 8))
    settings = Hyperparameters(epochs=6, batch_size=8, evaluations=6, patience=patience)

    outcome = run(base, examples, settings, tmp_path, held_out=examples[:1])

    assert [point.nats for point in outcome.curve] == nats[:steps]
    assert outcome.steps == steps
    assert outcome.kept.step == 1 + nats[:steps].index(min(nats[:steps]))


def test_a_resumed_run_can_still_use_weights_from_before_the_interruption(tmp_path, monkeypatch):
    folder = save_llama(tmp_path / "base")
    found = iter([2, 1, 3, 4, 5])
    monkeypatch.setattr(trainer, "score_examples", lambda *_, **__: [Score(-next(found), 1, 1)])
    settings = Hyperparameters(
        epochs=5, batch_size=8, evaluations=5, patience=0, learning_rate=1e-2
    )
    weights = {}

    def interrupted_at(step):
        base = open_base(str(folder), tmp_path, [])
        examples = said(base, *(["bark bark"] * 8))

        def press(progress):
            weights[progress.step] = base.weights.lm_head.weight.detach().clone()
            if progress.step == step:
                os.kill(os.getpid(), signal.SIGINT)

        outcome = run(
            base, examples, settings, tmp_path / "w", held_out=examples[:1],
            resume=step is None, on_progress=press,
        )  # fmt: skip
        return base, outcome

    interrupted_at(4)
    base, outcome = interrupted_at(None)

    assert [point.nats for point in outcome.curve] == [2, 1, 3, 4]
    assert outcome.kept.step == 2
    assert torch.equal(base.weights.lm_head.weight, weights[2])


@one_family
def test_a_loss_that_is_not_a_number_ends_the_run(base, tmp_path):
    examples = said(base, *(["bark bark"] * 8))
    settings = Hyperparameters(epochs=20, batch_size=8, learning_rate=1.0, schedule="linear")
    with torch.no_grad():
        base.weights.get_output_embeddings().weight.fill_(float("nan"))

    with pytest.raises(TrainingError, match="training has diverged.*--set learning-rate=N"):
        run(base, examples, settings, tmp_path)

    assert not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("base", "lora"), [("encoder-decoder", False), ("decoder-only", True)], indirect=["base"]
)
def test_a_resumed_run_has_the_held_out_curve_of_an_uninterrupted_one(base, tmp_path, lora):
    folder = tmp_path / "base"
    settings = Hyperparameters(
        epochs=8, batch_size=8, learning_rate=3e-3, evaluations=8, patience=0, lora=lora
    )

    def run_until(work, stop_at=None, *, resume=False):
        fresh = open_base(str(folder), tmp_path, [])
        examples = said(fresh, *(["bark bark", "me too", "hello there"] * 3))

        def press(progress):
            if progress.step == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        return run(
            fresh, examples, settings, work,
            held_out=said(fresh, "what about me"), resume=resume, on_progress=press,
        )  # fmt: skip

    stopped = run_until(tmp_path / "broken", stop_at=11)
    resumed = run_until(tmp_path / "broken", resume=True)
    whole = run_until(tmp_path / "whole")

    assert stopped.interrupted
    assert 0 < len(stopped.curve) < len(whole.curve)
    assert [point.step for point in resumed.curve] == [point.step for point in whole.curve]
    nats = [point.nats for point in whole.curve]
    assert [point.nats for point in resumed.curve] == pytest.approx(nats, rel=1e-4)
    assert resumed.kept.step == whole.kept.step
