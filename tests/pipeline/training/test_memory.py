"""What fits in memory, and a step that does not."""

import pytest
import torch

from model.errors import TrainingError
from pipeline.training.bases import open_base
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.losses import losses
from pipeline.training.trainer import Budget, Precision, fitting_tokens, train
from tests.checkpoints import save_llama, save_t5

FLOAT32 = Precision(bf16=False, reason="a test")
BASES = {"encoder-decoder": save_t5, "decoder-only": save_llama}
SETTINGS = Hyperparameters(epochs=2, batch_size=8, packing=1, learning_rate=1e-3, token_budget=4096)


@pytest.fixture(params=BASES)
def folder(request, tmp_path):
    return BASES[request.param](tmp_path / "base")


def trained(folder, work, most=None):
    """Train, on a machine whose memory holds passes of at most so many pairs."""
    base = open_base(str(folder), folder, [])
    context = ("Hugo: shall we go?", "Raul: hello there")
    examples = [
        encode(base.codec, "Hugo", context[: 1 + n % 2], ("me too " * n,), (200, 32))
        for n in range(1, 25)
    ]
    tried = []

    def fill(_, inputs):
        if base.weights.training and inputs[0].shape[0] > 1:  # T5's decoder looks up too
            tried.append(inputs[0].shape[0])
        if most is not None and inputs[0].shape[0] > most and base.weights.training:
            raise torch.OutOfMemoryError("CUDA out of memory")

    base.weights.get_input_embeddings().register_forward_pre_hook(fill)
    seen = []
    outcome = train(base, examples, SETTINGS, work, precision=FLOAT32, watch=seen.append)
    return sum(loss.nats for loss in losses(base, examples, bf16=False)), outcome, seen, tried


def test_out_of_memory_halves_the_passes_and_goes_on_as_if_nothing_were(folder, tmp_path):
    roomy, whole, _, _ = trained(folder, tmp_path / "roomy")
    tight, outcome, seen, tried = trained(folder, tmp_path / "tight", most=3)

    assert outcome.steps == whole.steps == 6
    assert [progress.step for progress in seen] == list(range(1, 7))
    assert tight == pytest.approx(roomy, rel=1e-4)
    assert max(tried) == 8
    assert max(tried[-6:]) <= 3  # what was learned of the memory is kept
    assert int((tmp_path / "tight" / "token-budget").read_text("utf-8")) < 4096


def test_memory_for_not_even_one_pair_is_said_in_one_line(folder, tmp_path):
    with pytest.raises(TrainingError, match="out of memory with one pair.*--lora") as refused:
        trained(folder, tmp_path / "work", most=0)

    assert "\n" not in str(refused.value)


def test_less_memory_gives_a_smaller_budget_within_bounds(folder, monkeypatch):
    base = open_base(str(folder), folder, [])
    found = []
    for free in (0, 2**24, 2**26, 2**40):
        monkeypatch.setattr("pipeline.training.trainer._free_bytes", lambda _, free=free: free)
        found.append(fitting_tokens(base.weights, 100, bf16=False))

    assert found == sorted(found)
    assert (found[0], found[-1]) == (256, 4096)
    assert all(tokens & (tokens - 1) == 0 for tokens in found)


def test_a_budget_outlives_its_run(tmp_path):
    Budget(4096, tmp_path / "budget").halve([100] * 8)
    again = Budget(4096, tmp_path / "budget")

    again.restore()

    assert again.tokens == 400
