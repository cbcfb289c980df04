"""One chat of what was kept, fresh exports and the bot's dumps."""

from dataclasses import replace
from datetime import timedelta

import pytest

from model.chat.eligibility import make_lines
from model.chat.permissions import apply_to_training
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import ExportError
from pipeline.retrain.history import open_history
from pipeline.retrain.merge import withhold_text
from tests.pipeline.chats import NOON, account, chat, entry, topic_created
from tests.pipeline.retrain.dumps import BOT, decision, dump, played
from tests.pipeline.retrain.merging import ALL, ANNA, LATER, merging, remember, said
from tests.pipeline.retrain.retrain_runner import CHAT


def test_an_export_and_a_fresh_one_that_overlap_make_one_chat(talk):
    talk(chat(*ANNA))

    assert talk(chat(*ANNA[3:], *LATER)) == ALL


def test_exports_may_be_given_in_any_order(talk):
    assert talk(chat(*LATER), chat(*ANNA)) == ALL


def test_an_older_export_given_later_brings_what_was_before(talk):
    talk(chat(*ANNA[2:], *LATER))

    assert talk(chat(*ANNA[:3])) == ALL


def test_the_same_export_twice_brings_nothing(tmp_path, put):
    (file,) = put(chat(*ANNA, *LATER))
    with merging(tmp_path, [file]) as merged:
        first = remember(merged)
        rows = list(first.rows({}))

    with merging(tmp_path, [file]) as merged:
        second = remember(merged)

    assert merged.files[0].stored == merged.files[0].messages == 8
    assert list(second.rows({})) == rows
    assert second.header.ranges == first.header.ranges


def test_the_last_edit_counts_whichever_file_holds_it(talk):
    edited = entry(3, 2, "mended", 180, edited_unixtime=str(int(NOON.timestamp()) + 999))
    talk(chat(*ANNA[:2], edited, *ANNA[3:]))

    assert (3, "mended") in talk(chat(*ANNA, *LATER))


def test_an_edit_that_the_bot_saw_counts_too(talk):
    edited = entry(3, 2, "mended", 180, edited_unixtime=str(int(NOON.timestamp()) + 999))

    assert (3, "mended") in talk(chat(*ANNA), dump(edited))


def test_what_the_fresh_export_lacks_in_its_range_is_gone(talk):
    talk(chat(*ANNA))

    assert talk(chat(ANNA[1], *ANNA[3:], *LATER)) == [ALL[0], ALL[1], *ALL[3:]]


def test_what_is_gone_stays_gone_when_an_older_export_is_given_again(talk):
    talk(chat(*ANNA))
    talk(chat(ANNA[0], *ANNA[2:], *LATER))

    assert talk(chat(*ANNA)) == [ALL[0], *ALL[2:]]


def test_a_damaged_export_deletes_nothing_and_is_told(tmp_path, put):
    broken = {**entry(2, 1, "x", 120), "from_id": ""}
    files = put(chat(*ANNA), chat(ANNA[0], broken, *ANNA[2:], *LATER))

    with merging(tmp_path, files) as merged:
        assert said(merged) == ALL
        assert merged.damaged == [files[1]]
        assert merged.deleted == 0


def test_a_dump_adds_what_was_said_since_the_export(talk):
    assert talk(chat(*ANNA), dump(*ANNA[3:], *LATER)) == ALL


def test_a_dump_does_not_bring_back_what_was_deleted(talk):
    assert talk(chat(*ANNA[:2], *ANNA[3:]), dump(*ANNA)) == [*ALL[:2], *ALL[3:5]]


def test_what_a_dump_brought_goes_where_a_fresh_export_lacks_it(talk):
    talk(chat(*ANNA), dump(*LATER))

    assert talk(chat(*ANNA, LATER[0], LATER[2])) == [*ALL[:6], ALL[7]]


def test_forgotten_messages_go_and_stay_away(talk):
    talk(chat(*ANNA))
    talk(dump(forgotten=[2, 4]))

    assert talk(chat(*ANNA, *LATER)) == [ALL[0], ALL[2], *ALL[4:]]


def test_topics_are_found_over_all_files(tmp_path, put):
    old = chat(topic_created(1, "Trips"), entry(2, 1, "where?", 60, reply_to_message_id=1))
    with merging(tmp_path, put(old)) as merged:
        remember(merged)

    with merging(tmp_path, put(chat(entry(3, 2, "Rome", 90, reply_to_message_id=2)))) as merged:
        topics = {m.message_id: m.topic_id for m in merged.spool.messages(CHAT)}

    assert topics == {2: 1, 3: 1}


def test_a_file_of_another_chat_is_refused_with_both_names(tmp_path, put):
    files = put(chat(*ANNA), chat(*LATER, name="Work", id=8))

    with (
        pytest.raises(ExportError, match=r"contains Work, not Friends \(-1000000000077\)"),
        merging(tmp_path, files),
    ):
        pytest.fail("it was read")


def test_a_dump_whose_notes_are_of_another_chat_is_refused(tmp_path, put):
    value = dump(*ANNA)
    value["understudy"]["chat_id"] = -5

    with pytest.raises(ExportError, match="write it again"), merging(tmp_path, put(value)):
        pytest.fail("it was read")


def test_of_a_whole_account_the_model_s_chat_is_taken(tmp_path, put):
    work = chat(*LATER, name="Work", id=8)
    files = put(chat(*ANNA), account(work, chat(*ANNA, *LATER)))

    with merging(tmp_path, files) as merged:
        assert said(merged) == ALL


