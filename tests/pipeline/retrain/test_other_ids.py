"""What the bot heard and an export shows by other ids: in a basic group, or of its time as one."""

from pipeline.versions.ledger import BOT_ID_OFFSET
from tests.pipeline.chats import NOON, chat, entry
from tests.pipeline.retrain.basic_group import GROUP, moved
from tests.pipeline.retrain.dumps import dump
from tests.pipeline.retrain.merging import ALL, ANNA, LATER, merging, remember, said
from tests.pipeline.retrain.retrain_runner import CHAT


def test_in_a_basic_group_the_same_author_at_the_same_second_is_the_same_message(talk):
    seen = moved([*ANNA[3:], *LATER], 500)

    before = talk(chat(*ANNA, **GROUP), dump(*seen, **GROUP))
    after = talk(chat(*ANNA, *LATER, **GROUP))

    assert before == [*ALL[:5], *((BOT_ID_OFFSET + 500 + n, text) for n, text in ALL[5:])]
    assert after == ALL


def test_in_a_basic_group_an_edit_that_the_bot_saw_finds_its_message(talk):
    edited = entry(503, 2, "mended", 180, edited_unixtime=str(int(NOON.timestamp()) + 999))

    assert talk(chat(*ANNA, **GROUP), dump(edited, **GROUP))[2] == (3, "mended")


def test_in_a_basic_group_what_is_forgotten_later_is_found_by_the_bot_s_id(tmp_path, put):
    seen = moved(ANNA, 500)
    for values in ([chat(*ANNA, **GROUP), dump(*seen, **GROUP)], [dump(forgotten=[502], **GROUP)]):
        with merging(tmp_path, put(*values)) as merged:
            remember(merged)

    with merging(tmp_path, put(chat(*ANNA, **GROUP), dump(forgotten=[777], **GROUP))) as merged:
        assert said(merged) == [ALL[0], *ALL[2:5]]
        assert merged.unidentified == 1


def test_in_a_basic_group_what_only_the_bot_had_heard_and_is_forgotten_never_comes_back(talk):
    seen = moved(ANNA, 500)
    talk(dump(*seen, **GROUP))

    without = talk(dump(forgotten=[502], **GROUP))
    again = talk(dump(*seen, hours=500, **GROUP))
    shown = talk(chat(*ANNA, **GROUP))
    later = talk(chat(*ANNA, *LATER, **GROUP))

    assert without == again == [(BOT_ID_OFFSET + 500 + n, text) for n, text in ALL[:5] if n != 2]
    assert shown == [ALL[0], *ALL[2:5]]
    assert later == [ALL[0], *ALL[2:]]


def test_in_a_basic_group_nothing_is_kept_of_a_forgotten_message_but_who_spoke_when(tmp_path, put):
    files = put(dump(entry(7, 1, "a secret"), forgotten=[7], **GROUP))

    with merging(tmp_path, files) as merged:
        kept = remember(merged)

    names = {}
    assert [(row[3], row[4], row[6]) for row in kept.rows(names)] == [
        (int(NOON.timestamp()), 1, "")
    ]
    assert list(names) == [None]
    assert (merged.unidentified, kept.header.exports) == (0, ())


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

    with merging(tmp_path, put(dump(asked, answered, **GROUP))) as merged:
        messages = list(merged.spool.messages(-5))

    assert messages[1].reply_to == messages[0].message_id == BOT_ID_OFFSET + 601


EARLIER = moved(ANNA)
"""What was said before the group was a supergroup, in its export."""
HEARD = moved(EARLIER, 500)
"""The same as the bot counted it."""
FIRST = [(n - 10**9, text) for n, text in ALL[:5]]


def test_what_the_bot_heard_before_a_group_was_a_supergroup_is_what_its_export_shows(talk):
    before = talk(chat(*EARLIER, LATER[0]), dump(*HEARD, *LATER))
    after = talk(dump(*HEARD, *LATER))

    assert before == after == [*FIRST, *ALL[5:]]


def test_it_stands_by_itself_until_an_export_shows_it(talk):
    heard = talk(dump(*HEARD))
    shown = talk(chat(*EARLIER, *LATER))

    assert heard == [(BOT_ID_OFFSET + 500 + n, text) for n, text in FIRST]
    assert shown == [*FIRST, *ALL[5:]]


def test_what_is_forgotten_of_that_time_is_found_by_the_bot_s_id(tmp_path, put):
    talk = [chat(*EARLIER, *LATER), dump(*HEARD)]
    notes = dump(forgotten=[HEARD[1]["id"], EARLIER[2]["id"], 7])
    with merging(tmp_path, put(*talk)) as merged:
        remember(merged)

    with merging(tmp_path, put(notes)) as merged:
        assert said(merged) == [FIRST[0], *FIRST[2:], ALL[5], ALL[7]]
        assert merged.unidentified == 1


def test_an_answer_to_what_was_said_before_aims_at_the_export_s_id(tmp_path, put):
    answer = entry(9, 2, "yes", 540, reply_to_message_id=HEARD[4]["id"])

    with merging(tmp_path, put(chat(*EARLIER, *LATER), dump(*HEARD, answer))) as merged:
        replies = {m.message_id: m.reply_to for m in merged.spool.messages(CHAT) if m.reply_to}

    assert replies == {9: EARLIER[4]["id"]}
