"""The table of lines: what is written is read back, and pairs are grouped by its splits."""

import gc
import io
import tracemalloc
from array import array
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from model.chat.conversation import Window
from model.chat.prompt import build_context
from pipeline.dataset.build import PairCounts
from pipeline.dataset.pairs import SessionRules, group_by_split, make_pairs, make_sessions
from pipeline.dataset.split import GAP, SPLITS
from pipeline.dataset.storage import LineWriter, encode_sessions, read_sessions
from tests.parity_chats import NAMES, ROSTER
from tests.pipeline.chats import pair
from tests.pipeline.dataset.test_blocks import make_chat

OPEN = Path("/proc/self/fd")  # of this process
RULES = SessionRules(ROSTER, Window(), {(who, "hi"): (10, 1) for who in NAMES}, quiet_hour=4)


def write(sessions, splits, size):
    """Write sessions in blocks of this size; return the table's file."""
    table = io.BytesIO()
    with closing(LineWriter()) as writer:
        for first in range(0, len(sessions), size):
            block = [
                replace(session, number=number)
                for number, session in enumerate(sessions[first : first + size])
            ]
            writer.add(encode_sessions(block), first)
        writer.write(table, array("b", splits))
    return table


@pytest.mark.parametrize("seed", range(20))
def test_sessions_are_read_back_as_they_were_written(seed):
    removed = {f"-5/{number}" for number in range(seed, 400, 7)}
    sessions = list(make_sessions(make_chat(seed), RULES, removed))
    splits = [number * 7 % 4 - 1 for number in range(len(sessions))]

    found = list(read_sessions(write(sessions, splits, 1 + seed), ROSTER))

    names = [None if place == GAP else SPLITS[place] for place in splits]
    assert found == [replace(one, split=name) for one, name in zip(sessions, names, strict=True)]
    test = list(read_sessions(write(sessions, splits, 10), ROSTER, "test"))
    assert test == [session for session in found if session.split == "test"]


@pytest.mark.parametrize("seed", range(20))
def test_pairs_of_the_table_have_the_contexts_that_serving_would_build(seed):
    messages = make_chat(seed)
    window = Window(size=1 + seed % 5, short=seed % 3, fill=seed % 4)
    sessions = list(make_sessions(messages, replace(RULES, window=window)))
    table = write(sessions, [0] * len(sessions), 100)
    by_id = {message.message_id: message for message in messages}

    found = list(make_pairs(read_sessions(table), -5, window))

    assert found
    for one in found:
        first = by_id[one.message_ids[0]]
        before = messages[: messages.index(first)]
        topic = [message for message in before if message.topic_id == first.topic_id]
        assert one.context == build_context(topic, first.sent_at, ROSTER, window)


def test_any_number_of_blocks_makes_the_same_file():
    sessions = list(make_sessions(make_chat(1, 9_000), RULES))
    splits = [0] * len(sessions)

    files = {write(sessions, splits, size).getvalue() for size in (1_000, 10_000)}

    assert len(files) == 1
    assert (
        pq.ParquetFile(io.BytesIO(files.pop())).num_row_groups
        == 1 + len([line for session in sessions for line in session.lines]) // 8_192
    )


def test_lines_that_wait_have_no_name_and_are_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sessions = encode_sessions(make_sessions(make_chat(1, 9_000), RULES))
    open_files = len(list(OPEN.iterdir()))

    with closing(LineWriter()) as writer:
        writer.add(sessions, 0)
        left = list(tmp_path.iterdir())
    gc.collect()

    assert left == []
    assert len(list(OPEN.iterdir())) == open_files


def test_a_removed_turn_is_in_no_split_and_no_target_of_its_session():
    messages = make_chat(3)
    split = [replace(one, split="train") for one in make_sessions(messages, RULES)]
    ids = [one.id for one in make_pairs(split, -5, Window())]
    removed = set(ids[::3])

    kept = group_by_split(
        make_pairs(
            (replace(one, split="train") for one in make_sessions(messages, RULES, removed)),
            -5, Window(),
        )
    )  # fmt: skip

    whole = group_by_split(make_pairs(split, -5, Window()))
    assert kept["train"] == tuple(one for one in whole["train"] if one.id not in removed)


def test_what_training_says_word_for_word_is_seen_where_it_is_judged():
    pairs = [
        pair(10, "Yes!", split="train"),
        pair(20, "Straße", split="train"),
        pair(30, "YES!", split="validation"),
        pair(40, "yes", split="validation"),
        pair(50, "strasse", split="test", voice="Friend 2"),
        pair(60, "only here", split="test"),
        pair(70, "only here", split="test"),
        pair(80, "in the gap"),
        pair(90, "in the gap", split="test"),
    ]

    found, counts = group_by_split(pairs), PairCounts()
    for one in pairs:
        counts.add(one)

    assert {name: [one.seen for one in own] for name, own in found.items()} == {
        "train": [False, False],
        "validation": [True, False],
        "test": [True, False, False, False],
    }
    assert counts.count_seen() == {"train": 0, "validation": 1, "test": 1}
    assert counts.dropped == 1


def test_a_turn_of_two_messages_is_seen_where_both_are():
    pairs = [
        pair(10, "a", "b", split="train"),
        pair(20, "a", split="test"),
        pair(30, "A", "B", split="test"),
    ]

    assert [one.seen for one in group_by_split(pairs)["test"]] == [False, True]


def test_training_leaves_surplus_texts_out_and_held_out_splits_keep_them():
    pairs = [
        pair(10, "a", "b", surplus=(0,), split="train"),
        pair(20, "a", surplus=(0,), split="train"),
        pair(30, "a", "b", surplus=(0,), split="test"),
    ]

    found = group_by_split(pairs)

    assert [one.target for one in found["train"]] == [("b",)]
    assert [one.target for one in found["test"]] == [("a", "b")]


def test_each_counted_pair_takes_few_bytes_of_memory():
    def held(start, end):
        for number in range(start, end):
            counts.add(pair(number, split="train"))
        return tracemalloc.get_traced_memory()[0]

    counts = PairCounts()
    tracemalloc.start()
    try:
        few, many = held(0, 2_048), held(2_048, 6_144)
    finally:
        tracemalloc.stop()

    assert (many - few) / 4_096 < 50
