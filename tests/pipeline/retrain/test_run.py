"""The whole command, from exports to a version that serves; training and judging are fakes."""

import re

import pytest

from model.artifact import Artifact, Chat
from model.errors import ArtifactError, ExportError, TrainingError, UnderstudyError
from model.files import locked
from model.roster import Person, Roster
from pipeline.dataset import STRUCK, load_dataset
from pipeline.retrain.erasure import datasets
from pipeline.review import write_struck
from pipeline.roster_file import read_roster
from tests.model.artifacts import make
from tests.pipeline.chats import NOON, chat, conversation, entry
from tests.pipeline.retrain.dumps import BOT, decision, dump, played
from tests.pipeline.retrain.workshop import CHAT, VOICES, Workshop, card

OLD, NEW = conversation(20), conversation(45)
"""240 messages, and the same with 300 more."""


@pytest.fixture
def shop(tmp_path):
    return Workshop(tmp_path)


@pytest.fixture
def running(shop):
    """A workshop whose first version serves."""
    assert shop.first().promoted
    return shop


def test_a_first_export_becomes_a_version_that_serves(shop):
    result = shop.run(chat(*OLD))

    assert result.promoted
    assert shop.registry.current == result.version
    assert len(shop.asked) == 1
    assert "roster.toml" in shop.asked[0]
    assert [p.imitate for p in read_roster(shop.root / "roster.toml").people] == ["ask", "ask"]
    assert [name for name, *_ in shop.judged] == [result.version]


def test_a_roster_that_nobody_looked_at_is_written_and_waits(shop):
    shop.agrees = False
    first = shop.run(chat(*OLD))
    again = shop.run(chat(*OLD))

    assert first.version is None
    assert "look at it" in first.says
    assert again.promoted
    assert len(shop.asked) == 1


def test_a_chat_whose_first_version_is_not_made_yet_is_not_mixed_with_another(shop):
    shop.agrees = False
    shop.run(chat(*OLD))

    with pytest.raises(ExportError, match="is of Other, and wanted is Friends"):
        shop.run(chat(*OLD, id=66, name="Other"))

    assert len(list((shop.root / "history").iterdir())) == 1


def test_the_roster_beside_a_first_export_is_taken(shop):
    (file,) = shop.put(chat(*OLD))
    (file.parent / "roster.toml").write_text(VOICES.format(1) + VOICES.format(2))

    result = shop.run(file)

    assert result.promoted
    assert shop.asked == []
    assert [p.imitate for p in read_roster(shop.root / "roster.toml").people] == ["yes", "yes"]


def test_a_fresh_export_and_a_dump_make_the_next_version(running):
    result = running.run(chat(*NEW), dump())

    assert result.promoted
    assert result.says.endswith("serves now, with 300 new messages")
    assert running.registry.names[-1] == running.registry.current == result.version
    assert [name[:4] for name, *_ in running.judged] == ["0001", "0002", "0001"]


def test_both_versions_are_judged_on_the_same_talk_that_neither_has_seen(running):
    running.run(chat(*NEW), no_live_bot=True)

    (_, new, _), (_, current, _) = running.judged[1:]
    assert new.test == current.test != ()
    assert min(pair.sent_at for pair in new.test) > max(pair.sent_at for pair in new.train)
    assert min(pair.sent_at for pair in new.test).timestamp() > int(OLD[-1]["date_unixtime"])
    assert max(pair.sent_at for pair in new.train).timestamp() > int(OLD[-1]["date_unixtime"])


def test_without_a_dump_nobody_s_withdrawal_is_passed_over(running):
    with pytest.raises(UnderstudyError, match="no dump of the bot is given") as told:
        running.run(chat(*NEW))

    assert "\n" not in str(told.value)
    assert len(running.registry.names) == 1


def test_too_little_that_is_new_is_politely_refused(running):
    result = running.run(chat(*conversation(30)), no_live_bot=True)

    assert result.version is None
    assert result.says.startswith("only 120 new messages were said since 2024-03-03")
    assert running.run(chat(*conversation(30)), no_live_bot=True, anyway=True).promoted


def test_the_same_export_again_brings_nothing_new(running):
    result = running.run(chat(*OLD), no_live_bot=True)

    assert result.says.startswith("nothing new was said since")
    assert len(running.registry.names) == 1


