"""What training and test share is counted in the pairs themselves, whoever wrote the table."""

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.build import PairCounts, build
from pipeline.dataset.pairs import make_pairs
from pipeline.dataset.split import SPLITS
from pipeline.dataset.storage import LINES, load_dataset
from pipeline.dataset.summary import Leaks
from tests.pipeline.chats import NOON, chat, conversation, pair, small, write

CLEAN = Leaks(test_messages_in_training=0, sessions_on_both_sides=0, pairs_out_of_order=0)


def leaks(train=(), validation=(), test=()):
    """Return the leaks between pairs of (session, the turn's ids, its context's).

    A session is a second later than the one before it.
    """
    counts = PairCounts()
    for name, pairs in zip(SPLITS, (train, validation, test), strict=True):
        for session, turn, context in pairs:
            ids = {"message_ids": tuple(turn), "context_ids": tuple(context)}
            at = NOON + timedelta(seconds=session)
            counts.add(replace(pair(1, session=session), **ids, split=name, sent_at=at))
    return counts.find_leaks()


def test_splits_that_share_nothing_have_no_leak():
    train = [(0, [2], [1]), (1, [4], [2, 3])]

    assert leaks(train, [(3, [8], [7])], [(5, [12, 13], [11])]) == CLEAN


@pytest.mark.parametrize(
    ("turn", "context", "count"),
    [
        ([2], [11], 1),
        ([12], [2], 1),
        ([12], [1], 1),
        ([1], [11], 1),
        ([12], [1, 2, 3, 11], 3),
        ([2], [2], 1),
    ],
    ids=[
        "a target in both",
        "training's target in a test's context",
        "a context in both",
        "training's context as a test's target",
        "three messages",
        "one message twice",
    ],
)
def test_a_test_message_in_training_is_counted_once_wherever_it_stands(turn, context, count):
    found = leaks([(0, [2, 3], [1])] * 2, [], [(5, turn, context)] * 2)

    assert found.test_messages_in_training == count


@pytest.mark.parametrize(
    ("splits", "count"),
    [
        ({"train": [0, 1], "validation": [2], "test": [3]}, 0),
        ({"train": [0, 1], "validation": [1], "test": [3]}, 1),
        ({"train": [0, 1], "validation": [2], "test": [0, 1]}, 2),
        ({"train": [0], "validation": [2, 3], "test": [3, 4]}, 1),
    ],
    ids=["none", "in training and validation", "in training and test", "in validation and test"],
)
def test_a_session_on_both_sides_is_counted(splits, count):
    starts = {"train": 0, "validation": 1_000, "test": 2_000}

    found = leaks(
        **{name: [(n, [starts[name] + n], []) for n in numbers] for name, numbers in splits.items()}
    )

    assert found.sessions_on_both_sides == count


@pytest.mark.parametrize(
    ("splits", "count"),
    [
        ({"train": [0, 1], "validation": [2, 3], "test": [4]}, 0),
        ({"train": [0, 1, 2, 3], "validation": [2, 9], "test": [10]}, 2),
        ({"train": [0], "validation": [5, 6, 7], "test": [6, 9]}, 2),
        ({"train": [0, 1], "validation": [], "test": [1]}, 0),
    ],
    ids=["none", "training after validation", "validation after the test", "no validation"],
)
def test_a_pair_that_is_not_older_than_the_next_split_is_counted(splits, count):
    found = leaks(**{name: [(n, [n], []) for n in numbers] for name, numbers in splits.items()})

    assert found.pairs_out_of_order == count


def test_no_pairs_share_nothing():
    assert leaks() == CLEAN


def test_a_dataset_that_was_built_shares_nothing_until_somebody_copies_a_session(tmp_path):
    summary = build([write(tmp_path, chat(*conversation()))], tmp_path / "ds", small())

    def count():
        counts, dataset = PairCounts(), load_dataset(tmp_path / "ds")
        for one in make_pairs(dataset.sessions(), dataset.chats[0].chat_id, dataset.window):
            counts.add(one)
        return counts.find_leaks()

    assert summary.leaks == count() == CLEAN
    table = pq.read_table(tmp_path / "ds" / LINES)
    last = table.slice(len(table) - 12)
    copy = last.set_column(11, "split", pa.array(["train"] * 12))
    pq.write_table(pa.concat_tables([table, copy]), tmp_path / "ds" / LINES)
    assert count() == Leaks(12, 1, 1)  # only the last context has no line of the test
