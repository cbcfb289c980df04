"""A dataset's conversations without words: split as the pairs are, read back, refused if wrong."""

import pytest

from model.errors import DatasetError
from pipeline.dataset.build import build
from pipeline.dataset.roster_file import read_roster
from pipeline.dataset.storage import CONVERSATIONS, LINES, load_dataset, read_conversations
from tests.pipeline.chats import chat, conversation, small, write


@pytest.fixture
def built(tmp_path):
    build([write(tmp_path, chat(*conversation()))], tmp_path / "ds", small())
    return load_dataset(tmp_path / "ds")


def read(built):
    return read_conversations(built.folder, built.roster)


def test_each_conversation_stands_in_the_split_of_its_pairs(built):
    found = read(built)

    for part in built.summary.splits:
        assert len(found[part.name]) == part.sessions
        assert sum(map(len, found[part.name])) == part.lines
        assert found[part.name][0][0].at == part.first
    pairs = {name: getattr(built, name) for name in found}
    for name, conversations in found.items():
        times = {said.at for conversation in conversations for said in conversation}
        assert {pair.sent_at for pair in pairs[name]} <= times
        assert all(
            pair.sent_at not in times for other in pairs if other != name for pair in pairs[other]
        )


def test_no_words_stand_in_it(built):
    assert "words" not in (built.folder / CONVERSATIONS).read_text("utf-8")


def test_conversations_come_in_order_of_time_and_so_do_their_lines(built):
    for conversations in read(built).values():
        starts = [conversation[0].at for conversation in conversations]
        assert starts == sorted(starts)
        for one in conversations:
            assert [said.at for said in one] == sorted(said.at for said in one)


def test_building_again_replaces_it(built, tmp_path):
    (built.folder / CONVERSATIONS).write_text("old")

    build([tmp_path / "result.json"], built.folder, small())

    assert read(load_dataset(built.folder))["train"]


@pytest.mark.parametrize("name", [CONVERSATIONS, LINES])
def test_a_dataset_without_one_of_its_files_is_refused_before_it_is_used(built, name):
    (built.folder / name).unlink()

    with pytest.raises(DatasetError, match=f"{name} cannot be read .*: build the dataset again"):
        load_dataset(built.folder)


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", "3", '{"split":"train"}', '{"split":"other","said":[]}',
        '{"split":"train","said":[]}',
        '{"split":"train","said":[{"by":null}]}',
        '{"split":"train","said":[{"at":"2024-03-01T12:00:00+00:00"}]}',
        '{"split":"train","said":[{"at":"noon","by":null}]}',
        '{"split":"train","said":[{"at":5,"by":null}]}',
        '{"split":"train","said":[{"at":"2024-03-01T12:00:00+00:00","by":null,"text":"x"}]}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_one_line(built, content):
    (built.folder / CONVERSATIONS).write_text(content + "\n")

    with pytest.raises(DatasetError, match=r"cannot be read .*: build the dataset again") as caught:
        read(built)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [('learn = "yes"', 'learn = "no"'), ('name = "Friend 1"', 'name = "Somebody else"')],
    ids=["who may be learned from", "what somebody is called"],
)
def test_a_roster_that_says_otherwise_by_now_is_refused(built, change):
    text = (built.folder / "roster.toml").read_text("utf-8")
    (built.folder / "roster.toml").write_text(text.replace(*change, 1), "utf-8")

    with pytest.raises(DatasetError, match="has changed who may be learned from .* build again"):
        read_conversations(built.folder, read_roster(built.folder / "roster.toml"))
