"""Who is learned from and who is a voice, by rosters, decisions and the bot's own lines."""

import pytest

from pipeline.dataset.roster_file import read_roster
from pipeline.dataset.storage import load_dataset
from tests.pipeline.chats import chat, conversation, entry
from tests.pipeline.retrain.dumps import BOT, decision, dump, played
from tests.pipeline.retrain.retrain_runner import NEW, VOICES


def test_a_newcomer_is_in_the_roster_with_a_question_and_is_no_voice(running):
    late = [entry(9_000 + n, 3, f"I am new {n}", 500_000 + 60 * n) for n in range(9)]

    running.run(chat(*NEW, *late), no_live_bot=True)

    written = (running.root / "roster.toml").read_text("utf-8")
    assert "New, 9 messages" in " ".join(written.replace("#", "").split())
    assert written.startswith(VOICES.format(1))
    assert read_roster(running.root / "roster.toml").find_by_id(3).imitate == "no"
    assert running.receipt(2)["newcomers"] == ["Friend 3"]
    assert [p.name for p in running.registry.open("2").card.roster.voices] == [
        "Friend 1", "Friend 2",
    ]  # fmt: skip


def test_what_the_bot_said_is_context_under_its_played_name_and_never_a_target(running):
    said = [played(9_000 + n, "Friend 1", f"bark {n}", 450_000 + 10_800 * n) for n in range(40)]
    answers = [
        entry(
            9_100 + 40 * turn + n, 2 - turn % 2, f"so {n}.{turn}", 450_120 + 10_800 * n + 120 * turn
        )
        for n in range(40)
        for turn in range(4)
    ]

    running.run(chat(*NEW), dump(*said, *answers))

    pairs = load_dataset(running.trained[-1][0].folder)
    every = [*pairs.train, *pairs.validation, *pairs.test]
    assert any(line == "Friend 1: bark 3" for pair in every for line in pair.context)
    assert not any("bark" in text for pair in every for text in pair.target)
    assert BOT in running.registry.open("2").card.roster.understudies
    assert running.receipt(2)["new"] == 460


def test_our_bot_that_a_roster_took_for_a_person_is_none(running):
    (running.root / "roster.toml").write_text("".join(map(VOICES.format, (1, 2, BOT))))
    said = [played(9_000 + n, "Friend 1", f"bark {n}", 450_000 + 60 * n) for n in range(9)]

    running.run(chat(*NEW, *said), no_live_bot=True)

    roster = running.registry.open("2").card.roster
    assert roster.find_by_id(BOT) is None
    assert roster.understudies == {BOT}


def test_who_forwards_the_bot_s_lines_is_not_our_bot(running):
    line = played(9_000, "Friend 1", "bark", 500_000)["text"]
    forwards = [entry(9_000 + n, 3, line, 500_000 + n, forwarded_from="The bot") for n in (0, 1)]

    running.run(chat(*NEW, *forwards), no_live_bot=True)

    assert running.trained[-1][0].roster.understudies == frozenset()


def test_who_told_the_bot_no_is_in_no_dataset_whatever_the_roster_says(running):
    result = running.run(chat(*NEW), dump(decisions=[decision(2, "optout", 9)]), min_messages=1)

    told = running.receipt(2)
    assert result.version
    assert [(one["name"], one["since"][:10]) for one in told["excluded"]] == [
        ("Friend 2", "2024-03-01"),
    ]  # fmt: skip
    assert [one["name"] for one in told["people"]] == ["Friend 1"]
    assert read_roster(running.root / "roster.toml").find_by_id(2).imitate == "yes"
    assert [p.name for p in running.registry.open("2").card.roster.voices] == ["Friend 1"]


def test_an_earlier_no_holds_without_a_dump_too(running):
    running.run(chat(*NEW), dump(decisions=[decision(2, "optout")]))

    running.run(chat(*conversation(70)), no_live_bot=True)

    assert [one["name"] for one in running.receipt(3)["excluded"]] == ["Friend 2"]


