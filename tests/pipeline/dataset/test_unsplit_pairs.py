"""Pairs that wait to be split, and the files that they become."""

import gc
import tracemalloc
from array import array
from contextlib import closing
from dataclasses import fields
from datetime import UTC
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.pairs import Pair
from pipeline.dataset.storage import FIELDS, PairWriter, encode_pairs
from tests.pipeline.chats import pair

TRAIN, VALIDATION, TEST, GAP = 0, 1, 2, -1
OPEN = Path("/proc/self/fd")  # of this process


def write(folder, pairs, splits):
    """Write pairs; return what the draft says of them."""
    with closing(PairWriter()) as draft:
        draft.add(encode_pairs(pairs), 0)
        return draft.write(folder.joinpath, array("b", splits))


def read(folder, name):
    return pd.read_parquet(folder / f"{name}.parquet")


def test_each_pair_stands_in_the_file_of_its_sessions_split(tmp_path):
    pairs = [pair(10 * n, session=n) for n in range(1, 7)]

    written = write(tmp_path, pairs, [GAP, TRAIN, TRAIN, GAP, VALIDATION, TEST, TEST])

    ids = {path.stem: list(read(tmp_path, path.stem)["id"]) for path in tmp_path.iterdir()}
    assert ids == {"train": ["-5/10", "-5/20"], "validation": ["-5/40"], "test": ["-5/50", "-5/60"]}
    assert written.voices == ({"Friend 1": 2}, {"Friend 1": 1}, {"Friend 1": 2})
    assert written.dropped == 1


def test_a_pair_that_looks_into_another_split_or_into_the_gap_is_in_none(tmp_path):
    pairs = [
        pair(10, session=0),
        pair(20, session=1, since=0),
        pair(30, session=3, since=2),
        pair(40, session=3),
    ]

    written = write(tmp_path, pairs, [TRAIN, VALIDATION, GAP, TEST])

    assert [len(read(tmp_path, name)) for name in ("train", "validation", "test")] == [1, 0, 1]
    assert written.dropped == 2


def test_other_programs_read_what_it_writes(tmp_path):
    one = pair(
        10, "a\nb", "ção", context=("Friend 2: x", "[…]"), context_ids=(7, 8, 9), marks=("echo",)
    )

    write(tmp_path, [one], [TRAIN])

    (row,) = read(tmp_path, "train").to_dict("records")
    assert (row["id"], row["chat_id"], row["voice"], row["seen"]) == (
        "-5/10",
        -5,
        "Friend 1",
        False,
    )
    assert list(row["target"]) == ["a\nb", "ção"]
    assert list(row["context"]) == ["Friend 2: x", "[…]"]
    assert (list(row["context_ids"]), list(row["marks"])) == ([7, 8, 9], ["echo"])
    assert row["sent_at"].to_pydatetime() == one.sent_at
    assert row["sent_at"].tzinfo is not None


def test_the_files_have_every_field_of_a_pair(tmp_path):
    write(tmp_path, [pair(10)], [TRAIN])

    names = pq.read_schema(tmp_path / "test.parquet").names
    assert set(names) - {"id"} == {field.name for field in fields(Pair)} - {"surplus"}
    assert set(FIELDS) == set(names) - {"seen"}


@pytest.mark.parametrize("count", [2_047, 2_048, 2_049, 5_000])
def test_any_number_of_pairs_keeps_its_order(tmp_path, count):
    written = write(
        tmp_path, [pair(n, session=n % 3) for n in range(1, count + 1)], [TRAIN, VALIDATION, TEST]
    )

    found = [list(read(tmp_path, name)["id"]) for name in ("validation", "test", "train")]
    assert found == [[f"-5/{n}" for n in range(first, count + 1, 3)] for first in (1, 2, 3)]
    assert sum(voices["Friend 1"] for voices in written.voices) == count


def test_no_pairs_make_empty_files(tmp_path):
    written = write(tmp_path, [], [TRAIN, VALIDATION, TEST])

    assert [len(read(tmp_path, name)) for name in ("train", "validation", "test")] == [0, 0, 0]
    assert (written.voices, written.seen, written.dropped) == (({}, {}, {}), (0, 0, 0), 0)


def test_what_training_says_word_for_word_is_marked_as_seen_where_it_is_judged(tmp_path):
    pairs = [
        pair(10, "Yes!", session=0),
        pair(20, "Straße", session=0),
        pair(25, "yes!", session=0),
        pair(30, "YES!", session=1),
        pair(40, "yes", session=1),
        pair(50, "strasse", session=2, voice="Friend 2"),
        pair(60, "only here", session=2),
        pair(70, "only here", session=2),
        pair(80, "in the gap", session=3),
        pair(90, "in the gap", session=2),
    ]

    written = write(tmp_path, pairs, [TRAIN, VALIDATION, TEST, GAP])

    seen = {name: list(read(tmp_path, name)["seen"]) for name in ("train", "validation", "test")}
    assert seen == {
        "train": [False] * 3,
        "validation": [True, False],
        "test": [True, False, False, False],
    }
    assert written.seen == (0, 1, 1)


def test_a_turn_of_two_messages_is_seen_where_both_are(tmp_path):
    pairs = [
        pair(10, "a", "b", session=0),
        pair(20, "a", session=1),
        pair(30, "A", "B", session=1),
    ]

    write(tmp_path, pairs, [TRAIN, TEST])

    assert list(read(tmp_path, "test")["seen"]) == [False, True]


def test_the_hash_is_of_pairs_and_splits_and_of_nothing_else(tmp_path):
    pairs = [pair(10), pair(20, session=1)]
    others = [
        [pair(10, "other"), pairs[1]],
        [pair(10, context=("Friend 2: other",)), pairs[1]],
        [pair(10, voice="Friend 3"), pairs[1]],
        [pair(10, chat_id=-6), pairs[1]],
        pairs[:1],
    ]

    first = write(tmp_path, pairs, [TRAIN, TEST]).content_hash
    same = write(tmp_path, [pairs[0], pair(20, session=1, marks=("echo",))], [TRAIN, TEST])
    swapped = write(tmp_path, pairs, [TEST, TRAIN])

    assert first == same.content_hash
    hashes = {first, swapped.content_hash}
    hashes |= {write(tmp_path, other, [TRAIN, TEST]).content_hash for other in others}
    assert len(hashes) == 2 + len(others)


def test_what_waits_has_no_name_and_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_files = len(list(OPEN.iterdir()))

    with closing(PairWriter()) as draft:
        draft.add(encode_pairs([pair(number, "a secret") for number in range(1, 5_000)]), 0)
        left = list(tmp_path.iterdir())
    gc.collect()

    assert left == []
    assert len(list(OPEN.iterdir())) == open_files


def test_times_are_kept_to_the_second_in_utc(tmp_path):
    one = pair(10)

    write(tmp_path, [one], [TRAIN])

    (at,) = pq.read_table(tmp_path / "train.parquet").column("sent_at").to_pylist()
    assert at.astimezone(UTC) == one.sent_at


def test_each_waiting_pair_takes_few_bytes_of_memory():
    def held(start, end):
        for number in range(start, end):
            draft.add(encode_pairs([pair(number, context=(f"Friend 2: {number}",))]), 0)
        return tracemalloc.get_traced_memory()[0]

    with closing(PairWriter()) as draft:
        tracemalloc.start()
        try:
            few, many = held(0, 2_048), held(2_048, 6_144)  # whole batches: none waits
        finally:
            tracemalloc.stop()

    assert (many - few) / 4_096 < 30
