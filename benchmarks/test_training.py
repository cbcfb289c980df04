"""How many pairs per second each recipe is trained on, with a small T5 like FLAN-T5."""

import random
import time

import pytest
import torch

from pipeline.training.bases import open_base
from pipeline.training.device import choose_precision
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import by_recipe
from pipeline.training.trainer import train
from tests.checkpoints import save_t5
from tests.training_rows import rows_of

PAIRS = 96
TURNS = ("what about friday? ", "shall we go to the cinema, or not? ", "me too, see you later. ")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A T5 large enough that arithmetic takes most of the time."""
    folder = tmp_path_factory.mktemp("benchmark")
    torch.set_num_threads(1)
    shape = {"d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 3, "num_heads": 4}
    return open_base(str(save_t5(folder / "base", shape=shape)), folder, [])


def examples_of(base):
    """Lengths as in a chat: most short, some long."""
    chance = random.Random(0)

    def line():
        return "Hugo: " + chance.choice(TURNS) * min(6, int(chance.expovariate(2)) + 1)

    def pair():
        context = [line() for _ in range(min(10, 1 + int(chance.expovariate(0.35))))]
        return encode(base.codec, "Raul", context, (line()[6:],), (384, 96))

    return [pair() for _ in range(PAIRS)]


@pytest.mark.parametrize("recipe", ["notebook", "understudy"])
def test_training_on_pairs(benchmark, base, tmp_path, recipe):
    settings = by_recipe(recipe, {"batch_size": 8, "epochs": 2.0, "evaluations": 0})
    precision = choose_precision(settings.precision)
    rows = rows_of(base, examples_of(base))

    def run():
        started = time.process_time()
        outcome = train(base, rows, settings, tmp_path, precision=precision)
        return outcome.examples / (time.process_time() - started)

    speed = benchmark.pedantic(run, rounds=2, warmup_rounds=1)
    benchmark.extra_info["pairs_per_cpu_second"] = round(speed, 1)
