"""What `inspect` prints: tables that fit a terminal of 80 columns, and JSON for programs."""

import io
import json
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from model.chat.conversation import Window
from pipeline.cli.tables import print_findings, to_json
from pipeline.dataset.inspection import inspect
from tests.pipeline.chats import NOON, account, chat, conversation, entry, topic_created, write

LONG = "The people who meet on Thursdays to play cards and talk late"
NAMES = {
    "sixty characters": LONG,
    "emoji": "🎉👨‍👩‍👧‍👦 party 🎉",
    "markup": "[bold]red[/bold] [link=x]",
    "right to left": "خانواده و دوستان",
    "one long word": "a" * 60,
    "wide characters": "友達" * 20,
}


def inspect_chat(folder, value, wanted=None, min_messages=1):
    return inspect(
        [write(folder, value)], wanted, None, Window(), roster_path=None, min_messages=min_messages
    )


def printed(figures):
    """Return what the command prints into 80 columns."""
    console = Console(file=io.StringIO(), width=80, highlight=False, markup=False)
    print_findings(figures, console)
    return console.file.getvalue().splitlines()


def test_json_has_every_figure_of_every_chat(tmp_path):
    told = [
        topic_created(3_000, "Trips"),
        {"id": 3_001, "type": "unsupported"},
        entry(3_002, 1, "lost", date=None, date_unixtime=None),
        entry(3_003, 3, "by its date", date="2010-01-01T00:00:00"),
        entry(3_004, 2, "write to a.b@example.org", 60),
        entry(3_005, 5, "a channel's", 60, from_id="channel5", **{"from": "News"}),
        entry(3_006, 5, "deleted", 60, **{"from": None}),
        entry(3_007, 1, "renamed", 10**6, **{"from": "One"}),
    ]
    several = account(chat(*conversation(), *told), chat(name=None, type="personal_chat", id=5))

    value = json.loads(to_json(inspect_chat(tmp_path, several)))

    friends, empty = value["chats"]
    assert (friends["name"], friends["type"], friends["id"]) == (
        "Friends", "private_supergroup", 77,
    )  # fmt: skip
    assert friends["chat_id"] == -1_000_000_000_077
    assert (friends["messages"], friends["service"]) == (246, 1)
    assert (friends["unsupported"], friends["topics"]) == (1, 1)
    assert friends["first"] == NOON.isoformat()
    assert friends["last"] == "2024-03-13T01:46:40+00:00"
    authors = {author["id"]: author for author in friends["authors"]}
    assert set(authors) == {"user1", "user2", "user3", "channel5", "user5"}
    assert authors["user1"]["names"] == ["Friend 1", "One"]
    assert (authors["user1"]["messages"], authors["user2"]["messages"]) == (121, 121)
    assert (authors["user5"]["names"], authors["channel5"]["names"]) == ([], ["News"])
    assert friends["repaired"] == {
        "a date that contradicts date_unixtime, which takes precedence": 1
    }
    assert friends["skipped"] == {"no date": 1}
    assert friends["private"] == {"email": 1}
    assert (empty["name"], empty["type"], empty["id"]) == (None, "personal_chat", 5)
    assert (empty["messages"], empty["authors"], empty["first"], empty["last"]) == (
        0, [], None, None,
    )  # fmt: skip


def test_authors_of_exports_without_ids_have_none_in_json(tmp_path):
    old = [{k: v for k, v in e.items() if k != "from_id"} for e in conversation()]

    (one,) = json.loads(to_json(inspect_chat(tmp_path, chat(*old))))["chats"]

    assert [(a["id"], a["names"], a["messages"]) for a in one["authors"]] == [
        (None, ["Friend 1"], 120), (None, ["Friend 2"], 120),
    ]  # fmt: skip


def test_json_says_where_the_file_is_damaged_and_not_what_stands_there(tmp_path):
    export = write(tmp_path, chat(*conversation()))
    whole = export.read_text("utf-8")
    export.write_text(whole.replace('"text": "words 9"', '"text": "words 9', 1), "utf-8")

    figures = inspect([export], None, None, Window(), roster_path=None, min_messages=1)

    (one,) = json.loads(to_json(figures))["chats"]
    assert one["places"]
    assert {place["file"] for place in one["places"]} == {str(export)}
    assert all(0 < place["byte"] < len(whole) for place in one["places"])
    assert "words" not in to_json(figures)
    assert "at byte" in " ".join(" ".join(printed(figures)).split())


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_list_of_chats_keeps_each_figure_whole_beside_any_name(tmp_path, name):
    several = account(
        chat(*conversation(), name=name, id=2**40),
        chat(entry(1, 1, "a"), name="Work", id=5, type="private_group"),
    )

    lines = printed(inspect_chat(tmp_path, several))

    assert max(map(cell_len, lines)) <= 80
    (first,) = (line for line in lines if str(-(10**12) - 2**40) in line)
    assert first.split()[1:6] == ["240", "2", "119", "0", "0"]
    column = cell_len(lines[0].partition("chat")[0])
    told = "".join(re.sub(r"\s", "", "".join(_cut(line, column))) for line in lines[1:-2])
    assert told == re.sub(r"\s", "", name)
    assert lines[-2].split() == ["-5", "1", "1", "0", "0", "0", "Work"]


