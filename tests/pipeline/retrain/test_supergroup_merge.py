"""A basic group that became a supergroup, as its exports and the bot's dumps tell of it."""

import pytest

from model.artifacts.artifact import LearnedChat
from model.artifacts.database import read_database
from model.errors import ExportError
from pipeline.retrain.history import list_chats, open_history
from pipeline.retrain.merge import find_successor
from pipeline.versions.ledger import BOT_ID_OFFSET
from tests.pipeline.chats import account, chat, entry
from tests.pipeline.retrain.basic_group import BASIC, GROUP, SHIFT, moved
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.merging import merging, remember, said
from tests.pipeline.retrain.retrain_runner import CHAT

OLD = [entry(n, 1 + n % 2, f"words {n}", 60 * n, reply_to_message_id=n - 1) for n in range(1, 21)]
NEW = [entry(n, 1 + n % 2, f"more {n}", 3_600 + 60 * n) for n in range(1, 4)]
BEFORE = [(n - SHIFT, f"words {n}") for n in range(1, 21)]
AFTER = [(n, f"more {n}") for n in range(1, 4)]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def basic(root, put):
    """Keep the basic group's history; the bot counts its messages from 501 on."""
    with merging(root, put(chat(*OLD, **GROUP), dump(*moved(OLD, 500), **GROUP))) as merged:
        remember(merged)
    return root


def test_its_history_goes_on_in_the_supergroup_s_export(basic, put):
    with merging(basic, put(chat(*moved(OLD), *NEW)), BASIC) as merged:
        replies = {m.message_id: m.reply_to for m in merged.spool.messages(CHAT)}

        assert said(merged) == [*BEFORE, *AFTER]
        assert replies[BEFORE[4][0]] == BEFORE[3][0]
        assert (merged.is_migrated, merged.stored, merged.deleted) == (True, 20, 0)


def test_what_the_export_does_not_reach_stays_under_the_supergroup_s_ids(basic, put):
    with merging(basic, put(chat(*moved(OLD[4:]), *NEW)), BASIC) as merged:
        assert said(merged) == [*BEFORE, *AFTER]


def test_it_is_kept_under_the_supergroup_s_id_only(basic, put):
    with merging(basic, put(chat(*moved(OLD), *NEW)), BASIC) as merged:
        assert [one.chat_id for one in list_chats(basic)] == [-5]
        kept = remember(merged)

    assert [one.chat_id for one in list_chats(basic)] == [CHAT]
    assert len(kept.header.exports) == 2
    assert kept.header.former == -5
    with read_database(basic) as connection:
        for table in ("messages", "forgotten", "aliases", "exports", "export_ranges"):
            query = f"SELECT DISTINCT chat_id FROM {table}"  # noqa: S608  a constant
            assert connection.execute(query).fetchall() in ([], [(CHAT,)])
    assert find_successor(basic, BASIC) == LearnedChat(CHAT, "Friends")


def test_what_was_deleted_before_or_since_stays_away(root, put):
    for values in ([chat(*OLD, **GROUP)], [chat(*OLD[:2], *OLD[3:], **GROUP)]):
        with merging(root, put(*values)) as merged:
            remember(merged)

    fresh = chat(*moved(OLD[:2]), *moved(OLD[3:]), *NEW[:1], NEW[2])
    with merging(root, put(fresh, dump(*NEW)), BASIC) as merged:
        assert said(merged) == [*BEFORE[:2], *BEFORE[3:], AFTER[0], AFTER[2]]


def test_what_was_forgotten_stays_away_and_the_bot_s_ids_are_still_known(basic, put):
    with merging(basic, put(dump(forgotten=[502], **GROUP))) as merged:
        remember(merged)

    notes = dump(*moved(OLD, 500 - SHIFT), forgotten=[502 - SHIFT, 504 - SHIFT])
    with merging(basic, put(chat(*moved(OLD), *NEW), notes), BASIC) as merged:
        assert said(merged) == [BEFORE[0], BEFORE[2], *BEFORE[4:], *AFTER]
        assert merged.unidentified == 0
        assert merged.ledger.forgotten == {502 - SHIFT, 504 - SHIFT}