def test_who_says_nothing_but_the_bot_s_lines_is_our_bot(tmp_path, put):
    files = put(dump(*ANNA, played(9, "Friend 1", "bark", 900), entry(10, 3, "🎭 x", 960)))

    with merging(tmp_path, files) as merged:
        assert merged.bots == {BOT}


def test_of_who_said_no_nothing_is_kept_but_that_they_spoke(tmp_path, put):
    roster = Roster(
        (Person("Friend 1", (1,)), Person("Friend 2", (2,), learn="no")),
        understudies=frozenset({BOT}),
    )
    talk = [
        entry(1, 1, "mine"),
        entry(2, 2, "secret words", 60),
        entry(3, 2, "/start now", 120),
        entry(4, 2, "/as Friend 1 a secret request", 180),
        played(5, "Friend 2", "more secret words", 240),
        played(6, "Friend 1", "bark", 300),
    ]

    with merging(tmp_path, put(chat(*talk))) as merged:
        withhold_text(merged, roster)
        kept = remember(merged)
        now = said(merged)

    assert now == [(1, "mine"), (2, "[…]"), (4, "[…]"), (5, "🎭 Friend 2\n[…]"),
                   (6, "🎭 Friend 1\nbark")]  # fmt: skip
    assert "secret" not in str(list(kept.rows({})))


def test_copies_of_their_words_are_removed_and_lines_stay_the_same(tmp_path, put):
    roster = Roster(
        (Person("Friend 1", (1,)), Person("Zé Reis", (2,), learn="no")),
        understudies=frozenset({BOT}),
    )
    texts = [
        *("mine", "Zé: secret words", "so:\nZé Reis, [12.03.2024 10:15]\nsecret\n\nmine"),
        *("/as Friend 1 Zé: secret", "/as Friend 1 well?\nZé: secret", " two\r\nlines "),
    ]
    talk = [entry(n, 1, text, 60 * n) for n, text in enumerate(texts, 1)]
    talk += [
        played(20, "Friend 1", "bark\nZé: secret", 1500),
        played(21, "Friend 1", "Zé: x", 1600),
    ]

    with merging(tmp_path, put(chat(*talk))) as merged:
        before = make_lines(merged.spool.messages(merged.chat.chat_id), roster)
        withhold_text(merged, roster)
        after = make_lines(merged.spool.messages(merged.chat.chat_id), roster)
        kept = remember(merged)

    assert before == after
    assert [line.text for line in after] == ["mine", "so:", "well?", "two\nlines", "bark"]
    assert "secret" not in str(list(kept.rows({})))


def test_once_somebody_said_no_no_forward_is_kept_as_it_may_hold_their_words(tmp_path, put):
    roster = Roster((Person("Friend 1", (1,)), Person("Friend 2", (2,), learn="no")))
    talk = [*ANNA, entry(6, 1, "secret words", 400, forwarded_from="Friend 2")]

    with merging(tmp_path, put(chat(*talk))) as merged:
        withhold_text(merged, roster)

        assert said(merged)[-1] == (6, "[…]")


def test_who_told_the_bot_no_is_withheld_whatever_the_roster_takes_them_for(tmp_path, put):
    roster = Roster((Person("Friend 1", (1,)),), bots=frozenset({2}))
    files = put(chat(*ANNA), dump(decisions=[decision(2, "optout")]))

    with merging(tmp_path, files) as merged:
        withhold_text(merged, roster)

        assert said(merged) == [(n, f"words {n}") for n in (2, 4)]


def test_the_newest_decision_counts_over_all_dumps(tmp_path, put):
    files = put(
        dump(decisions=[decision(1, "optout", 9), decision(2, "optin", 1)], hours=10),
        dump(decisions=[decision(1, "optin", 5), decision(2, "optout", 7)], hours=8),
    )
    with merging(tmp_path, files) as merged:
        remember(merged)

    people = (Person("A", (1,), imitate="yes"), Person("B", (2,)), Person("C", (3,)))
    kept = replace(open_history(tmp_path, CHAT).ledger, people=people)
    roster = apply_to_training(Roster(people), kept.facts)

    assert [(p.learn, p.imitate) for p in roster.people] == [
        ("no", "no"), ("no", "no"), ("yes", "ask"),
    ]  # fmt: skip
    assert [(one.name, one.since) for one in kept.withdrawn] == [
        ("A", NOON + timedelta(hours=9)), ("B", NOON + timedelta(hours=7)),
    ]  # fmt: skip


@pytest.mark.parametrize("first", ["the older dump", "the newer dump"])
def test_an_optin_from_a_fast_clock_does_not_cancel_a_later_optout(tmp_path, put, first):
    fast, out = decision(1, "optin", 72), decision(1, "optout", 1)
    dumps = [dump(decisions=[fast], hours=72), dump(decisions=[fast, out], hours=2)]
    for one in dumps if first == "the older dump" else reversed(dumps):
        with merging(tmp_path, put(one)) as merged:
            remember(merged)

    assert open_history(tmp_path, CHAT).ledger.opted_out == {1}


def test_the_time_of_an_export_is_kept_for_a_retraining_with_a_dump_only(tmp_path, put):
    first = [entry(n, n, f"words {n}", 60 * n, date=f"2024-03-01T14:0{n}:00") for n in (1, 2)]
    with merging(tmp_path / "models", put(chat(*first))) as merged:
        remember(merged)

    with merging(tmp_path / "models", put(dump(entry(3, 1, "later", 86_400)))) as merged:
        assert merged.chat.tally.utc_offsets == {"2024-03-01": 120}
