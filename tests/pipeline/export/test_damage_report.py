"""How much of a file damage cost: what is said of it, and when a command refuses it."""

import json

import pytest

from model.chat.conversation import Window
from model.errors import ExportError
from pipeline.cli.tables import to_json
from pipeline.dataset import build as building
from pipeline.dataset.inspection import inspect
from pipeline.dataset.summary import read_summary
from tests.command_line import understudy
from tests.pipeline.chats import LAYOUTS, chat, conversation, small, write
from tests.pipeline.cli.test_main import one_line
from tests.pipeline.export.reading import read
from tests.pipeline.retrain.retrain_runner import RetrainRunner

READERS = ("one space a level", "one line", "sorted keys on one line")


def with_zeros(layout, share, sessions=40):
    """Return an export, a share of whose bytes a disk lost in the middle, and how many."""
    whole = LAYOUTS[layout](chat(*conversation(sessions)))
    middle, lost = len(whole) // 2, int(len(whole) * share)
    return whole[:middle] + b"\x00" * lost + whole[middle + lost :], lost


@pytest.mark.parametrize("layout", READERS)
def test_the_bytes_that_could_not_be_read_are_counted(tmp_path, layout):
    damaged, lost = with_zeros(layout, 0.1)
    file = write(tmp_path, damaged)

    reading = read(file)

    message = len(damaged) / 480
    assert lost <= reading.chat.unread[file] <= lost + 3 * message
    assert reading.chat.unread_share(file) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("layout", READERS)
def test_a_whole_export_has_no_unread_bytes(tmp_path, layout):
    file = write(tmp_path, LAYOUTS[layout](chat(*conversation())))

    reading = read(file)

    assert reading.chat.unread.total() == 0


def test_damage_that_costs_nothing_has_no_unread_bytes(tmp_path):
    whole = LAYOUTS["one space a level"](chat(*conversation()))
    file = write(tmp_path, whole.replace(b"words 9", b"words \\x0B", 1))

    reading = read(file)

    assert reading.chat.tally.repaired.total() == 1
    assert reading.chat.unread.total() == 0


@pytest.mark.parametrize("layout", READERS)
def test_inspect_says_how_much_could_not_be_read(tmp_path, layout):
    damaged, lost = with_zeros(layout, 0.1)
    file = write(tmp_path, damaged)

    result = understudy("inspect", file)
    (figures,) = inspect([file], None, None, Window(), roster_path=None, min_messages=1)

    said = " ".join(result.stdout.split())
    (unread,) = json.loads(to_json([figures]))["chats"][0]["unread"]
    assert result.returncode == 0, result.stderr
    assert f"unread {unread['bytes']:,} bytes, {unread['share']:.2%} of" in said
    assert unread["bytes"] >= lost


@pytest.mark.parametrize("layout", READERS)
def test_a_build_refuses_a_file_of_which_much_is_damaged_unless_told(tmp_path, layout):
    damaged, lost = with_zeros(layout, 0.1)
    command = ["build", write(tmp_path, damaged), "--out", tmp_path / "ds", "--min-messages", 1]

    line = one_line(understudy(*command))
    agreed = understudy(*command, "--skip-damaged")

    assert "is damaged, and" in line
    assert "cannot be read: export the chat again, or use --skip-damaged to ignore them" in line
    assert agreed.returncode == 0, agreed.stderr
    assert "Unreadable: " in agreed.stdout
    summary = read_summary(tmp_path / "ds" / "summary.json")
    assert summary.unread_bytes >= lost
    assert summary.export_bytes == len(damaged)


def test_a_build_takes_a_file_of_which_little_is_damaged(tmp_path):
    damaged, _ = with_zeros("one line", 0.002, sessions=60)

    summary = building.build([write(tmp_path, damaged)], tmp_path / "ds", small())

    assert 0 < summary.unread_bytes < 0.01 * summary.export_bytes


def test_a_retraining_refuses_a_file_of_which_much_is_damaged_unless_told(tmp_path):
    runner = RetrainRunner(tmp_path)
    damaged, _ = with_zeros("one line", 0.1)

    with pytest.raises(ExportError, match="--skip-damaged"):
        runner.run(write(tmp_path / "e", damaged))
    result = runner.run(write(tmp_path / "e", damaged), skip_damaged=True)

    assert result.version


def without(*keys):
    return lambda one: {key: value for key, value in one.items() if key not in keys}


UNUSABLE = {
    "unreadable id": lambda one: {**one, "id": str(one["id"])},
    "no id": without("id"),
    "no date": without("date", "date_unixtime"),
    "no from_id": without("from", "from_id"),
    "unreadable from_id": lambda one: {**one, "from_id": [1]},
    "no type": without("type"),
    "an unknown type 'msg'": lambda one: {**one, "type": "msg"},
    "a date after tomorrow": lambda one: {
        **one, "date": "2261-01-01T00:00:00", "date_unixtime": "9183110400"
    },
}  # fmt: skip


@pytest.mark.parametrize("reason", UNUSABLE)
def test_messages_that_cannot_be_used_are_refused_with_the_reason_and_their_number(
    tmp_path, reason
):
    said = conversation(people=3)

    for step, text in ((1, "240 of 240"), (2, "120 of 240"), (60, "4 of 240")):
        damaged = [UNUSABLE[reason](one) if one["id"] % step == 0 else one for one in said]
        export = write(tmp_path, chat(*damaged))
        with pytest.raises(ExportError) as caught:
            building.build([export], tmp_path / "ds", small())
        count = int(text.split()[0])
        assert f"{text} messages of Friends ({count / 240:.1%}) are damaged" in str(caught.value)
        assert f"({reason}: {count}" in str(caught.value)
        assert "\n" not in str(caught.value)

    summary = building.build([export], tmp_path / "ds", small(skip_damaged=True))
    assert summary.skipped == {reason: 4}
    export = write(tmp_path, chat(*map(UNUSABLE[reason], said)))
    with pytest.raises(ExportError, match="240 of 240 messages of Friends"):
        building.build([export], tmp_path / "ds", small(skip_damaged=True))


def test_two_unusable_messages_of_240_are_counted_and_accepted(tmp_path):
    damaged = [UNUSABLE["no date"](one) if one["id"] < 4 else one for one in conversation()]

    summary = building.build([write(tmp_path, chat(*damaged))], tmp_path / "ds", small())

    assert (summary.messages, summary.skipped) == (238, {"no date": 2})