def test_what_only_the_bot_had_heard_finds_its_place(root, put):
    with merging(root, put(chat(*OLD[:8], **GROUP), dump(*moved(OLD, 500), **GROUP))) as merged:
        remember(merged)

    with merging(root, put(chat(*moved(OLD[:9]), *moved(OLD[9:]), *NEW)), BASIC) as merged:
        assert said(merged) == [*BEFORE, *AFTER]
        assert merged.ledger.aliases[509 - SHIFT] == 9 - SHIFT


def test_another_account_s_export_shows_the_same_people_at_the_same_seconds(basic, put):
    theirs = moved(OLD, 70 - SHIFT)

    with merging(basic, put(chat(*theirs[2:18], theirs[19], *NEW)), BASIC) as merged:
        kept = remember(merged)
        after = said(merged)

    far = 2 * BOT_ID_OFFSET - SHIFT
    shown = [(70 + number, text) for number, text in (*BEFORE[2:18], BEFORE[19])]
    assert after == [(far + 1, "words 1"), (far + 2, "words 2"), *shown, *AFTER]
    assert merged.deleted == 1
    assert kept.ledger.aliases[503 - SHIFT] == 73 - SHIFT


def test_what_another_account_s_export_did_not_reach_finds_its_place_later(basic, put):
    theirs = moved(OLD, 70 - SHIFT)
    with merging(basic, put(chat(*theirs[2:], *NEW)), BASIC) as merged:
        remember(merged)

    notes = dump(forgotten=[501 - SHIFT, 505 - SHIFT])
    with merging(basic, put(chat(*theirs, *NEW), notes), find_successor(basic, BASIC)) as merged:
        everything = [*((70 + number, text) for number, text in BEFORE), *AFTER]
        assert said(merged) == [*everything[1:4], *everything[5:]]


def test_a_history_of_dumps_alone_goes_on_too(root, put):
    with merging(root, put(dump(*moved(OLD, 500), **GROUP))) as merged:
        remember(merged)

    with merging(root, put(chat(*moved(OLD), *NEW)), BASIC) as merged:
        assert said(merged) == [*BEFORE, *AFTER]


def test_a_supergroup_that_has_a_history_of_its_own_keeps_it(basic, put):
    with merging(basic, put(dump(*NEW, decisions=[decision(2, "optout")]))) as merged:
        remember(merged)

    with (
        pytest.raises(ExportError, match="use exports of that chat"),
        merging(basic, put(chat(*moved(OLD), *NEW)), BASIC),
    ):
        pytest.fail("it was read")
    assert open_history(basic, CHAT).ledger.opted_out == {2}


def test_of_a_whole_account_the_supergroup_is_found(basic, put):
    work = chat(*NEW, name="Work", id=8)
    files = put(account(work, chat(*moved(OLD), *NEW)))

    with merging(basic, files, BASIC) as merged:
        assert said(merged) == [*BEFORE, *AFTER]


STRANGERS = [entry(n, 7 + n % 2, f"words {n}", 60 * n) for n in range(1, 21)]


@pytest.mark.parametrize(
    "messages",
    [NEW, [*moved(STRANGERS), *NEW], [*moved(OLD[:8]), *moved(STRANGERS[8:])]],
    ids=["nothing from before", "other people", "too many of other people"],
)
def test_a_supergroup_that_does_not_prove_itself_is_another_chat(basic, put, messages):
    files = put(chat(*messages))

    with (
        pytest.raises(
            ExportError, match=r"contains Friends \(-1000000000077\), not Friends \(-5\)"
        ),
        merging(basic, files, BASIC),
    ):
        pytest.fail("it was read")


def test_a_dump_alone_asks_for_the_export_once(basic, put):
    files = put(dump(*moved(OLD, 500 - SHIFT), *NEW))

    with (
        pytest.raises(
            ExportError, match=r"\(-5\): if .* pass the supergroup's export once"
        ) as told,
        merging(basic, files, BASIC),
    ):
        pytest.fail("it was read")

    assert "\n" not in str(told.value)


def test_without_a_kept_history_a_supergroup_s_dump_is_another_chat_s(root, put):
    with (
        pytest.raises(ExportError, match="use exports of that chat"),
        merging(root, put(dump(*NEW)), BASIC),
    ):
        pytest.fail("it was read")