def _cut(line, column):
    """Yield a line's characters from a terminal's column on."""
    for place, character in enumerate(line):
        if cell_len(line[:place]) >= column:
            yield character


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_chats_people_stand_one_a_row_beside_any_name(tmp_path, name):
    people = [entry(3_000 + n, 7_654_321 + n, "hi", n, **{"from": name}) for n in range(3)]

    lines = printed(inspect_chat(tmp_path, chat(*conversation(), *people, name=name)))

    assert max(map(cell_len, lines)) <= 80
    for number in range(3):
        (row,) = (line for line in lines if str(7_654_321 + number) in line)
        assert row.split()[:2] == ["1", str(7_654_321 + number)]
        assert name.split()[0][:20] in row


def test_one_chat_is_told_whole(tmp_path):
    told = [
        topic_created(3_000, "Trips"),
        entry(3_001, 3, "/poll", 9, via_bot="@poll"),
        entry(3_002, 4, "gone", 9, **{"from": None}),
        entry(3_003, 2, "привет", 10, **{"from": "Dois"}),
    ]

    lines = printed(inspect_chat(tmp_path, chat(*conversation(), *told)))

    text = "\n".join(line.rstrip() for line in lines)
    assert "Friends" in lines[0]
    assert "private_supergroup, id -1000000000077" in text
    assert "2024-03-01 12:00 to 2024-03-03 21:07 UTC" in text
    assert "243; service 1, unsupported 0, topics 1" in text
    assert "20 conversations" in text
    assert "1 × Cyrillic" in text
    assert "Friend 3 (sends only through bots)" in text
    assert "a deleted account" in text
    assert "Dois" in text


def test_of_very_many_people_those_who_wrote_most_are_shown(tmp_path):
    many = [entry(3_000 + n, 100 + n, "hi", n) for n in range(50)]

    lines = printed(inspect_chat(tmp_path, chat(*conversation(), *many)))

    assert sum("Friend" in line for line in lines) == 1 + 30
    assert "… and 22 more with fewer messages (--json)" in [line.strip() for line in lines]


def test_an_empty_chat_is_told_as_one(tmp_path):
    lines = printed(inspect_chat(tmp_path, chat()))

    assert "no messages" in "\n".join(lines)


def test_no_name_commands_the_terminal_or_breaks_its_line(tmp_path):
    name = "\x1b[2JA\nB\x9b1m"
    said = [{**one, "from": name} for one in conversation()]

    lines = printed(inspect_chat(tmp_path, chat(*said, name=name)))

    assert not {c for line in lines for c in line if c in "\x1b\x9b"}
    assert any("[2JA B1m" in line for line in lines)


def test_each_person_is_listed_with_whether_they_wrote_enough(tmp_path):
    few = entry(3_000, 3, "hi", 9)

    lines = printed(inspect_chat(tmp_path, chat(*conversation(), few), min_messages=120))

    assert [row.split()[2] for row in lines if row.rstrip().endswith(("Friend 1", "Friend 2"))] == [
        "enough", "enough",
    ]  # fmt: skip
    assert next(row for row in lines if row.rstrip().endswith("Friend 3")).split()[2] == "no"
    assert "A voice needs 120 (--min-messages)." in " ".join(" ".join(lines).split())


def test_a_bot_is_labelled(tmp_path):
    bot = entry(3_000, 3, "remember the cake", 9, via_bot="@x", **{"from": "RemindMeBot"})

    assert "RemindMeBot (a bot)" in "\n".join(printed(inspect_chat(tmp_path, chat(bot))))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("olá", "streets are found in English, French, German, Portuguese, Russian, Spanish only"),
        ("vens hoje à noite? não sei", "street addresses in Portuguese are found"),
        ("idziesz dzisiaj? nie wiem jeszcze", "street addresses in Polish are not found"),
    ],
)
def test_a_chat_is_told_whether_street_addresses_in_its_language_are_found(tmp_path, words, told):
    messages = (entry(number, 1, words, number) for number in range(1, 20))
    lines = printed(inspect_chat(tmp_path, chat(*messages)))

    assert told in " ".join(" ".join(lines).split())
    assert max(map(cell_len, lines)) <= 80


def test_the_language_is_named_with_a_warning_about_the_base_that_does_not_know_it(tmp_path):
    said = "vens hoje à noite?", "não sei, tenho de trabalhar", "foi tão engraçado"
    entries = [entry(n, n % 2 + 1, said[n % 3], n * 60) for n in range(1, 60)]

    figures = inspect_chat(tmp_path, chat(*entries))
    text = " ".join(" ".join(printed(figures)).split())

    assert "language Portuguese" in text
    assert "The chat is in Portuguese, but smollm2 was trained on English" in text
    assert json.loads(to_json(figures))["chats"][0]["languages"] == ["pt"]
