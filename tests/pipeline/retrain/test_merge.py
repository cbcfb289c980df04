"""One chat of what was kept, fresh exports and the bot's dumps."""

from datetime import timedelta

import pytest

from model.errors import ExportError
from model.roster import Person, Roster
from pipeline.retrain.foreign import FOREIGN
from pipeline.retrain.history import open_history
from pipeline.retrain.whole import withhold
from tests.pipeline.chats import NOON, account, chat, entry, topic_created, write
from tests.pipeline.retrain.dumps import BOT, decision, dump, played
from tests.pipeline.retrain.merging import merging, remember, said

CHAT = -(10**12 + 77)
GROUP = {"type": "private_group", "id": 5}


@pytest.fixture
def put(tmp_path):
    """Write exports and dumps into files of their own and return them, the last ones' first."""
    count = iter(range(1_000))
    return lambda *values: [write(tmp_path / str(next(count)), one) for one in values]


@pytest.fixture
def talk(tmp_path, put):
    """Merge these exports and dumps, one call after another, and return what is said then."""

    def run(*values):
        with merging(tmp_path / "models", put(*values)) as whole:
            remember(whole)
            return said(whole)

    return run


ANNA = [entry(n, 1 + n % 2, f"words {n}", 60 * n) for n in range(1, 6)]
LATER = [entry(n, 1 + n % 2, f"words {n}", 60 * n) for n in range(6, 9)]
ALL = [(n, f"words {n}") for n in range(1, 9)]


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
    with merging(tmp_path, [file]) as whole:
        first = remember(whole)

    with merging(tmp_path, [file]) as whole:
        second = remember(whole)

    assert whole.given[0].known == whole.given[0].messages == 8
    assert second.file == first.file
    assert second.head.covers == first.head.covers


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
    broken = {**entry(2, 1, "x", 120), "from_id": "nobody"}
    files = put(chat(*ANNA), chat(ANNA[0], broken, *ANNA[2:], *LATER))

    with merging(tmp_path, files) as whole:
        assert said(whole) == ALL
        assert whole.damaged == [files[1]]
        assert whole.deleted == 0


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


def test_in_a_basic_group_the_same_author_at_the_same_second_is_the_same_message(talk):
    seen = [{**one, "id": one["id"] + 500} for one in (*ANNA[3:], *LATER)]

    before = talk(chat(*ANNA, **GROUP), dump(*seen, **GROUP))
    after = talk(chat(*ANNA, *LATER, **GROUP))

    assert before == [*ALL[:5], *((FOREIGN + 500 + n, text) for n, text in ALL[5:])]
    assert after == ALL


def test_in_a_basic_group_an_edit_that_the_bot_saw_finds_its_message(talk):
    edited = entry(503, 2, "mended", 180, edited_unixtime=str(int(NOON.timestamp()) + 999))

    assert talk(chat(*ANNA, **GROUP), dump(edited, **GROUP))[2] == (3, "mended")


def test_in_a_basic_group_what_is_forgotten_later_is_found_by_the_bot_s_id(tmp_path, put):
    seen = [{**one, "id": one["id"] + 500} for one in ANNA]
    for values in ([chat(*ANNA, **GROUP), dump(*seen, **GROUP)], [dump(forgotten=[502], **GROUP)]):
        with merging(tmp_path, put(*values)) as whole:
            remember(whole)

    with merging(tmp_path, put(chat(*ANNA, **GROUP), dump(forgotten=[777], **GROUP))) as whole:
        assert said(whole) == [ALL[0], *ALL[2:5]]
        assert whole.unplaced == 1


def test_in_a_basic_group_what_only_the_bot_had_heard_and_is_forgotten_never_comes_back(talk):
    seen = [{**one, "id": one["id"] + 500} for one in ANNA]
    talk(dump(*seen, **GROUP))

    without = talk(dump(forgotten=[502], **GROUP))
    again = talk(dump(*seen, hours=500, **GROUP))
    shown = talk(chat(*ANNA, **GROUP))
    later = talk(chat(*ANNA, *LATER, **GROUP))

    assert without == again == [(FOREIGN + 500 + n, text) for n, text in ALL[:5] if n != 2]
    assert shown == [ALL[0], *ALL[2:5]]
    assert later == [ALL[0], *ALL[2:]]


def test_in_a_basic_group_nothing_is_kept_of_a_forgotten_message_but_who_spoke_when(tmp_path, put):
    files = put(dump(entry(7, 1, "a secret"), forgotten=[7], **GROUP))

    with merging(tmp_path, files) as whole:
        kept = remember(whole)

    names = {}
    assert [(row[3], row[4], row[6]) for row in kept.rows(names)] == [
        (int(NOON.timestamp()), 1, "")
    ]
    assert list(names) == [None]
    assert (whole.unplaced, kept.head.exports) == (0, ())


def test_in_a_basic_group_what_was_forgotten_before_an_export_shows_it_stays_forgotten(talk):
    heard = [entry(n, 1, f"secret {n}", 60 * n) for n in (6, 7)]
    shown = [entry(n + 500, 1, f"secret {n}", 60 * n) for n in (6, 7)]
    talk(chat(*ANNA, **GROUP), dump(*heard, **GROUP))

    before = talk(dump(forgotten=[7], **GROUP))
    after = talk(chat(*ANNA, *shown, **GROUP))

    assert [text for _, text in before][5:] == ["secret 6"]
    assert [text for _, text in after][5:] == ["secret 6"]


def test_replies_within_a_basic_group_s_dump_keep_their_aim(tmp_path, put):
    asked, answered = entry(601, 1, "who?", 900), entry(602, 2, "me", 960, reply_to_message_id=601)

    with merging(tmp_path, put(dump(asked, answered, **GROUP))) as whole:
        messages = list(whole.spool.messages(-5))

    assert messages[1].reply_to == messages[0].message_id == FOREIGN + 601