def test_a_message_of_the_future_ages_nothing_that_is_said_after_it(running):
    late = entry(9_000, 1, "from the future", 40 * 365 * 86_400)
    fresh = conversation(70)
    running.run(chat(*NEW, late), no_live_bot=True)

    result = running.run(chat(*fresh[:10], *fresh[12:], late), no_live_bot=True)

    assert result.promoted
    assert running.receipt(3)["new"] == 301
    assert running.receipt(3)["deleted"] == 2


def test_with_nothing_new_the_held_out_talk_of_the_current_version_tests_again(running):
    running.run(chat(*OLD), no_live_bot=True, anyway=True)

    before, after = (dataset for _, dataset, _ in running.judged[:2])
    assert {pair.id for pair in after.test} <= {pair.id for pair in before.test}
    assert after.test


def test_an_export_of_another_chat_is_refused_with_both_names(running):
    with pytest.raises(ExportError, match="is of Work, and wanted is Friends"):
        running.run(chat(*NEW, name="Work", id=8), no_live_bot=True)


def test_a_shorter_export_is_asked_about(running):
    shorter = chat(*OLD[:4], *OLD[8:], *NEW[240:243])
    running.agrees = False

    with pytest.raises(ExportError, match="239 messages of Friends, and 240 are known; 4 of those"):
        running.run(shorter, no_live_bot=True)
    running.agrees = True
    running.run(shorter, no_live_bot=True, anyway=True)

    assert "would be forgotten" in running.asked[-1]
    assert running.receipt(2)["messages"] == 239


def test_a_shorter_export_that_was_merged_before_is_not_asked_about_again(running):
    (shorter,) = running.put(chat(*NEW[240:]))
    running.run(chat(*NEW), no_live_bot=True)
    running.run(shorter, no_live_bot=True, anyway=True)

    running.agrees = False
    again = running.run(shorter, no_live_bot=True, anyway=True)

    assert len(running.asked) == 1
    assert again.promoted


def test_a_newcomer_is_in_the_roster_with_a_question_and_is_no_voice(running):
    late = [entry(9_000 + n, 3, f"I am new {n}", 500_000 + 60 * n) for n in range(9)]

    running.run(chat(*NEW, *late), no_live_bot=True)

    written = (running.root / "roster.toml").read_text("utf-8")
    assert "New here, 9 messages" in " ".join(written.replace("#", "").split())
    assert written.startswith(VOICES.format(1))
    assert read_roster(running.root / "roster.toml").person(3).imitate == "no"
    assert running.receipt(2)["newcomers"] == ["Friend 3"]
    assert [p.name for p in running.registry.open("2").card.roster.voices] == [
        "Friend 1", "Friend 2",
    ]  # fmt: skip


def test_what_the_bot_said_is_context_under_its_played_name_and_never_a_target(running):
    said = [played(9_000 + n, "Friend 1", f"woof {n}", 450_000 + 10_800 * n) for n in range(40)]
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
    assert any(line == "Friend 1: woof 3" for pair in every for line in pair.context)
    assert not any("woof" in text for pair in every for text in pair.target)
    assert BOT in running.registry.open("2").card.roster.understudies
    assert running.receipt(2)["new"] == 460


def test_our_bot_that_a_roster_took_for_a_person_is_none(running):
    (running.root / "roster.toml").write_text("".join(map(VOICES.format, (1, 2, BOT))))
    said = [played(9_000 + n, "Friend 1", f"woof {n}", 450_000 + 60 * n) for n in range(9)]

    running.run(chat(*NEW, *said), no_live_bot=True)

    roster = running.registry.open("2").card.roster
    assert roster.person(BOT) is None
    assert roster.understudies == {BOT}


def test_who_forwards_the_bot_s_lines_is_not_our_bot(running):
    line = played(9_000, "Friend 1", "woof", 500_000)["text"]
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
    assert read_roster(running.root / "roster.toml").person(2).imitate == "yes"
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
    assert read_roster(file).called("Friend 1").learn == "no"


