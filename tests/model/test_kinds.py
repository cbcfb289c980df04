"""Training step, conversion, saving and loading of every kind of base."""

import json

import pytest
import torch

from pipeline.training.bases import load_encoder_decoder, open_base
from pipeline.training.convert import convert
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.losses import losses
from pipeline.training.trainer import Precision, train
from tests.checkpoints import KINDS
from tests.training_rows import rows_of

FLOAT32 = Precision(bf16=False, reason="a test")


def pairs(base):
    context = ("Hugo: what about friday?", "João: não sei 😂\nok")
    said = [("João", ("shall we go?", "hello")), ("Hugo", ("me too",)), ("João", ("😂 não",))]
    return [encode(base.codec, name, context, texts, (400, 64)) for name, texts in said]


def reloaded(base, folder):
    import transformers

    if base.family == "encoder-decoder":
        raw = json.loads((folder / "config.json").read_text("utf-8"))
        return load_encoder_decoder(str(folder), raw)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")


@pytest.fixture(params=KINDS)
def base(request, tmp_path):
    return open_base(str(KINDS[request.param](tmp_path / "base")), tmp_path, ["não sei 😂", "João"])


@pytest.mark.parametrize("lora", [False, True], ids=["all its weights", "LoRA"])
def test_a_base_trains_converts_saves_and_loads(base, tmp_path, lora):
    examples = pairs(base)
    before = sum(loss.nats for loss in losses(base, examples, bf16=False))
    names = [name for name, _ in base.weights.named_parameters()]
    settings = Hyperparameters(
        epochs=4, batch_size=3, learning_rate=3e-3, warmup=0, lora=lora, lora_rank=4
    )

    outcome = train(base, rows_of(base, examples), settings, tmp_path / "work", precision=FLOAT32)

    after = [loss.nats for loss in losses(base, examples, bf16=False)]
    assert outcome.steps == 4
    assert sum(after) < before
    assert [name for name, _ in base.weights.named_parameters()] == names
    assert convert(base, tmp_path / "engine", examples).exact < 1e-3
    base.weights.save_pretrained(tmp_path / "saved")
    again = reloaded(base, tmp_path / "saved")
    assert all(
        torch.equal(value, again.state_dict()[name])
        for name, value in base.weights.state_dict().items()
    )
