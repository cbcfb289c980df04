import io
import json
import re
import shutil
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from model.chat.eligibility import add_voice_header
from model.errors import DatasetError, ExportError, RosterError
from pipeline.dataset.build import build
from pipeline.dataset.pairs import BuildOptions
from pipeline.dataset.roster_file import read_roster
from pipeline.dataset.sample import NAMES
from pipeline.dataset.storage import load_dataset
from pipeline.terminal import Progress
from tests.call_count import count_calls
from tests.pipeline.chats import NOON, account, chat, conversation, entry, small, write

BOT = 5_000


@pytest.fixture
def export(tmp_path):
    return write(tmp_path, chat(*conversation()))


def names(folder):
    return [person.name for person in load_dataset(folder).roster.people]


def pairs(folder):
    loaded = load_dataset(folder)
    return [*loaded.train, *loaded.validation, *loaded.test]


def roster(path, *people):
    """Write a roster of (name, ids, more lines)."""
    text = "".join(
        f'[[people]]\nname = "{name}"\nids = {list(ids)}\n{"".join(more)}\n'
        for name, ids, *more in people
    )
    path.write_text(text, "utf-8")
    return path


def test_the_demos_chat_makes_a_dataset_in_which_all_five_answer(tmp_path, sample_chat):
    told = io.StringIO()

    summary = build(
        [sample_chat],
        tmp_path / "ds",
        BuildOptions(public=True),
        Progress(Console(file=told, width=500)),
    )

    assert (summary.messages, summary.lines) == (21_362, 21_362)
    assert 11_000 < summary.pairs < 11_200
    assert [voice.name for voice in summary.voices] == list(NAMES)
    assert min(voice.test for voice in summary.voices) >= 200
    assert min(voice.messages for voice in summary.voices) >= 2_557
    shares = [part.lines / summary.lines for part in summary.splits]
    assert shares == pytest.approx([0.80, 0.05, 0.15], abs=0.01)
    assert summary.silent == summary.quiet == ()
    assert (summary.redacted, summary.skipped) == ({"email": 1, "code": 1}, {})
    lines = map(str.strip, told.getvalue().splitlines())
    titles = [re.split(r" …| \(", line)[0] for line in lines]
    assert list(dict.fromkeys(titles)) == [  # on a busy machine a title stands in several lines
        f"Reading {sample_chat}",
        "Replacing private data",
        "Writing the dataset",
        "Pairing contexts and replies",
    ]


def test_summary_json_can_be_read_by_people(export, tmp_path):
    build([export], tmp_path / "ds", small())

    value = json.loads((tmp_path / "ds" / "summary.json").read_text("utf-8"))

    assert value["chats"] == [{"chat_id": -1_000_000_000_077, "title": "Friends"}]
    assert value["window"] == {"size": 10, "gap_minutes": 120.0, "short": 2, "fill": 5}
    assert value["messages"] == value["lines"] == 240
    assert value["silent_until_they_agree"] == ["Friend 1", "Friend 2"]
    assert value["splits"][0]["first"] == "2024-03-01T12:00:00+00:00"
    assert value["leaks"] == {
        "test_messages_in_training": 0, "sessions_on_both_sides": 0, "pairs_out_of_order": 0
    }  # fmt: skip
    assert (value["gap"], value["dropped"]) == (24, 2 * (6 + 1))
    assert [len(found) for found in value["export_sha256"]] == [len(value["content_hash"])] == [64]


def test_local_times_are_those_of_the_zone(tmp_path):
    local = [{k: v for k, v in e.items() if k != "date_unixtime"} for e in conversation()]
    export = write(tmp_path, chat(*local))

    summary = build([export], tmp_path / "ds", small(zone=ZoneInfo("America/New_York")))

    assert summary.splits[0].first == NOON + timedelta(hours=5)
    assert summary.repaired == {"a local time without an offset": 240}


def test_the_tests_share_is_what_was_asked_for(export, tmp_path):
    summary = build([export], tmp_path / "ds", small(test_share=0.4))

    assert [part.sessions for part in summary.splits] == [11, 1, 6]


