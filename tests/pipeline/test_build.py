import json
import subprocess
import sys

import pytest

from model.conversation import Window
from model.errors import DatasetError, ExportError, RosterError
from pipeline.build import build
from pipeline.dataset import load_dataset
from pipeline.sample import NAMES, write_sample
from tests.pipeline.chats import chat, conversation, entry, write

WINDOW = Window()


@pytest.fixture
def export(tmp_path):
    return write(tmp_path, chat(*conversation()))


def names(folder):
    return [person.name for person in load_dataset(folder).roster.people]


def test_the_demos_chat_makes_a_dataset_in_which_all_five_answer(tmp_path):
    steps = []
    write_sample(tmp_path / "demo")

    summary = build(
        tmp_path / "demo", tmp_path / "ds", window=WINDOW, public=True, step=steps.append
    )

    assert (summary.messages, summary.lines) == (29_527, 29_526)  # one is a command: "/rant over"
    assert 14_500 < summary.pairs < 15_000
    assert [voice.name for voice in summary.voices] == list(NAMES)
    assert min(voice.test for voice in summary.voices) >= 200
    assert min(voice.lines for voice in summary.voices) == 4_192
    shares = [part.lines / summary.lines for part in summary.splits]
    assert shares == pytest.approx([0.80, 0.05, 0.15], abs=0.005)
    assert summary.silent == ()
    assert steps == ["reading the export", "pairing contexts and replies", "writing the dataset"]


def test_summary_json_can_be_read_by_people(export, tmp_path):
    build(export, tmp_path / "ds", window=WINDOW)

    value = json.loads((tmp_path / "ds" / "summary.json").read_text("utf-8"))

    assert value["chats"] == [{"chat_id": -1_000_000_000_077, "title": "Friends"}]
    assert value["window"] == {"size": 10, "gap_minutes": 120.0, "short": 2, "fill": 5}
    assert value["messages"] == value["lines"] == 240
    assert value["silent_until_they_agree"] == ["Friend 1", "Friend 2"]
    assert value["splits"][0]["first"] == "2024-03-01T12:00:00+00:00"
    assert len(value["export_sha256"]) == len(value["content_hash"]) == 64


def test_only_the_last_messages_are_taken_if_so_asked(export, tmp_path):
    summary = build(export, tmp_path / "ds", window=WINDOW, last=60)

    assert summary.messages == 60
    assert load_dataset(tmp_path / "ds").train[0].message_ids[0] > 180


def test_the_roster_beside_the_export_is_used_and_one_given_before_it(export, tmp_path):
    (tmp_path / "roster.toml").write_text('[[people]]\nname = "Beside"\nids = [1]\n')
    given = tmp_path / "other.toml"
    given.write_text('[[people]]\nname = "Given"\nids = [1]\n')

    build(export, tmp_path / "a", window=WINDOW)
    build(export, tmp_path / "b", window=WINDOW, roster_path=given)

    assert (names(tmp_path / "a"), names(tmp_path / "b")) == (["Beside"], ["Given"])


def test_what_was_written_into_the_datasets_roster_still_holds_when_it_is_built_again(
    export, tmp_path
):
    build(export, tmp_path / "ds", window=WINDOW)
    roster = tmp_path / "ds" / "roster.toml"
    roster.write_text(roster.read_text().replace('learn = "yes"', 'learn = "no"', 1))
    write(tmp_path, chat(*conversation(people=3)))

    summary = build(export, tmp_path / "ds", window=WINDOW)

    assert names(tmp_path / "ds") == ["Friend 1", "Friend 2", "Friend 3"]
    assert summary.silent == ("Friend 2", "Friend 3")


def test_another_chats_people_do_not_stay_in_a_dataset_that_is_replaced(export, tmp_path):
    build(export, tmp_path / "ds", window=WINDOW)
    others = [{**e, "from_id": e["from_id"] + "00", "from": "New"} for e in conversation()]
    write(tmp_path, chat(*others))

    build(export, tmp_path / "ds", window=WINDOW)

    assert names(tmp_path / "ds") == ["New", "New 2"]


def test_a_roster_that_is_not_there_is_refused(export, tmp_path):
    with pytest.raises(RosterError, match="there is no roster"):
        build(export, tmp_path / "ds", window=WINDOW, roster_path=tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("messages", "error", "says"),
    [
        ([entry(1, 1, "me"), entry(2, 1, "still me", 9)], ExportError, "only Friend 1 speaks"),
        ([entry(1, 1, "a", forwarded_from="X")], ExportError, "nobody talks"),
        ([entry(1, 1, "/start"), entry(2, 2, "/help", 9)], ExportError, "nobody talks"),
        (
            [entry(1, 1, "a"), entry(2, 2, "b", 9)],
            DatasetError,
            "needs 3 conversations and there is 1",
        ),
        (
            [entry(n, 1 + n % 2, "[photo]", n * 9000) for n in range(1, 30)],
            DatasetError,
            "too few replies to learn from",
        ),
    ],
    ids=["a single author", "forwards only", "commands only", "one conversation", "photos only"],
)
def test_too_little_to_learn_from_is_refused_and_nothing_is_written(
    tmp_path, messages, error, says
):
    export = write(tmp_path, chat(*messages))

    with pytest.raises(error, match=says):
        build(export, tmp_path / "ds", window=WINDOW)

    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("last", [0, -5])
def test_the_last_none_of_a_chat_is_refused(export, tmp_path, last):
    with pytest.raises(DatasetError, match="leaves no message"):
        build(export, tmp_path / "ds", window=WINDOW, last=last)


def test_nothing_imports_the_datasets_library_before_it_is_needed(pytestconfig):
    program = (
        "import sys, pipeline.build, pipeline.sample\n"
        "assert not {'datasets', 'torch', 'chitchat_dataset'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", program], cwd=pytestconfig.rootpath, check=True)