def test_an_optin_makes_a_voice(running):
    (running.root / "roster.toml").write_text(
        VOICES.format(1) + VOICES.format(2).replace("yes", "ask")
    )

    running.run(chat(*NEW), dump(decisions=[decision(2, "optin")]))

    assert running.registry.open("2").card.roster.person(2).imitate == "yes"


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (card(attribution=0.45), "attribution, bags of 10 fell from 0.600 to 0.450"),
        (card(right_voice=0.55), "right voice fell from 0.700 to 0.550"),
        (card(copied=0.05), "copied lines rose from 0.0% to 5.0%"),
        (card(private=1), "private data in 1 of the lines it said"),
    ],
    ids=["whose lines", "right voice", "copying", "private data"],
)
def test_what_is_worse_does_not_serve(running, new, reason):
    running.cards[2] = new

    result = running.run(chat(*NEW), no_live_bot=True)

    assert not result.promoted
    assert reason in result.says
    assert running.registry.current.startswith("0001-")
    assert reason in running.receipt(2)["reasons"][0]


def test_what_is_a_little_worse_within_the_interval_serves(running):
    running.cards[2] = card(attribution=0.55, right_voice=0.65)

    assert running.run(chat(*NEW), no_live_bot=True).promoted


def test_a_reason_forces_it_and_is_recorded(running):
    running.cards[2] = card(attribution=0.1)

    result = running.run(chat(*NEW), no_live_bot=True, force="a year has passed")

    assert result.promoted
    assert running.receipt(2)["forced"] == "a year has passed"
    assert "a year has passed" in result.receipt.read_text("utf-8")


def test_a_first_version_that_tells_secrets_does_not_serve(shop):
    shop.cards[1] = card(private=2)

    result = shop.first()

    assert not result.promoted
    assert shop.registry.current is None


def test_a_warm_start_goes_on_from_the_current_version_and_replays_old_sessions(running):
    running.run(chat(*NEW), no_live_bot=True, begin="current", replay=0.5)

    dataset, start, _ = running.trained[-1]
    since = running.receipt(1)["held_out_since"]
    old = [pair for pair in dataset.train if pair.sent_at.isoformat() < since]
    new = len(dataset.train) - len(old)
    whole = load_dataset(dataset.folder).train
    assert isinstance(start.base, Artifact)
    assert start.name == running.registry.names[0]
    assert 0.5 * new <= len(old) <= 0.5 * new + 12
    assert new == sum(pair.sent_at.isoformat() >= since for pair in whole)
    assert running.receipt(2)["replayed"] == len(old)
    assert running.receipt(2)["began_with"] == start.name


@pytest.mark.parametrize(
    "notes",
    [{"decisions": [decision(1, "optout")]}, {"forgotten": [NEW[8]["id"]]}],
    ids=["who withdrew", "what is forgotten"],
)
def test_a_warm_start_never_goes_on_from_weights_that_know(running, notes):
    running.run(chat(*NEW), dump(**notes), begin="current")

    assert running.receipt(2)["began_with"] == "google/flan-t5-small"
    assert running.receipt(2)["replayed"] is None
    again = running.run(chat(*conversation(70)), no_live_bot=True, begin="current")
    assert running.receipt(3)["began_with"] == running.registry.names[1]
    assert again.promoted


def test_pairs_that_a_person_struck_out_stay_out(running):
    folder = running.trained[0][0].folder
    struck = load_dataset(folder).train[3].id
    write_struck(folder / STRUCK, frozenset({struck}))

    running.run(chat(*NEW), no_live_bot=True)

    kept = load_dataset(running.trained[1][0].folder)
    assert struck not in {pair.id for pair in (*kept.train, *kept.validation, *kept.test)}


def test_pairs_stay_struck_out_where_their_dataset_had_to_be_erased(running):
    folder = running.trained[0][0].folder
    struck = load_dataset(folder).train[3].id
    write_struck(folder / STRUCK, frozenset({struck}))

    running.run(dump(decisions=[decision(2, "optout")]))
    left = [path.name for path in folder.iterdir()]
    running.run(chat(*NEW), dump(decisions=[decision(2, "optin", 1)]))

    kept = load_dataset(running.trained[1][0].folder)
    assert left == [STRUCK]
    assert struck not in {pair.id for pair in (*kept.train, *kept.validation, *kept.test)}


def test_another_base_than_the_current_one_s_cannot_go_on_from_it(running):
    with pytest.raises(TrainingError, match="--from current goes on with .*leave one out"):
        running.run(chat(*NEW), no_live_bot=True, begin="current", base="other")