def test_the_parts_of_a_chat_are_merged_and_each_message_counts_once(tmp_path):
    entries = conversation()
    late = {**entries[100], "text": "edited", "edited_unixtime": "1750000000"}
    parts = [
        write(tmp_path / "new", chat(*entries[100:])),
        write(tmp_path / "old", chat(*entries[:140])),
        write(tmp_path / "edited", chat(late)),
    ]

    merged = build(parts, tmp_path / "ds", small())

    whole = write(tmp_path / "whole", chat(*entries[:100], late, *entries[101:]))
    assert merged.messages == 240
    assert len(merged.export_sha256) == 3
    assert merged.content_hash == build([whole], tmp_path / "ds2", small()).content_hash


def test_two_exports_of_one_chat_are_one_chat_by_its_latest_name(tmp_path):
    entries = conversation()
    old = write(tmp_path / "old", chat(*entries[:120], name="Before"))
    new = write(tmp_path / "new", chat(*entries[120:], name="After"))

    summary = build([new, old], tmp_path / "ds", small())

    assert [one.title for one in summary.chats] == ["After"]
    assert summary.messages == 240


@pytest.mark.parametrize("wanted", ["friends", "Friends", "77", "-1000000000077"])
def test_of_several_chats_the_wanted_one_is_taken_by_name_or_id(tmp_path, wanted):
    others = [{**e, "text": "elsewhere"} for e in conversation()]
    export = write(tmp_path, account(chat(*others, name="Work", id=5), chat(*conversation())))

    summary = build([export], tmp_path / "ds", small(chat=wanted))

    assert [one.title for one in summary.chats] == ["Friends"]
    assert not any("elsewhere" in pair.target for pair in pairs(tmp_path / "ds"))


@pytest.mark.parametrize(
    ("wanted", "says"),
    [(None, "several chats: choose one"), ("Family", "no chat 'Family'")],
)
def test_of_several_chats_none_is_chosen_by_chance(tmp_path, wanted, says):
    several = account(chat(entry(1, 1, "a"), name="Work", id=5), chat(*conversation()))

    with pytest.raises(ExportError, match=says) as caught:
        build([write(tmp_path, several)], tmp_path / "ds", small(chat=wanted))

    assert [line.split() for line in str(caught.value).splitlines()[1:]] == [
        ["-1000000000077", "240", "messages", "Friends"],
        ["-1000000000005", "1", "messages", "Work"],
    ]
    assert not (tmp_path / "ds").exists()


def test_the_roster_beside_the_export_is_used_and_one_given_before_it(export, tmp_path):
    roster(tmp_path / "roster.toml", ("Beside", [1]))
    given = roster(tmp_path / "other.toml", ("Given", [1]))

    build([export], tmp_path / "a", small())
    build([export], tmp_path / "b", small(roster=given))

    assert (names(tmp_path / "a"), names(tmp_path / "b")) == (["Beside"], ["Given"])


def test_what_was_written_into_the_datasets_roster_still_holds_when_it_is_built_again(
    export, tmp_path
):
    build([export], tmp_path / "ds", small())
    written = tmp_path / "ds" / "roster.toml"
    written.write_text(written.read_text().replace('learn = "yes"', 'learn = "no"', 1))
    write(tmp_path, chat(*conversation(people=3)))

    summary = build([export], tmp_path / "ds", small())

    assert sorted(names(tmp_path / "ds")) == ["Friend 1", "Friend 2", "Friend 3"]
    assert set(summary.silent) == {"Friend 2", "Friend 3"}


def test_another_chats_people_do_not_stay_in_a_dataset_that_is_replaced(export, tmp_path):
    build([export], tmp_path / "ds", small())
    others = [{**e, "from_id": e["from_id"] + "00", "from": "New"} for e in conversation()]
    write(tmp_path, chat(*others))

    build([export], tmp_path / "ds", small())

    assert names(tmp_path / "ds") == ["New", "New 2"]


def test_a_roster_that_is_not_there_is_refused(export, tmp_path):
    with pytest.raises(RosterError, match="there is no roster"):
        build([export], tmp_path / "ds", small(roster=tmp_path / "none.toml"))


