"""Out-of-memory errors make a run use smaller batches; its result stays the same."""

import pytest
import torch

from model.errors import TrainingError
from pipeline.training import device, trainer
from pipeline.training.bases import open_base
from pipeline.training.device import Precision, estimate_batch_size
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.scorer import score_examples
from pipeline.training.trainer import train
from tests.checkpoints import save_llama, save_t5
from tests.training_rows import rows_of

FLOAT32 = Precision(bf16=False, reason="a test")
BASES = {"encoder-decoder": save_t5, "decoder-only": save_llama}
one_family = pytest.mark.parametrize("folder", ["decoder-only"], indirect=True)
SETTINGS = Hyperparameters(epochs=2, batch_size=8, learning_rate=1e-3)


@pytest.fixture(params=BASES)
def folder(request, tmp_path):
    return BASES[request.param](tmp_path / "base")


def trained(folder, work, most=None, since_step=0, **options):
    """Train on a machine whose memory holds at most `most` pairs, from a step on."""
    base = open_base(str(folder), folder, [])
    context = ("Hugo: shall we go?", "Raul: hello there")
    examples = [
        encode(base.codec, "Hugo", context[: 1 + n % 2], ("me too " * n,), (200, 32))
        for n in range(1, 25)
    ]
    tried, seen = [], []

    def fill(_, inputs):
        if base.weights.training and inputs[0].shape[0] > 1:  # T5's decoder looks up too
            tried.append(inputs[0].shape[0])
        is_full = most is not None and inputs[0].shape[0] > most and len(seen) >= since_step
        if is_full and base.weights.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    base.weights.get_input_embeddings().register_forward_pre_hook(fill)
    outcome = train(
        base, rows_of(base, examples), SETTINGS, work,
        precision=FLOAT32, on_progress=seen.append, **options,
    )  # fmt: skip
    return -sum(score.nats for score in score_examples(base, examples)), outcome, seen, tried


def test_out_of_memory_reduces_the_batch_and_keeps_steps_and_result(folder, tmp_path):
    roomy, whole, _, _ = trained(folder, tmp_path / "roomy")
    tight, outcome, seen, tried = trained(folder, tmp_path / "tight", most=3)

    assert outcome.steps == whole.steps == 6
    assert outcome.examples == whole.examples == 48
    assert outcome.loss == pytest.approx(whole.loss, rel=1e-4)
    assert [progress.step for progress in seen] == list(range(1, 7))
    assert tight == pytest.approx(roomy, rel=1e-4)
    assert max(tried) == 8
    assert max(tried[-6:]) <= 3  # later steps keep the smaller batch


@one_family
def test_out_of_memory_in_a_later_step_continues_from_the_last_checkpoint(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("pipeline.training.callbacks._SAVE_EVERY", 0)
    roomy, _, _, _ = trained(folder, tmp_path / "roomy")

    tight, outcome, seen, _ = trained(folder, tmp_path / "tight", most=3, since_step=4)

    assert outcome.steps == 6
    assert [progress.step for progress in seen] == [1, 2, 3, 4, 5, 6]
    assert tight == pytest.approx(roomy, rel=1e-4)


@one_family
def test_out_of_memory_in_a_later_step_without_a_checkpoint_is_an_error(folder, tmp_path):
    with pytest.raises(TrainingError, match="out of memory after 4 steps.*--set batch-size=N"):
        trained(folder, tmp_path / "work", most=3, since_step=4)


@one_family
def test_memory_too_small_for_one_pair_is_one_line(folder, tmp_path):
    with pytest.raises(TrainingError, match="out of memory with one pair.*--lora") as refused:
        trained(folder, tmp_path / "work", most=0)

    assert "\n" not in str(refused.value)


def test_less_memory_gives_a_smaller_batch(folder, monkeypatch):
    base = open_base(str(folder), folder, [])
    found = []
    for free in (0, 2**24, 2**26, 2**40):
        monkeypatch.setattr(device, "_free_bytes", lambda _, free=free: free)
        found.append(estimate_batch_size(base.weights, 100, bf16=False))

    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] > 1_000


@one_family
def test_a_run_starts_with_the_batch_that_fits_in_memory(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "estimate_batch_size", lambda *_, **__: 5)

    _, outcome, _, tried = trained(folder, tmp_path / "work")

    assert max(tried) == 4
    assert outcome.steps == 6


@one_family
def test_a_resumed_run_starts_with_the_batch_of_its_checkpoint(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.training.callbacks._SAVE_EVERY", 0)
    trained(folder, tmp_path / "work", most=3)
    (tmp_path / "work" / "checkpoint-6").rename(tmp_path / "done")

    _, outcome, seen, tried = trained(folder, tmp_path / "work", resume=True)

    assert [progress.step for progress in seen] == [6]
    assert max(tried) == 2
    assert outcome.steps == 6
