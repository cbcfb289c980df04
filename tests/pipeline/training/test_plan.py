"""The plan for a training run with a time limit."""

import itertools

import pytest
import torch

from pipeline.training import plan
from pipeline.training.bases import open_base
from pipeline.training.device import Precision
from pipeline.training.encoding import Collator, encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.plan import (
    Pace,
    Speed,
    TrainingPlan,
    describe_time,
    make_plan,
    measure_speed,
)
from pipeline.training.trainer import train
from tests.checkpoints import save_llama, save_t5
from tests.training_rows import rows_of

LENGTHS = [100] * 10_000


def settings(minutes, **others):
    return Hyperparameters(**{"minutes": minutes, "batch_size": 8, **others})


def test_steps_fill_the_time():
    made = make_plan(LENGTHS, Speed(tokens=1_000.0, update=0.2), settings(5), may_enlarge=True)

    assert made == TrainingPlan(5, 1_000.0, 8, 300, 0.24)  # a step takes 8 * 100 / 1000 + 0.2 s


@pytest.mark.parametrize(
    ("minutes", "batch_size", "steps"),
    [(10, 8, 750), (16, 8, 1200), (30, 16, 1125), (60, 32, 1125), (110, 64, 1031)],
)
def test_the_batch_is_the_largest_that_leaves_a_thousand_steps(minutes, batch_size, steps):
    speed = Speed(tokens=1_000.0, update=0.0)

    made = make_plan([100] * 1_000_000, speed, settings(minutes), may_enlarge=True)

    assert (made.batch_size, made.steps) == (batch_size, steps)


def test_a_given_batch_size_is_kept():
    made = make_plan(LENGTHS, Speed(1_000.0, 0.0), settings(60), may_enlarge=False)

    assert (made.batch_size, made.steps) == (8, 4_500)


def test_a_fast_machine_stops_after_the_given_passes():
    made = make_plan(LENGTHS, Speed(1e9, 0.0), settings(5, epochs=2.0), may_enlarge=True)

    assert made.batch_size == 16  # 32 would leave 625 steps
    assert made.steps == 1_250
    assert made.passes == 2


def test_a_plan_is_one_line():
    line = TrainingPlan(5, 1_153.0, 8, 312, 0.171).describe("pairs")

    assert line == (
        "Plan: 5 min at about 1,200 tokens/s: about 310 steps of 8 pairs (0.17 of one pass)"
    )
    assert TrainingPlan(5, 10.0, 8, 9, 3.0).describe("pairs").endswith("(3 passes)")


@pytest.fixture(params=[save_t5, save_llama])
def base(request, tmp_path):
    return open_base(str(request.param(tmp_path / "base")), tmp_path, [])


one_family = pytest.mark.parametrize("base", [save_llama], indirect=True)


def encode_rows(base):
    context = ("Hugo: shall we go?", "Raul: hello there")
    return rows_of(
        base,
        [
            encode(base.codec, "Hugo", context[: 1 + n % 2], ("me too " * n,), (200, 32))
            for n in range(1, 25)
        ],
    )


def counting(seen):
    """Return a collator that notes the tokens of each batch."""

    class Counting(Collator):
        def __call__(self, rows):
            seen.append(sum(len(row["input_ids"]) for row in rows))
            return super().__call__(rows)

    return Counting


def test_measuring_changes_neither_weights_nor_random_numbers(base):
    before = {name: value.clone() for name, value in base.weights.state_dict().items()}
    random = torch.random.get_rng_state()

    speed = measure_speed(base, encode_rows(base), 8, 0.1, bf16=False)

    assert speed.tokens > 100
    assert speed.update > 0
    after = base.weights.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(value.grad is None for value in base.weights.parameters())
    assert torch.equal(random, torch.random.get_rng_state())


@one_family
def test_speed_is_that_of_the_fastest_batch_without_padding_and_warm_up(base, monkeypatch):
    """On this clock the first batch takes 2 s, the others and an update take 1 s each."""
    reads = itertools.chain([0.0, 2.0], itertools.count(10.0))
    monkeypatch.setattr(plan, "_read_clock", lambda _: next(reads))
    seen = []
    monkeypatch.setattr(plan, "Collator", counting(seen))

    speed = measure_speed(base, encode_rows(base), 8, 5, bf16=False)

    assert speed == Speed(tokens=max(seen[1:]), update=1.0)
    assert len(seen) == 4


def train_planned(base, work, **others):
    plans = []
    outcome = train(
        base, encode_rows(base), Hyperparameters(epochs=2, **others), work,
        precision=Precision(bf16=False, reason="a test"), on_plan=plans.append,
    )  # fmt: skip
    return outcome, plans


@one_family
@pytest.mark.parametrize(("minutes", "batches"), [(0.1, 1), (0.3, 2), (5, 3)])
def test_a_slow_machine_measures_fewer_batches(base, monkeypatch, minutes, batches):
    reads = itertools.count(0.0)  # a batch takes 1 s
    monkeypatch.setattr(plan, "_read_clock", lambda _: next(reads))
    monkeypatch.setattr(plan, "_LONG_ENOUGH", 0.0)
    seen = []
    monkeypatch.setattr(plan, "Collator", counting(seen))

    measure_speed(base, encode_rows(base), 8, minutes, bf16=False)

    assert len(seen) == 1 + batches  # after the one that warms up


@one_family
def test_a_training_with_a_time_limit_follows_its_plan(base, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_MIN_STEPS", 3)

    outcome, [made] = train_planned(base, tmp_path, minutes=1)

    smallest = Hyperparameters().resolve(base.family, base.name).batch_size
    assert made.batch_size == outcome.batch_size == 16  # of 24 rows
    assert made.batch_size > smallest
    assert made.steps == outcome.steps == 4


def test_a_given_batch_size_and_no_time_limit_change_no_plan(base, tmp_path):
    given, [made] = train_planned(base, tmp_path / "given", minutes=1, batch_size=3)
    free, none = train_planned(base, tmp_path / "free")

    assert given.batch_size == made.batch_size == 3
    assert free.batch_size == Hyperparameters().resolve(base.family, base.name).batch_size
    assert none == []


@one_family
def test_a_resumed_training_keeps_the_batch_size_of_its_plan(base, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_MIN_STEPS", 3)
    monkeypatch.setattr("pipeline.training.callbacks._SAVE_EVERY", 0)
    train_planned(base, tmp_path, minutes=1)
    (tmp_path / "checkpoint-4").rename(tmp_path / "gone")
    monkeypatch.setattr(plan, "measure_speed", lambda *_, **__: pytest.fail("measured again"))

    outcome = train(
        base, encode_rows(base), Hyperparameters(epochs=2, minutes=1), tmp_path,
        precision=Precision(bf16=False, reason="a test"), resume=True,
    )  # fmt: skip

    assert outcome.batch_size == 16
    assert outcome.steps == 4


@pytest.mark.parametrize(("minutes", "seconds"), [(2.0, 155), (0.0, 523), (60.0, 3_809)])
def test_the_whole_time_is_expected_from_a_first_test(minutes, seconds):
    pace = Pace(load=4.0, test=10.0, tokens=10_000)
    settings = Hyperparameters(minutes=minutes, epochs=4)

    found = pace.expect(settings, [400] * 200, draws=2, evaluation=1_000)

    assert found == pytest.approx(seconds, abs=1)


def test_the_expected_time_names_the_share_of_training():
    assert describe_time(760, 2) == (
        "This will take up to 13 min in total on this machine at its current load: at most 2 min "
        "of training, and the rest for loading, testing and converting."
    )
    assert describe_time(760, 0).endswith("at its current load.")