def test_who_wrote_too_little_is_context_and_no_voice(tmp_path):
    rare = [entry(5_000 + n, 3, f"rare {n}", n * 10_900 + 30) for n in range(9)]
    export = write(tmp_path, chat(*conversation(), *rare))

    summary = build([export], tmp_path / "ds", small(min_messages=10))

    assert summary.quiet == ("Friend 3",)
    assert [voice.name for voice in summary.voices] == ["Friend 1", "Friend 2"]
    assert {pair.voice for pair in pairs(tmp_path / "ds")} == {"Friend 1", "Friend 2"}
    assert any("Friend 3: rare 1" in pair.context for pair in pairs(tmp_path / "ds"))
    assert "quiet = true" in (tmp_path / "ds" / "roster.toml").read_text("utf-8")


@pytest.mark.parametrize(("accounts", "is_voice"), [([3, 4], True), ([3], False)])
def test_two_accounts_of_one_person_count_together(tmp_path, accounts, is_voice):
    rare = [entry(5_000 + n, 3 + n % 2, f"rare {n}", n * 10_900 + 30) for n in range(18)]
    export = write(tmp_path, chat(*conversation(), *rare))
    given = roster(tmp_path / "given.toml", ("Friend 1", [1]), ("Friend 2", [2]), ("Rui", accounts))

    summary = build([export], tmp_path / "ds", small(min_messages=10, roster=given))

    assert ("Rui" in [voice.name for voice in summary.voices]) is is_voice
    assert summary.quiet == (() if is_voice else ("Rui",))


def test_who_became_loud_enough_is_a_voice_at_the_next_build(export, tmp_path):
    with pytest.raises(DatasetError):
        build([export], tmp_path / "ds", BuildOptions())
    build([export], tmp_path / "ds", small(min_messages=120))
    quiet = load_dataset(tmp_path / "ds").roster.people
    write(tmp_path, chat(*conversation(), entry(5_000, 1, "one more", 10**6)))

    summary = build([export], tmp_path / "ds", small(min_messages=121))

    assert not any(person.quiet for person in quiet)
    assert ([v.name for v in summary.voices], summary.quiet) == (["Friend 1"], ("Friend 2",))


def test_nobody_above_the_threshold_is_told_in_one_line(export, tmp_path):
    with pytest.raises(DatasetError, match="the 200 messages .*one person is 120") as caught:
        build([export], tmp_path / "ds", BuildOptions())

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ds").exists()


@pytest.mark.parametrize(
    ("messages", "error", "says"),
    [
        ([entry(1, 1, "me"), entry(2, 1, "still me", 9)], ExportError, "only Friend 1 speaks"),
        ([entry(1, 1, "a", forwarded_from="X")], ExportError, "nobody talks"),
        ([entry(1, 1, "/start"), entry(2, 2, "/help", 9)], ExportError, "nobody talks"),
        ([], ExportError, "nobody talks"),
        ([entry(1, 1, "a"), entry(2, 2, "b", 9)], DatasetError, "1 conversation is too few"),
        (
            [entry(n, 1 + n % 2, "a" if n < 3 else "[photo]", n * 9000) for n in range(1, 60)],
            DatasetError,
            "too few replies for training and testing",
        ),
    ],
    ids=["a single author", "forwards only", "commands only", "nothing", "one conversation",
         "photos only"],
)  # fmt: skip
def test_too_little_to_learn_from_is_refused_and_nothing_is_written(
    tmp_path, messages, error, says
):
    export = write(tmp_path, chat(*messages))

    with pytest.raises(error, match=says) as caught:
        build([export], tmp_path / "ds", small())

    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("roster", "says"),
    [
        ('imitate = "no"', "nobody in the roster may be imitated"),
        ('learn = "no"', "nobody in the roster may be imitated"),
        ("", "nobody in the roster wrote in this chat"),
        (None, r"nobody in the roster \(it is empty\) may be imitated"),
    ],
    ids=[
        "nobody may be imitated",
        "nobody may be learned from",
        "another chat's roster",
        "nobody",
    ],
)
def test_a_roster_that_leaves_no_voice_is_named_as_the_reason(tmp_path, export, roster, says):
    ids = () if roster is None else (1, 2) if roster else (11, 12)
    people = (f'[[people]]\nname = "F{n}"\nids = [{n}]\n{roster}\n' for n in ids)
    (tmp_path / "who.toml").write_text("".join(people))

    with pytest.raises(DatasetError, match=says) as caught:
        build([export], tmp_path / "ds", small(roster=tmp_path / "who.toml"))

    assert "\n" not in str(caught.value)