@pytest.mark.parametrize("left", ["", VOICES.format(2)], ids=["is gone", "lacks them"])
def test_whom_the_roster_withheld_stays_out_where_its_file(running, left):
    file = running.root / "roster.toml"
    file.write_text(file.read_text().replace('imitate = "yes"', 'learn = "no"', 1))
    running.run(dump())
    file.write_text(left) if left else file.unlink()

    running.run(chat(*NEW), no_live_bot=True)

    assert [one["name"] for one in running.receipt(2)["excluded"]] == ["Friend 1"]
    assert read_roster(file).find_by_name("Friend 1").learn == "no"


@pytest.mark.parametrize(
    ("said", "hours", "is_out"),
    [
        (("optout", "optin"), (1, 2), True),
        (("optin", "optout"), (1, 2), True),
        (("optin", "optin"), (1, 2), False),
    ],
    ids=["a no, then the other's yes", "a yes, then the other's no", "two yeses"],
)
def test_of_two_accounts_of_one_person_a_no_wins(running, said, hours, is_out):
    roster = VOICES.format(1) + VOICES.format(2).replace("[2]", "[2, 22]")
    (running.root / "roster.toml").write_text(roster)
    both = zip((22, 2), said, hours, strict=True)

    running.run(chat(*NEW), dump(decisions=[decision(*one) for one in both]))

    assert (running.registry.open("2").card.roster.find_by_id(2).learn == "no") == is_out


def test_an_optin_does_not_speak_against_the_roster_s_no(running):
    roster = VOICES.format(1) + VOICES.format(2).replace('"yes"', '"no"')
    (running.root / "roster.toml").write_text(roster)

    running.run(chat(*NEW), dump(decisions=[decision(2, "optin")]))

    assert running.registry.open("2").card.roster.find_by_id(2).imitate == "no"


def test_an_optin_says_yes_to_the_bot_but_not_in_the_roster(running):
    (running.root / "roster.toml").write_text(
        VOICES.format(1) + VOICES.format(2).replace("yes", "ask")
    )

    running.run(chat(*NEW), dump(decisions=[decision(2, "optin")]))

    person = running.registry.open("2").card.roster.find_by_id(2)
    assert (person.imitate, person.may_be_target) == ("ask", True)


def test_an_excluded_person_who_writes_like_our_bot_stays_excluded(running):
    third = VOICES.format(3).replace('imitate = "yes"', 'learn = "no"\nimitate = "no"')
    (running.root / "roster.toml").write_text("".join(map(VOICES.format, (1, 2))) + third)
    said = [entry(9_000 + n, 3, f"🎭 Friend 1\nzanzibar {n}", 450_000 + 60 * n) for n in range(9)]

    running.run(chat(*NEW, *said), no_live_bot=True)

    roster = running.registry.open("2").card.roster
    assert roster.find_by_id(3).learn == "no"
    assert roster.understudies == frozenset()
    data = load_dataset(running.trained[-1][0].folder)
    lines = [line for pair in (*data.train, *data.validation, *data.test) for line in pair.context]
    assert not any("zanzibar" in line for line in lines)


@pytest.mark.parametrize("has_file", [True, False], ids=["a roster file", "none"])
def test_a_name_that_only_the_bot_was_shown_belongs_to_its_person(running, has_file):
    third = VOICES.format(3).replace('imitate = "yes"', 'learn = "no"')
    file = running.root / "roster.toml"
    file.write_text("".join(map(VOICES.format, (1, 2))) + third)
    running.run(dump())
    if not has_file:
        file.unlink()
    copied = [entry(9_000 + n, 1, f"Newname: zanzibar {n}", 450_000 + 60 * n) for n in range(9)]

    hers = entry(8_999, 3, "hello", 449_000)
    running.run(chat(*NEW, hers, *copied), dump(names=[[3, "Newname"]]))

    data = load_dataset(running.trained[-1][0].folder)
    lines = [
        line
        for pair in (*data.train, *data.validation, *data.test)
        for line in (*pair.context, *pair.target)
    ]
    assert lines
    assert not any("zanzibar" in line for line in lines)
    person = running.registry.open("2").card.roster.find_by_id(3)
    assert (person.learn, person.names[-1]) == ("no", "Newname")
