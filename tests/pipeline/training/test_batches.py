"""Which pairs a step learns from: each once an epoch, alike in length, always in the same order."""

import random

import pytest

from pipeline.training.encoding import Plan, epoch_of, passes

LENGTHS = tuple(random.Random(0).choices(range(10, 400), k=1003))


@pytest.mark.parametrize("alike", [True, False])
def test_an_epoch_has_each_pair_once(alike):
    batches = epoch_of(LENGTHS, 8, seed=1, epoch=0, alike=alike)

    assert sorted(n for batch in batches for n in batch) == list(range(1003))
    assert sorted(map(len, batches)) == [3] + [8] * 125


def test_pairs_of_a_batch_are_alike_and_their_batches_in_no_order():
    batches = epoch_of(LENGTHS, 8, seed=1, epoch=0, alike=True)

    spreads = [max(LENGTHS[n] for n in b) - min(LENGTHS[n] for n in b) for b in batches]
    longest = [max(LENGTHS[n] for n in batch) for batch in batches]
    assert sum(spreads) / len(spreads) < 20
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_padding_is_a_small_part_of_what_it_is_among_any_pairs():
    def padded(alike):
        batches = epoch_of(LENGTHS, 8, seed=1, epoch=0, alike=alike)
        return sum(len(b) * max(LENGTHS[n] for n in b) for b in batches) - sum(LENGTHS)

    assert padded(alike=True) < 0.1 * padded(alike=False)


def test_seed_and_epoch_alone_decide_the_order():
    first = epoch_of(LENGTHS, 8, seed=1, epoch=0, alike=True)

    assert epoch_of(LENGTHS, 8, seed=1, epoch=0, alike=True) == first
    assert epoch_of(LENGTHS, 8, seed=1, epoch=1, alike=True) != first
    assert epoch_of(LENGTHS, 8, seed=2, epoch=0, alike=True) != first


def test_a_plan_that_is_read_from_the_middle_has_the_same_steps():
    whole = [*Plan(LENGTHS, 8, 1, 2.5, alike=True)]
    rest = Plan(LENGTHS, 8, 1, 2.5, alike=True)

    assert len(whole) == len(rest) == 315
    assert [rest[step] for step in range(200, 315)] == whole[200:]


def test_the_least_run_is_of_one_step():
    assert len(Plan((5, 6), 8, 1, 0.01, alike=True)) == 1


@pytest.mark.parametrize(
    ("budget", "sizes"), [(1000, [4]), (250, [1, 3]), (200, [1, 2, 1]), (10, [1, 1, 1, 1])]
)
def test_passes_hold_what_the_budget_allows_and_one_pair_at_least(budget, sizes):
    found = list(passes([60, 200, 80, 50], budget))

    assert [len(places) for places in found] == sizes
    assert sorted(place for places in found for place in places) == [0, 1, 2, 3]
    assert found[0][0] == 1
