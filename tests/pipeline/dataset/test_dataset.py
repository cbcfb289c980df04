import stat
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.chat.conversation import Window
from model.errors import DatasetError, RosterError
from pipeline.dataset import build as build_module
from pipeline.dataset import storage
from pipeline.dataset.build import build
from pipeline.dataset.roster_file import read_roster
from pipeline.dataset.storage import load_dataset
from tests.pipeline.chats import NOON, chat, conversation, small, write


@pytest.fixture
def export(tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    return write(folder, chat(*conversation()))


@pytest.fixture
def built(export, tmp_path):
    build([export], tmp_path / "ds", small())
    return tmp_path / "ds"


def test_a_dataset_is_read_back_as_it_was_built(export, tmp_path):
    summary = build([export], tmp_path / "ds", small(window=Window(size=7), public=True))

    loaded = load_dataset(tmp_path / "ds")

    assert loaded.summary == summary
    assert (loaded.window, loaded.public) == (Window(size=7), True)
    assert [chat.title for chat in loaded.chats] == ["Friends"]
    assert [p.name for p in loaded.roster.people] == ["Friend 1", "Friend 2"]
    assert len(loaded.train) + len(loaded.validation) + len(loaded.test) == summary.pairs
    first = loaded.train[0]
    assert (first.voice, first.target) == ("Friend 2", ("words 4", "words 5"))
    assert first.context == ("Friend 1: words 2", "Friend 1: words 3")
    assert (first.id, first.context_ids) == ("-1000000000077/4", (2, 3))


def test_the_hash_is_of_what_is_learned_and_not_of_when_it_was_built(export, tmp_path):
    hashes = [
        build([export], tmp_path / name, small(window=window)).content_hash
        for name, window in [("a", Window()), ("b", Window()), ("c", Window(size=3))]
    ]

    assert hashes[0] == hashes[1] != hashes[2]


def test_other_programs_read_the_lines_from_one_file(built):
    lines = pq.read_table(built / "lines.parquet").to_pylist()

    assert sorted(path.name for path in built.iterdir()) == [
        "lines.parquet", "removed.txt", "roster.toml", "summary.json",
    ]  # fmt: skip
    assert [line["message_id"] for line in lines] == list(range(2, 242))
    assert lines[0] == {
        "topic_id": 0, "session": 0, "message_id": 2, "author_id": 1, "speaker": "Friend 1",
        "text": "words 2", "sent_at": NOON, "is_target": True, "reply_to": None,
        "is_surplus": False, "is_removed": False, "split": "train",
    }  # fmt: skip
    summary = load_dataset(built).summary
    assert Counter(line["split"] for line in lines) == {
        None: summary.gap, **{part.name: part.lines for part in summary.splits}
    }  # fmt: skip


def test_only_the_owner_reads_it(built):
    modes = {
        path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in [built, *built.rglob("*")]
    }

    assert modes == {True: 0o700, False: 0o600}


def test_an_older_dataset_is_replaced_whole(built, export):
    build([export], built, small(window=Window(size=3)))

    assert load_dataset(built).window.size == 3
    assert sorted(path.name for path in built.parent.iterdir()) == ["ds", "export"]


@pytest.mark.parametrize(
    ("module", "failing"),
    [(build_module, "write_roster"), (build_module, "write_summary"), (storage, "_replace")],
    ids=["while the roster is written", "while the summary is written", "while it is put in place"],
)
def test_a_build_that_fails_leaves_the_older_dataset_and_nothing_else(
    built, export, monkeypatch, module, failing
):
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        build([export], built, small(window=Window(size=3)))

    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before
    assert sorted(path.name for path in built.parent.iterdir()) == ["ds", "export"]


def test_a_folder_that_cannot_be_put_in_place_gives_the_older_one_back(built, export, monkeypatch):
    rename = Path.rename

    def fail(path, target):
        if path.name == "new":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        build([export], built, small(window=Window(size=3)))

    assert load_dataset(built).window.size == 10


def test_a_folder_with_something_else_in_it_is_refused_before_anything_is_read(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_text("x")

    with pytest.raises(DatasetError, match="something other than a dataset"):
        build([tmp_path / "no-export"], photos, small())

    assert [path.name for path in photos.iterdir()] == ["a.jpg"]


def test_a_file_is_refused_as_the_place(tmp_path, export):
    (tmp_path / "file").write_text("x")

    with pytest.raises(DatasetError, match="is a file"):
        build([export], tmp_path / "file", small())


def test_an_empty_folder_is_taken(tmp_path, export):
    (tmp_path / "ds").mkdir()

    build([export], tmp_path / "ds", small())

    assert load_dataset(tmp_path / "ds").train


def test_a_place_by_a_link_or_below_new_folders_is_reached(tmp_path, export):
    (tmp_path / "link").symlink_to(tmp_path / "real")

    build([export], tmp_path / "link", small())
    build([export], tmp_path / "a b" / "c", small())

    assert load_dataset(tmp_path / "real").train == load_dataset(tmp_path / "a b" / "c").train


def test_a_missing_dataset_says_how_to_make_one(tmp_path):
    with pytest.raises(DatasetError, match="create one with `understudy build`"):
        load_dataset(tmp_path / "none")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("summary.json", "{", "cannot be read"),
        ("summary.json", "[]", "by another version"),
        (
            "summary.json",
            '{"kind": "understudy dataset", "format": 0}',
            "was written by another version",
        ),
        (
            "summary.json",
            '{"kind": "understudy dataset", "format": 1}',
            "was written by another version",
        ),
        ("summary.json", '{"kind": "understudy dataset", "format": 5}', "is damaged"),
        ("lines.parquet", "", "build the dataset again"),
        ("lines.parquet", "PAR1, they say", "build the dataset again"),
    ],
)
def test_a_damaged_dataset_is_refused_in_one_line(built, file, content, says):
    (built / file).write_text(content)

    with pytest.raises(DatasetError, match=says) as caught:
        load_dataset(built)

    assert "\n" not in str(caught.value)


