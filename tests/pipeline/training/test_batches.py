"""Which pairs a step is trained on: each once an epoch, of similar length, repeatable."""

import random

import datasets
import pytest

from pipeline.training.bases import open_base
from pipeline.training.callbacks import RunCallback
from pipeline.training.device import Precision
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.trainer import FineTuner, TrainingData, train
from tests.checkpoints import save_llama

FLOAT32 = Precision(bf16=False, reason="a test")
LENGTHS = tuple(random.Random(0).choices(range(10, 400), k=1003))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return open_base(str(save_llama(folder)), folder, [])


@pytest.fixture
def epoch_of(base, tmp_path):
    """Return a function that returns the batches of an epoch, as lists of row numbers."""

    def epoch_of(epoch, seed=1, batches="alike", lengths=LENGTHS):
        rows = datasets.Dataset.from_list(
            [
                {"input_ids": [number] + [0] * (length - 1), "labels": [0], "length": length}
                for number, length in enumerate(lengths)
            ]
        )
        settings = Hyperparameters(batch_size=8, seed=seed, batching=batches)
        run = RunCallback(settings, len(rows), 0, None)
        trainer = FineTuner(
            base, TrainingData(rows), settings, run, tmp_path, batch_size=8, bf16=False
        )
        trainer.data_collator = lambda rows: {"rows": [row["input_ids"][0] for row in rows]}
        loader = trainer.get_train_dataloader()
        loader.set_epoch(epoch)
        return [batch["rows"] for batch in loader]

    return epoch_of


@pytest.mark.parametrize("batches", ["alike", "uniform"])
def test_an_epoch_has_each_pair_once(epoch_of, batches):
    found = epoch_of(0, batches=batches)

    assert sorted(n for batch in found for n in batch) == list(range(1003))
    assert sorted(map(len, found)) == [3] + [8] * 125


def test_pairs_of_a_batch_have_similar_lengths(epoch_of):
    found = epoch_of(0)

    spreads = [max(LENGTHS[n] for n in b) - min(LENGTHS[n] for n in b) for b in found]
    assert sum(spreads) / len(spreads) < 20


def test_the_longest_pair_comes_first_so_that_a_lack_of_memory_shows_at_once(epoch_of):
    assert max(LENGTHS[n] for n in epoch_of(0)[0]) == max(LENGTHS)


def test_long_and_short_batches_alternate_from_the_first_steps_on(epoch_of):
    found = [max(LENGTHS[n] for n in batch) for batch in epoch_of(0)[1:41]]

    assert min(found) < 60
    assert max(found) > 340
    assert abs(sum(found[:20]) - sum(found[20:])) < 0.2 * sum(found)


def test_padding_is_a_small_part_of_what_it_is_among_any_pairs(epoch_of):
    def padded(batches):
        found = epoch_of(0, batches=batches)
        return sum(len(b) * max(LENGTHS[n] for n in b) for b in found) - sum(LENGTHS)

    assert padded("alike") < 0.1 * padded("uniform")


@pytest.mark.parametrize("batches", ["alike", "uniform"])
def test_the_order_depends_on_seed_and_epoch_alone(epoch_of, batches):
    first = epoch_of(0, batches=batches)

    assert epoch_of(0, batches=batches) == first
    assert epoch_of(1, batches=batches) != first
    assert epoch_of(0, seed=2, batches=batches) != first


@pytest.mark.parametrize(("epochs", "steps", "pairs"), [(0.01, 1, 8), (2.5, 8, 56), (3, 9, 60)])
def test_a_run_has_at_least_one_step_and_the_steps_of_part_epochs(
    base, tmp_path, epochs, steps, pairs
):
    rows = datasets.Dataset.from_list([{"input_ids": [5, 6], "labels": [5, 6], "length": 2}] * 20)

    outcome = train(
        base, rows, Hyperparameters(epochs=epochs, batch_size=8), tmp_path, precision=FLOAT32
    )

    assert (outcome.steps, outcome.examples) == (steps, pairs)