def test_exports_of_two_peoples_chats_with_one_friend_are_not_mixed(tmp_path):
    def chats_of(owner):
        place = tmp_path / str(owner)
        place.mkdir()
        talk = [entry(n, owner if n % 2 else 9, f"words {n}", n * 90) for n in range(1, 40)]
        return write(place, chat(*talk, type="personal_chat", id=9, name="Bob"))

    with pytest.raises(ExportError, match="only exports from one account"):
        build([chats_of(1), chats_of(2)], tmp_path / "ds", small())


def test_who_said_no_is_known_in_an_export_that_has_names_alone(tmp_path):
    nameless = [{k: v for k, v in e.items() if k != "from_id"} for e in conversation(people=3)]
    roster = tmp_path / "roster.toml"
    roster.write_text(
        '[[people]]\nname = "Friend 1"\nids = [1]\nlearn = "no"\n'
        '[[people]]\nname = "Friend 2"\nids = [2]\n'
    )

    build([write(tmp_path, chat(*nameless))], tmp_path / "ds", small())

    assert not any(
        "Friend 1" in line for p in load_dataset(tmp_path / "ds").train for line in p.context
    )


@pytest.mark.parametrize("place", ["--roster", "beside the export", "an earlier dataset"])
def test_who_said_no_is_known_by_a_name_that_only_the_export_shows(tmp_path, place):
    said = conversation(people=3)
    for one in said:
        if one["from_id"] == "user3":
            one["from"] = "Dora"
        elif one["id"] % 3 == 0:
            one["text"] = f"Dora: quimera {one['id']}"
    no = 'learn = "no"\n'
    people = (("Friend 1", (1,)), ("Friend 2", (2,)), ("Friend 3", (3,), no))
    who = roster(tmp_path / "who.toml", *people)
    export = write(tmp_path / "export", chat(*said))
    if place == "beside the export":
        shutil.copy(who, export.parent / "roster.toml")
    elif place == "an earlier dataset":
        build([write(tmp_path, chat(*conversation(people=3)))], tmp_path / "ds", small(roster=who))

    build([export], tmp_path / "ds", small(roster=who if place == "--roster" else None))

    loaded = load_dataset(tmp_path / "ds")
    assert "Dora" in next(person for person in loaded.roster.people if 3 in person.ids).names
    texts = [*(pair.context + pair.target for pair in loaded.train)]
    assert texts
    assert "quimera" not in str(texts)


def test_a_no_holds_in_a_later_export_that_its_person_is_not_in(tmp_path):
    said = conversation(people=3)
    build([write(tmp_path, chat(*said))], tmp_path / "ds", small())
    roster = tmp_path / "ds" / "roster.toml"
    roster.write_text(roster.read_text().replace('learn = "yes"', 'learn = "no"', 1))
    no = next(p for p in read_roster(roster).people if p.learn == "no")
    later = [e for e in said if e["from_id"] != f"user{no.ids[0]}"]

    build([write(tmp_path, chat(*later))], tmp_path / "ds", small())

    assert no.name in [p.name for p in read_roster(roster).people if p.learn == "no"]


def crowd(people, messages):
    """Return a chat in which so many people speak in turn, some to the bot, which answers."""
    said = []
    for number in range(1, messages + 1):
        who = 1 + number % people
        text = f"hello Friend {number % 7}, are you there?"
        seconds = number * 30 + number // 12 * 9_000
        if number % 25 == 0:
            who, text = BOT, add_voice_header(f"Friend {who}", "no idea")
        elif number % 15 == 0:
            text = f"/as Friend {who} is this you?"
        said.append(entry(number, who, text, seconds))
    return chat(*said)


def test_the_steps_per_message_do_not_depend_on_the_number_of_people(tmp_path):
    def taken(people, messages):
        folder = tmp_path / f"{people}-{messages}"
        export = write(folder, crowd(people, messages))
        file = roster(folder / "r.toml", *((f"Friend {n}", (n,)) for n in range(1, people + 1)))
        file.write_text(f"understudies = [{BOT}]\n{file.read_text('utf-8')}", "utf-8")
        return count_calls(lambda: build([export], folder / "dataset", small(roster=file)))

    few, many = (taken(people, 1_200) - taken(people, 600) for people in (12, 200))

    assert many <= 1.5 * few
