"""The plan of a training with a time limit."""

import itertools

import pytest
import torch

from pipeline.training import plan
from pipeline.training.bases import open_base
from pipeline.training.encoding import Collator, encode, row_of
from pipeline.training.plan import Plan, Speed, make_plan, measure_speed
from tests.checkpoints import save_llama, save_t5

LENGTHS = [100] * 10_000


def test_steps_fill_the_time():
    made = make_plan(LENGTHS, Speed(tokens=1_000.0, update=0.2), 5, 4.0)

    assert made == Plan(5, 1_000.0, 8, 300, 0.24)  # a step takes 8 * 100 / 1000 + 0.2 s


@pytest.mark.parametrize(
    ("minutes", "batch_size", "steps"),
    [(10, 8, 750), (16, 8, 1200), (30, 16, 1125), (60, 32, 1125), (110, 64, 1031)],
)
def test_the_batch_is_the_largest_that_leaves_a_thousand_steps(minutes, batch_size, steps):
    made = make_plan([100] * 1_000_000, Speed(tokens=1_000.0, update=0.0), minutes, 4.0)

    assert (made.batch_size, made.steps) == (batch_size, steps)


def test_a_given_batch_size_is_kept():
    made = make_plan(LENGTHS, Speed(1_000.0, 0.0), 5, 4.0, batch_size=3)

    assert made.batch_size == 3
    assert made.steps == 1_000


def test_a_fast_machine_stops_after_the_given_passes():
    made = make_plan(LENGTHS, Speed(1e9, 0.0), 5, 2.0)

    assert made.batch_size == 16  # 32 would leave 625 steps
    assert made.steps == 1_250
    assert made.passes == 2


def test_a_plan_is_one_line():
    line = Plan(5, 1_153.0, 8, 312, 0.171).describe("pairs")

    assert line == (
        "Plan: 5 min at about 1,200 tokens/s: about 310 steps of 8 pairs (0.17 of one pass)"
    )
    assert Plan(5, 10.0, 8, 9, 3.0).describe("pairs").endswith("(3 passes)")


@pytest.fixture(params=[save_t5, save_llama])
def base(request, tmp_path):
    return open_base(str(request.param(tmp_path / "base")), tmp_path, [])


def rows_of(base):
    context = ("Hugo: shall we go?", "Raul: hello there")
    examples = [
        encode(base.codec, "Hugo", context[: 1 + n % 2], ("me too " * n,), (200, 32))
        for n in range(1, 25)
    ]
    return [row_of(example, base.family) for example in examples]


def test_measuring_changes_neither_weights_nor_random_numbers(base, monkeypatch):
    monkeypatch.setattr(plan, "_LONG_ENOUGH", 0.05)
    before = {name: value.clone() for name, value in base.weights.state_dict().items()}
    random = torch.random.get_rng_state()

    speed = measure_speed(
        base, rows_of(base), Collator(base.family, base.codec.pad_id), 8, bf16=False
    )

    assert speed.tokens > 100
    assert speed.update > 0
    after = base.weights.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(value.grad is None for value in base.weights.parameters())
    assert torch.equal(random, torch.random.get_rng_state())


def test_speed_counts_tokens_without_padding_and_skips_the_warm_up(base, monkeypatch):
    """On this clock the batch that warms up takes 2 s, others 1 s and an update 1 s."""
    reads = itertools.chain([0.0, 2.0], itertools.count(10.0))
    monkeypatch.setattr(plan, "_read_clock", lambda _: next(reads))
    seen = []
    collator = Collator(base.family, base.codec.pad_id)

    def collate(rows):
        seen.append(sum(len(row["input_ids"]) for row in rows))
        return collator(rows)

    speed = measure_speed(base, rows_of(base), collate, 8, bf16=False)

    assert speed == Speed(tokens=sum(seen[1:]) / 3, update=1.0)
    assert len(seen) == 4
