import io

import pytest
from rich.console import Console

from model.chat.conversation import Window
from model.errors import ExportError
from pipeline.dataset.inspection import inspect
from pipeline.dataset.roster_file import read_roster
from pipeline.terminal import SILENT, Progress
from tests.pipeline.chats import (
    account,
    chat,
    conversation,
    entry,
    small,
    topic_created,
    write,
)


def look(*exports, wanted=None, roster=None, min_messages=1, progress=SILENT):
    return inspect(
        exports,
        wanted,
        None,
        Window(),
        roster_path=roster,
        min_messages=min_messages,
        progress=progress,
    )


def test_a_chat_is_counted_by_people_scripts_and_what_looks_private(tmp_path):
    more = [
        entry(3_000, 3, "привет", 10),
        entry(3_001, 3, "olá, +351 912 345 678", 20),
        entry(3_002, 3, "你好 😂", 30),
        entry(3_003, 3, "42", 40),
    ]
    export = write(tmp_path, chat(*conversation(), *more))

    (figures,) = look(export)

    assert (figures.chat.name, figures.messages, figures.sessions) == ("Friends", 244, 20)
    assert [(a.author_id, a.messages) for a in figures.authors] == [(1, 120), (2, 120), (3, 4)]
    assert figures.scripts == {"Latin": 241, "Cyrillic": 1, "Cjk": 1}
    assert figures.private == {"phone": 1}


def test_a_chat_s_language_is_reported(tmp_path):
    said = "vens hoje à noite?", "não sei, tenho de trabalhar", "foi tão engraçado"
    entries = [entry(n, n % 2 + 1, said[n % 3], n * 60) for n in range(1, 60)]

    (figures,) = look(write(tmp_path, chat(*entries)))

    assert figures.languages == ("pt",)


def test_it_foretells_the_pairs_that_a_build_would_find_before_it_splits_them(tmp_path):
    from pipeline.dataset.build import build

    export = write(tmp_path, chat(*conversation()))

    (figures,) = look(export, min_messages=1)

    summary = build([export], tmp_path / "ds", small())
    assert figures.pairs == summary.pairs + summary.dropped
    assert figures.sessions == summary.sessions + 2  # two sessions are the gaps


def test_messages_are_all_of_that_type_whatever_they_hold_and_whether_they_can_be_read(tmp_path):
    odd = [
        entry(3_000, 1, "", photo="photos/1.jpg"),
        entry(3_001, 1, "", forwarded_from="X"),
        entry(3_002, 1, ""),
        entry(3_003, 1, "/start"),
        entry(3_004, 1, "no date", date=None, date_unixtime=None),
        entry(3_005, 1, "no author", from_id=None, **{"from": None}),
        topic_created(3_006, "Trips"),
        {"id": 3_007, "type": "unsupported"},
    ]
    export = write(tmp_path, chat(*conversation(), *odd))

    (figures,) = look(export)

    assert figures.messages == 240 + 6
    assert (figures.counts.service, figures.counts.unsupported, figures.counts.topics) == (1, 1, 1)
    assert sum(figures.chat.tally.skipped.values()) == 2


def test_all_chats_are_told_those_with_most_messages_first(tmp_path):
    said = io.StringIO()
    several = account(
        chat(entry(1, 1, "a"), name="Small", id=5),
        chat(*conversation(), name="Large", id=6),
        chat(name="Empty", id=7),
    )

    figures = look(write(tmp_path, several), progress=Progress(Console(file=said, width=500)))

    assert [(one.chat.name, one.messages) for one in figures] == [
        ("Large", 240), ("Small", 1), ("Empty", 0),
    ]  # fmt: skip
    steps = said.getvalue().splitlines()
    assert steps[0].startswith("  Reading ")
    assert steps[1].startswith("  Inspecting 3 chats")


def test_one_chat_is_told_by_name_or_id(tmp_path):
    several = account(
        chat(entry(1, 1, "a"), name="Small", id=5), chat(*conversation(), name="Large", id=6)
    )
    export = write(tmp_path, several)

    found = [look(export, wanted=wanted) for wanted in ("small", "5", "-1000000000005")]

    assert [[one.chat.name for one in figures] for figures in found] == [["Small"]] * 3
    with pytest.raises(ExportError, match="no chat 'Other'"):
        look(export, wanted="Other")


def test_several_exports_of_a_chat_are_one(tmp_path):
    entries = conversation()
    old = write(tmp_path / "old", chat(*entries[:140]))
    new = write(tmp_path / "new", chat(*entries[100:]))

    (figures,) = look(new, old)

    assert figures.messages == 240


def test_a_roster_is_written_that_a_build_takes(tmp_path):
    from pipeline.dataset.build import build

    export = write(tmp_path, chat(*conversation(), entry(5_000, 3, "rare", 30)))
    path = tmp_path / "new folder" / "who.toml"

    look(export, roster=path, min_messages=2)

    people = read_roster(path).people
    assert [(p.name, p.ids, p.quiet) for p in people] == [
        ("Friend 1", (1,), False), ("Friend 2", (2,), False), ("Friend 3", (3,), True),
    ]  # fmt: skip
    summary = build([export], tmp_path / "ds", small(roster=path, min_messages=2))
    assert [voice.name for voice in summary.voices] == ["Friend 1", "Friend 2"]


def test_a_roster_that_may_be_edited_is_never_overwritten(tmp_path):
    path = tmp_path / "roster.toml"
    path.write_text("# mine")

    with pytest.raises(ExportError, match="already exists and may have been edited"):
        look(tmp_path / "no-export", roster=path)

    assert path.read_text() == "# mine"


def test_a_roster_of_several_chats_is_refused(tmp_path):
    export = write(tmp_path, account(chat(entry(1, 1, "a"), id=5), chat(*conversation())))

    with pytest.raises(ExportError, match="several chats: choose one"):
        look(export, roster=tmp_path / "roster.toml")

    assert not (tmp_path / "roster.toml").exists()


def test_looking_writes_nothing(tmp_path):
    export = write(tmp_path, chat(*conversation()))

    look(export)

    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("letter", "script"),
    [("1º", "Latin"), ("ª", "Latin"), ("µ", "Greek"), ("Ａ", "Latin"), ("々", None), ("ˇ", None)],
)
def test_a_letter_counts_by_its_script(letter, script, tmp_path):
    export = write(tmp_path, chat(entry(1, 1, letter)))

    (figures,) = inspect([export], None, None, Window(), roster_path=None, min_messages=1)

    assert set(figures.scripts) == ({script} if script else set())


def test_a_person_has_the_same_number_of_messages_as_in_the_roster(tmp_path):
    more = [
        entry(3_000, 1, "/help", 10),
        entry(3_001, 1, "", 20, photo="photos/1.jpg"),
        entry(3_002, 1, "hi", 30, forwarded_from="Zoe"),
        entry(3_003, 1, "mine", 40),
    ]

    (figures,) = look(write(tmp_path, chat(*conversation(), *more)), roster=tmp_path / "r.toml")

    assert {author.author_id: author.messages for author in figures.authors} == {1: 121, 2: 120}
    comments = (tmp_path / "r.toml").read_text("utf-8")
    assert "# 121 messages." in comments
    assert "# 120 messages." in comments
