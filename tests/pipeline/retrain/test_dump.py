"""What the bot's dump says besides its messages."""

from datetime import timedelta

import pytest

from model.chat.person import Decision
from model.errors import ExportError
from pipeline.export.archive import open_exports
from pipeline.export.files import ExportFile
from pipeline.retrain.people import read_dump_notes
from tests.pipeline.chats import LAYOUTS, NOON, chat, entry, write
from tests.pipeline.retrain.dumps import decision, dump


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_dump_is_told_and_read_in_any_layout(tmp_path, layout):
    value = dump(
        entry(1, 1, "hello"),
        decisions=[decision(2, "optout", 5)],
        forgotten=[3, 4],
        names=[[2, "Bea"], [2, "Bia"]],
    )
    file = write(tmp_path, layout(value))

    notes = read_dump_notes(ExportFile(file))

    assert notes.chat_id == -(10**12 + 77)
    assert notes.written_at == NOON + timedelta(hours=1_000)
    assert notes.decisions == (Decision(2, "optout", NOON + timedelta(hours=5), notes.chat_id),)
    assert notes.forgotten == (3, 4)
    assert notes.names == ((2, "Bea"), (2, "Bia"))


def test_a_dump_without_names_is_read(tmp_path):
    assert read_dump_notes(ExportFile(write(tmp_path, dump(entry(1, 1, "hello"))))).names == ()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_dump_s_messages_are_read_as_any_export_s(tmp_path, layout):
    value = dump(entry(1, 1, "hello"), entry(2, 2, "hi", 9), decisions=[decision(2, "optin")])
    first = {"understudy": value.pop("understudy"), **value}

    for number, whole in enumerate((first, {**value, "understudy": first["understudy"]})):
        file = write(tmp_path / str(number), layout(whole))
        with open_exports([file]) as found:
            said = [message.text for message in found.spool.messages(-(10**12 + 77))]
            assert said == ["hello", "hi"]
            assert not found.only(None).tally.skipped


@pytest.mark.parametrize(
    "words", ["the understudy", 'he said "understudy": and left'], ids=["a word", "like a key"]
)
def test_an_export_that_speaks_of_an_understudy_is_no_dump(tmp_path, words):
    file = write(tmp_path, chat(entry(1, 1, words)))

    assert read_dump_notes(ExportFile(file)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"decisions": [{"user_id": 1, "decision": "maybe", "at": NOON.isoformat()}]},
        {"decisions": [{"user_id": "1", "decision": "optout", "at": NOON.isoformat()}]},
        {"written_at": "yesterday"},
        {"written_at": "9999-12-31T23:59:59-14:00"},
        {"forgotten": None},
        {"forgotten": ["4"]},
        {"names": [[2]]},
        {"names": [["2", "Bea"]]},
        {"names": 5},
        {"chat_id": True},
    ],
)
def test_a_dump_whose_decisions_cannot_be_read_is_refused_rather_than_ignored(tmp_path, change):
    value = dump(entry(1, 1, "hello"))
    value["understudy"].update(change)
    file = write(tmp_path, value)

    with pytest.raises(ExportError, match="a damaged dump .*write it again"):
        read_dump_notes(ExportFile(file))


def test_a_dump_that_was_cut_short_is_no_export_either(tmp_path):
    file = write(tmp_path, dump(entry(1, 1, "hello")))
    file.write_bytes(file.read_bytes()[:-20])

    with pytest.raises(ExportError, match="a damaged dump"):
        read_dump_notes(ExportFile(file))
