"""How many pairs a second each recipe learns from, on a small T5 of FLAN-T5's make."""

import random

import pytest
import torch

from pipeline.training.bases import open_base
from pipeline.training.encoding import Plan, encode
from pipeline.training.hyperparameters import by_recipe
from pipeline.training.trainer import (
    Budget,
    Single,
    choose_precision,
    step_loss,
    to_training_device,
)
from tests.checkpoints import save_t5

PAIRS = 96
TURNS = ("what about friday? ", "shall we go to the cinema, or not? ", "me too, see you later. ")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A T5 large enough that arithmetic is what takes the time."""
    folder = tmp_path_factory.mktemp("benchmark")
    torch.set_num_threads(1)
    shape = {"d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 3, "num_heads": 4}
    opened = open_base(str(save_t5(folder / "base", shape=shape)), folder, [])
    to_training_device(opened)
    return opened


def examples_of(base):
    """Chat-like lengths: most short, some long."""
    chance = random.Random(0)

    def line():
        return "Hugo: " + chance.choice(TURNS) * min(6, int(chance.expovariate(2)) + 1)

    def pair():
        context = [line() for _ in range(min(10, 1 + int(chance.expovariate(0.35))))]
        return encode(base.codec, "Raul", context, (line()[6:],), (384, 96))

    return [pair() for _ in range(PAIRS)]


@pytest.mark.parametrize("recipe", ["notebook", "understudy"])
def test_learning_from_pairs(benchmark, base, recipe):
    settings = by_recipe(recipe, {"batch_size": 8})
    bf16 = choose_precision(settings.precision).bf16
    budget = Budget(4096, None)
    uniform = settings.batches == "uniform"
    steps = Single(base, examples_of(base), budget, bf16=bf16, uniform=uniform)
    optimizer = torch.optim.AdamW(base.weights.parameters(), lr=1e-6, fused=True)
    plan = Plan(steps.lengths, settings.batch_size, 0, 1, alike=not uniform)

    def epoch():
        base.weights.train()
        for pairs in plan:
            step_loss(steps, pairs)
            optimizer.step()
            optimizer.zero_grad()

    benchmark.pedantic(epoch, rounds=2, warmup_rounds=1)
    benchmark.extra_info["pairs_per_second"] = round(PAIRS / benchmark.stats.stats.median, 1)