def test_a_dataset_without_its_roster_is_refused(built):
    (built / "roster.toml").unlink()

    with pytest.raises(RosterError, match="no roster"):
        load_dataset(built)


@pytest.mark.parametrize(
    "damage",
    [
        lambda table: table.drop_columns("text"),
        lambda table: table.set_column(5, "text", pa.nulls(len(table), pa.string())),
        lambda table: table.set_column(6, "sent_at", pa.array(["noon"] * len(table))),
        lambda table: table.set_column(11, "split", pa.array(["other"] * len(table))),
    ],
    ids=["no column", "no texts", "no times", "another split"],
)
def test_a_table_of_another_form_is_refused_in_one_line(built, damage):
    file = built / "lines.parquet"
    pq.write_table(damage(pq.read_table(file)), file)

    with pytest.raises(DatasetError, match="cannot be read .* build the dataset again") as caught:
        load_dataset(built)

    assert "\n" not in str(caught.value)


def test_a_dataset_without_its_table_is_refused(built):
    (built / "lines.parquet").unlink()

    with pytest.raises(DatasetError, match="cannot be read .* build the dataset again"):
        load_dataset(built)


@pytest.mark.parametrize(
    "change",
    [('learn = "yes"', 'learn = "no"'), ('name = "Friend 1"', 'name = "Somebody else"')],
    ids=["who may be learned from", "what somebody is called"],
)
def test_a_roster_that_no_longer_fits_the_lines_is_refused(built, change):
    roster, loaded = built / "roster.toml", load_dataset(built)
    roster.write_text(roster.read_text("utf-8").replace(*change, 1), "utf-8")

    with pytest.raises(DatasetError, match="affects whose messages may be used.* build again"):
        load_dataset(built)
    with pytest.raises(DatasetError, match="affects whose messages may be used.* build again"):
        list(replace(loaded, roster=read_roster(roster)).sessions())


def test_a_dataset_of_an_earlier_version_is_replaced(built, export):
    (built / "summary.json").write_text('{"kind": "understudy dataset", "format": 1}')

    build([export], built, small())

    assert load_dataset(built).train


def test_what_else_a_person_keeps_in_the_folder_stays(built, export):
    (built / "notes.txt").write_text("mine")
    (built.parent / ".ds.bak").mkdir()

    build([export], built, small())

    assert (built / "notes.txt").read_text() == "mine"
    assert (built.parent / ".ds.bak").is_dir()


def test_a_dataset_that_a_killed_build_had_moved_away_still_holds(built, export):
    roster = built / "roster.toml"
    roster.write_text(roster.read_text().replace('learn = "yes"', 'learn = "no"', 1))
    killed = built.parent / ".ds.understudy-abc"
    killed.mkdir()
    built.rename(killed / "old")

    build([export], built, small())

    assert 'learn = "no"' in roster.read_text()
