"""Training runs: learning, interruption, resumption and reproducibility."""

import os
import signal

import pytest

from model.errors import TrainingError
from pipeline.training.bases import open_base
from pipeline.training.device import Precision
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.scorer import score_examples
from pipeline.training.trainer import train
from tests.checkpoints import save_llama, save_t5
from tests.habits import HABITS
from tests.training_rows import rows_of

FLOAT32 = Precision(bf16=False, reason="a test")
BASES = {"encoder-decoder": save_t5, "decoder-only": save_llama}
one_family = pytest.mark.parametrize("folder", ["decoder-only"], indirect=True)


@pytest.fixture(params=BASES)
def folder(request, tmp_path):
    return BASES[request.param](tmp_path / "base")


def load(folder):
    base = open_base(str(folder), folder, [])
    context = ("Hugo: shall we go?", "Raul: hello there")
    examples = [
        encode(base.codec, name, context[: 1 + n % 2], (f"hello there {habit}",), (200, 32))
        for n in range(8)
        for name, habit in HABITS.items()
    ]
    return base, examples


def run(folder, work, **options):
    base, examples = load(folder)
    settings = Hyperparameters(epochs=2, batch_size=4, learning_rate=1e-3)
    seen = []
    outcome = train(
        base, rows_of(base, examples), settings, work,
        precision=FLOAT32, on_progress=seen.append, **options,
    )  # fmt: skip
    return base, examples, outcome, seen


def total(base, examples):
    return -sum(score.nats for score in score_examples(base, examples))


def test_training_makes_replies_likelier_and_gives_the_same_loss_again(folder, tmp_path):
    base, examples = load(folder)
    before = score_examples(base, examples)

    base, examples, outcome, _ = run(folder, tmp_path / "work")

    after = score_examples(base, examples)
    assert outcome.steps == 12
    assert len(after) == len(examples)
    assert sum(score.nats for score in after) > 0.9 * sum(score.nats for score in before)
    assert run(folder, tmp_path / "again")[2].loss == outcome.loss


def test_padding_does_not_change_a_reply_s_probability(folder):
    base, examples = load(folder)

    together = total(base, examples[:6])
    alone = sum(total(base, [example]) for example in examples[:6])

    assert together == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize(
    ("folder", "last_step"),
    [("encoder-decoder", 6), ("decoder-only", 8)],
    ids=["between epochs", "in the second epoch"],
    indirect=["folder"],
)
def test_ctrl_c_leaves_a_checkpoint_and_the_resumed_run_ends_like_an_uninterrupted_one(
    folder, tmp_path, last_step
):
    base, examples = load(folder)
    settings = Hyperparameters(epochs=2, batch_size=4, learning_rate=1e-3)

    def press(progress):
        if progress.step == last_step:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = train(
        base, rows_of(base, examples), settings, tmp_path / "broken",
        precision=FLOAT32, on_progress=press,
    )  # fmt: skip
    base, _, resumed, seen = run(folder, tmp_path / "broken", resume=True)
    whole, _, _, _ = run(folder, tmp_path / "whole")

    assert stopped.interrupted
    assert stopped.steps == last_step
    assert not resumed.interrupted
    assert [progress.step for progress in seen] == list(range(last_step + 1, 13))
    assert resumed.seconds > stopped.seconds
    assert total(base, examples) == pytest.approx(total(whole, examples), rel=1e-4)


@one_family
def test_a_checkpoint_that_a_kill_left_incomplete_is_ignored(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.training.callbacks._SAVE_EVERY", 0)
    run(folder, tmp_path / "w")
    (tmp_path / "w" / "checkpoint-12" / "trainer_state.json").unlink()

    _, _, outcome, seen = run(folder, tmp_path / "w", resume=True)

    assert [progress.step for progress in seen] == [12]
    assert outcome.steps == 12


@one_family
def test_a_limit_of_minutes_ends_a_run(folder, tmp_path):
    base, examples = load(folder)
    settings = Hyperparameters(epochs=10_000, minutes=0.02, batch_size=4)

    outcome = train(base, rows_of(base, examples), settings, tmp_path / "work", precision=FLOAT32)

    assert 1.2 <= outcome.seconds < 20
    assert not outcome.interrupted


@one_family
def test_resuming_without_a_checkpoint_is_refused(folder, tmp_path):
    base, examples = load(folder)

    with pytest.raises(TrainingError, match="nothing to resume"):
        train(
            base, rows_of(base, examples), Hyperparameters(), tmp_path,
            precision=FLOAT32, resume=True,
        )  # fmt: skip


@one_family
def test_training_without_pairs_is_refused(folder, tmp_path):
    base, _ = load(folder)

    with pytest.raises(TrainingError, match="no training pairs"):
        train(base, rows_of(base, []), Hyperparameters(), tmp_path, precision=FLOAT32)
