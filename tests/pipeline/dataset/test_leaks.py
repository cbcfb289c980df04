"""What training and test share is counted in the files themselves, whoever wrote them."""

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.build import build, find_leaks
from pipeline.dataset.summary import Leaks
from tests.pipeline.chats import NOON, chat, conversation, small, write

CLEAN = Leaks(test_messages_in_training=0, sessions_on_both_sides=0, pairs_out_of_order=0)
SCHEMA = pa.schema(
    {
        "chat_id": pa.int64(),
        "session": pa.int32(),
        "message_ids": pa.list_(pa.int64()),
        "context_ids": pa.list_(pa.int64()),
        "sent_at": pa.timestamp("s", tz="UTC"),
    }
)


def files(folder, train=(), validation=(), test=()):
    """Write files that hold pairs of (session, the turn's ids, its context's), in chat -5.

    A session is a second later than the one before it.
    """
    for name, pairs in (("train", train), ("validation", validation), ("test", test)):
        rows = [
            {"chat_id": chat[0] if chat else -5, "session": session, "message_ids": turn,
             "context_ids": context, "sent_at": NOON + timedelta(seconds=session)}
            for session, turn, context, *chat in pairs
        ]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / f"{name}.parquet")
    return folder


def test_splits_that_share_nothing_have_no_leak(tmp_path):
    files(tmp_path, [(0, [2], [1]), (1, [4], [2, 3])], [(3, [8], [7])], [(5, [12, 13], [11])])

    assert find_leaks(tmp_path.joinpath) == CLEAN


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
def test_a_test_message_in_training_is_counted_once_wherever_it_stands(
    tmp_path, turn, context, count
):
    files(tmp_path, [(0, [2, 3], [1])] * 2, [], [(5, turn, context)] * 2)

    assert find_leaks(tmp_path.joinpath).test_messages_in_training == count


def test_another_chats_message_of_the_same_id_is_another_message(tmp_path):
    files(tmp_path, [(0, [2], [1])], [], [(5, [2], [1], -6), (6, [1], [9])])

    assert find_leaks(tmp_path.joinpath).test_messages_in_training == 1


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
def test_a_session_on_both_sides_is_counted(tmp_path, splits, count):
    starts = {"train": 0, "validation": 1_000, "test": 2_000}
    files(
        tmp_path,
        **{
            name: [(n, [starts[name] + n], []) for n in numbers] for name, numbers in splits.items()
        },
    )

    assert find_leaks(tmp_path.joinpath).sessions_on_both_sides == count


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
def test_a_pair_that_is_not_older_than_the_next_split_is_counted(tmp_path, splits, count):
    files(tmp_path, **{name: [(n, [n], []) for n in numbers] for name, numbers in splits.items()})

    assert find_leaks(tmp_path.joinpath).pairs_out_of_order == count


def test_a_leak_far_down_a_long_file_is_found(tmp_path):
    many = [(n, [10 * n], [10 * n - 1]) for n in range(1, 70_001)]
    others = [(n, [n], []) for n in range(10**6, 10**6 + 70_000)]
    files(tmp_path, many, [], [*others, (10**7, [700_000], [])])

    assert find_leaks(tmp_path.joinpath).test_messages_in_training == 1


def test_empty_files_share_nothing(tmp_path):
    assert find_leaks(files(tmp_path).joinpath) == CLEAN


def test_a_dataset_that_was_built_shares_nothing_until_somebody_copies_a_pair(tmp_path):
    export = write(tmp_path, chat(*conversation()))

    summary = build([export], tmp_path / "ds", small())

    pairs = tmp_path / "ds" / "pairs"
    assert summary.leaks == find_leaks(pairs.joinpath) == CLEAN
    train, test = (pq.read_table(pairs / f"{name}.parquet") for name in ("train", "test"))
    pq.write_table(pa.concat_tables([train, test.slice(3, 1)]), pairs / "train.parquet")
    shared = len({*test["message_ids"][3].as_py(), *test["context_ids"][3].as_py()})
    assert find_leaks(pairs.joinpath) == Leaks(shared, 1, 1)
