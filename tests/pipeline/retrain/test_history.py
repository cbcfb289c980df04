"""What is kept of a chat beside its models."""

import gzip

import pytest

from model.errors import DatasetError
from pipeline.retrain.history import (
    ExportRange,
    History,
    HistoryHeader,
    delete_stale_files,
    list_histories,
    open_history,
    write_history,
)
from pipeline.versions.ledger import ConsentLedger, WithdrawnPerson
from tests.pipeline.chats import NOON

HEAD = HistoryHeader(
    -5, 5, "Friends", "private_group", (ExportRange(1, 9, 100, 900),), ("ab" * 32,),
    utc_offsets=(("2024-03-01", 60),),
)  # fmt: skip
NAMES = [None, "Anna", "李雷"]
ROWS = [(-5, 1, 0, 100, 7, 1, "first words", None, 0, 0), (-5, 9, 0, 900, 8, 2, "二", 1, 0, 950)]


@pytest.fixture
def history(tmp_path):
    ledger = ConsentLedger(
        forgotten=frozenset({4}),
        understudies=frozenset({99}),
        withdrawn=(WithdrawnPerson("Anna", (7,), NOON), WithdrawnPerson("Bea", (9,))),
        aliases={12: 3},
    )
    return write_history(History(tmp_path / "history" / "-5", ledger), HEAD, ROWS, NAMES)


def test_what_is_kept_is_read_back(history, tmp_path):
    names = {None: 0, "somebody else": 1}

    read = open_history(tmp_path, -5)

    assert read == history
    assert list_histories(tmp_path) == [history]
    assert [row[5] for row in read.rows(names)] == [names["Anna"], names["李雷"]]
    assert [row[6:] for row in read.rows(names)] == [row[6:] for row in ROWS]


def test_nothing_is_kept_and_nothing_made_before_the_first_time(tmp_path):
    read = open_history(tmp_path, -5)

    assert (read.header, list(read.rows({})), list_histories(tmp_path)) == (None, [], [])
    assert list(tmp_path.iterdir()) == []


def test_the_same_chat_makes_the_same_file_and_another_takes_its_place(history):
    again = write_history(history, HEAD, ROWS, NAMES)
    other = write_history(again, HEAD, ROWS[:1], NAMES)

    assert again.file == history.file
    assert sorted(path.name for path in other.folder.iterdir()) == [other.file.name, "index.json"]


def test_what_a_killed_run_left_goes(history):
    (history.folder / ".new-x").mkdir()
    (history.folder / "0123.jsonl.gz").write_bytes(gzip.compress(b"words"))

    delete_stale_files(history)

    assert sorted(p.name for p in history.folder.iterdir()) == [history.file.name, "index.json"]


def test_only_the_owner_can_read_it(history):
    assert {path.stat().st_mode & 0o077 for path in history.folder.iterdir()} == {0}


@pytest.mark.parametrize("harm", ["cut", "gone", "index"])
def test_damage_is_one_line_that_says_what_to_do(history, harm, tmp_path):
    if harm == "cut":
        history.file.write_bytes(history.file.read_bytes()[:-9])
    elif harm == "gone":
        history.file.unlink()
    else:
        (history.folder / "index.json").write_text("{}")

    with pytest.raises(DatasetError, match="is damaged .*give all exports and dumps again") as told:
        open_history(tmp_path, -5)

    assert "\n" not in str(told.value)