def test_the_base_is_the_current_version_s_unless_another_is_named(running):
    running.run(chat(*NEW), no_live_bot=True)
    running.run(chat(*conversation(70)), no_live_bot=True, base="other")

    assert [start.name for _, start, _ in running.trained] == [
        "google/flan-t5-small", "google/flan-t5-small", "other",
    ]  # fmt: skip


def test_versions_that_do_not_pass_are_kept_no_longer_than_others(running):
    running.cards.update({n: card(private=1) for n in (2, 3, 4)})

    for sessions in (45, 70, 95):
        running.run(chat(*conversation(sessions)), no_live_bot=True, keep=2)

    assert [name[:4] for name in running.registry.names] == ["0001", "0003", "0004"]
    assert running.registry.current.startswith("0001-")


def test_only_so_many_versions_stay_and_what_only_they_needed_goes(running):
    for sessions in (45, 70, 95):
        running.run(chat(*conversation(sessions)), no_live_bot=True, keep=2)

    assert [name[:4] for name in running.registry.names] == ["0003", "0004"]
    assert len(list(datasets(running.root))) == 2
    assert len(list((running.root / "receipts").iterdir())) == 4


def test_two_cannot_run_at_once(running):
    with (
        locked(running.root / "retrain.lock", wait=False),
        pytest.raises(TrainingError, match="another retraining goes on"),
    ):
        running.run(chat(*NEW), no_live_bot=True)


def test_the_receipt_says_all_and_no_word_of_a_message(running):
    running.run(chat(*NEW), dump(decisions=[decision(2, "optout", 5)], forgotten=[3]))

    told = running.receipt(2)
    page = (running.root / "receipts" / running.registry.names[1] / "receipt.txt").read_text()
    assert [(one["kind"], one["messages"]) for one in told["files"]] == [
        ("export", 540), ("dump", 0),
    ]  # fmt: skip
    assert len(told["earlier_exports"]) == 1
    assert told["forgotten"] == 1
    assert told["seconds"].keys() >= {"read", "build", "train", "score", "compare"}
    assert told["machine"]
    assert "Friend 2: not learned from, since 2024-03-01, by their own word" in page
    assert "words " not in str(told)
    assert all(len(line) <= 80 for line in page.splitlines())
    assert all(text not in page for text in ("words 7", "words 300"))


def test_a_version_that_retraining_did_not_make_is_the_start_of_a_history(shop, tmp_path):
    people = tuple(Person(f"Friend {n}", (n,), imitate="yes") for n in (1, 2))
    made = make(
        tmp_path / "made", roster=Roster(people), chats=(Chat(CHAT, "Friends"),),
        provenance={"trained_at": NOON.isoformat()},
    )  # fmt: skip
    shop.registry.promote(shop.registry.add(made))

    result = shop.run(chat(*NEW), no_live_bot=True)

    assert result.promoted
    assert shop.receipt(2)["new"] == 539
    assert read_roster(shop.root / "roster.toml").person(1).imitate == "yes"


def test_with_nothing_that_the_current_version_has_not_seen_only_a_reason_promotes(shop, tmp_path):
    people = tuple(Person(f"Friend {n}", (n,), imitate="yes") for n in (1, 2))
    made = make(
        tmp_path / "made", roster=Roster(people), chats=(Chat(CHAT, "Friends"),),
        provenance={"trained_at": "2026-01-01T00:00:00+00:00"},
    )  # fmt: skip
    shop.registry.promote(shop.registry.add(made))

    result = shop.run(chat(*NEW), no_live_bot=True, anyway=True)
    forced = shop.run(chat(*NEW), no_live_bot=True, anyway=True, force="checked by hand")

    assert "nothing is held out that the current version has not seen" in result.says
    assert not result.promoted
    assert forced.promoted


def test_beside_a_damaged_current_version_the_new_one_waits_and_is_not_lost(running):
    running.cards[1] = ArtifactError("it is damaged")

    result = running.run(chat(*NEW), no_live_bot=True)
    running.run(chat(*NEW), no_live_bot=True)

    assert not result.promoted
    assert re.search("0001-.* cannot be judged: it is damaged", result.says)
    assert result.version in running.registry.names


def test_a_current_version_of_another_prompt_is_replaced(running):
    card = running.root / "versions" / running.registry.current / "model.json"
    card.write_text(card.read_text().replace('"prompt": "', '"prompt": "0'))

    result = running.run(chat(*NEW), no_live_bot=True)

    assert result.promoted
    assert running.receipt(2)["compared_with"] is None