EARLIER = [{**one, "id": one["id"] - 10**9} for one in ANNA]
"""What was said before the group was a supergroup, in its export."""
HEARD = [{**one, "id": one["id"] + 500} for one in EARLIER]
"""The same as the bot counted it."""
FIRST = [(n - 10**9, text) for n, text in ALL[:5]]


def test_what_the_bot_heard_before_a_group_was_a_supergroup_is_what_its_export_shows(talk):
    before = talk(chat(*EARLIER, LATER[0]), dump(*HEARD, *LATER))
    after = talk(dump(*HEARD, *LATER))

    assert before == after == [*FIRST, *ALL[5:]]


def test_it_stands_by_itself_until_an_export_shows_it(talk):
    heard = talk(dump(*HEARD))

    assert heard == [(FOREIGN + 500 + n, text) for n, text in FIRST]
    assert talk(chat(*EARLIER, *LATER)) == [*FIRST, *ALL[5:]]


def test_what_is_forgotten_of_that_time_is_found_by_the_bot_s_id(tmp_path, put):
    talk = [chat(*EARLIER, *LATER), dump(*HEARD)]
    notes = dump(forgotten=[HEARD[1]["id"], EARLIER[2]["id"], 7])
    with merging(tmp_path, put(*talk)) as whole:
        remember(whole)

    with merging(tmp_path, put(notes)) as whole:
        assert said(whole) == [FIRST[0], *FIRST[2:], ALL[5], ALL[7]]
        assert whole.unplaced == 1


def test_an_answer_to_what_was_said_before_aims_at_the_export_s_id(tmp_path, put):
    answer = entry(9, 2, "yes", 540, reply_to_message_id=HEARD[4]["id"])

    with merging(tmp_path, put(chat(*EARLIER, *LATER), dump(*HEARD, answer))) as whole:
        replies = {m.message_id: m.reply_to for m in whole.spool.messages(CHAT) if m.reply_to}

    assert replies == {9: EARLIER[4]["id"]}


def test_topics_are_found_over_all_files(tmp_path, put):
    old = chat(topic_created(1, "Trips"), entry(2, 1, "where?", 60, reply_to_message_id=1))
    with merging(tmp_path, put(old)) as whole:
        remember(whole)

    with merging(tmp_path, put(chat(entry(3, 2, "Rome", 90, reply_to_message_id=2)))) as whole:
        topics = {m.message_id: m.topic_id for m in whole.spool.messages(CHAT)}

    assert topics == {2: 1, 3: 1}


def test_a_file_of_another_chat_is_refused_with_both_names(tmp_path, put):
    files = put(chat(*ANNA), chat(*LATER, name="Work", id=8))

    with (
        pytest.raises(ExportError, match=r"is of Work, and wanted is Friends \(-1000000000077\)"),
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

    with merging(tmp_path, files) as whole:
        assert said(whole) == ALL


def test_who_says_nothing_but_the_bot_s_lines_is_our_bot(tmp_path, put):
    files = put(dump(*ANNA, played(9, "Friend 1", "woof", 900), entry(10, 3, "🎭 x", 960)))

    with merging(tmp_path, files) as whole:
        assert whole.played == {BOT}


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
        played(6, "Friend 1", "woof", 300),
    ]

    with merging(tmp_path, put(chat(*talk))) as whole:
        withhold(whole, roster)
        kept = remember(whole)
        now = said(whole)

    assert now == [(1, "mine"), (2, "[…]"), (4, "[…]"), (5, "🎭 Friend 2\n[…]"),
                   (6, "🎭 Friend 1\nwoof")]  # fmt: skip
    assert "secret" not in str(list(kept.rows({})))


def test_once_somebody_said_no_no_forward_is_kept_as_it_may_hold_their_words(tmp_path, put):
    roster = Roster((Person("Friend 1", (1,)), Person("Friend 2", (2,), learn="no")))
    talk = [*ANNA, entry(6, 1, "secret words", 400, forwarded_from="Friend 2")]

    with merging(tmp_path, put(chat(*talk))) as whole:
        withhold(whole, roster)

        assert said(whole)[-1] == (6, "[…]")


def test_who_told_the_bot_no_is_withheld_whatever_the_roster_takes_them_for(tmp_path, put):
    roster = Roster((Person("Friend 1", (1,)),), bots=frozenset({2}))
    files = put(chat(*ANNA), dump(decisions=[decision(2, "optout")]))

    with merging(tmp_path, files) as whole:
        withhold(whole, roster)

        assert said(whole) == [(n, f"words {n}") for n in (2, 4)]


def test_the_newest_decision_counts_over_all_dumps(tmp_path, put):
    files = put(
        dump(decisions=[decision(1, "optout", 9), decision(2, "optin", 1)], hours=10),
        dump(decisions=[decision(1, "optin", 5), decision(2, "optout", 7)], hours=8),
    )
    with merging(tmp_path, files) as whole:
        remember(whole)

    kept = open_history(tmp_path, CHAT).ledger
    people = (Person("A", (1,), imitate="yes"), Person("B", (2,)), Person("C", (3,)))
    roster = kept.over(Roster(people))

    assert [(p.learn, p.imitate) for p in roster.people] == [
        ("no", "no"), ("no", "no"), ("yes", "ask"),
    ]  # fmt: skip
    assert [(one.name, one.since) for one in kept.noting(roster).withdrawn] == [
        ("A", NOON + timedelta(hours=9)), ("B", NOON + timedelta(hours=7)),
    ]  # fmt: skip
