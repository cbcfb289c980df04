"""The states of replies across kills: what is logged for each send, and read after a restart."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from bot.store.database import open_database, prepare_database
from bot.store.erasure import Eraser, ErasureQuery
from bot.store.inbox import Inbox
from bot.store.messages import MessageStore, Place, Ref
from bot.store.outbox import APOLOGY, Outbox, Turn
from bot.store.send_log import Part
from bot.store.sqlite import SqliteFile
from bot.store.tables import replies, sends
from bot.store.vacuum import Vacuum
from model.chat.conversation import Message
from model.chat.eligibility import add_voice_header
from tests.bot.database_files import find_words

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLACE = Place(-5)
PART = Part(500, 0)
TURN = Turn("João", 9, "0001", (1, 2), ("no", "SECRETx", "yes"))
SENT = Message(-5, 70, 42, "Understudy", "as Telegram has it", AT, is_from_bot=True)


@pytest.fixture
async def database(migrated):
    async with open_database(migrated) as database:
        await Inbox(database).store([{"update_id": PART.update_id}])
        yield database


@pytest.fixture
async def outbox(database):
    return await with_turn(database)


@pytest.fixture
async def file(tmp_path):
    """A database of one process."""
    await prepare_database(f"sqlite:///{tmp_path}/bot.db")
    async with open_database(f"sqlite:///{tmp_path}/bot.db") as database:
        await Inbox(database).store([{"update_id": PART.update_id}])
        yield database


@pytest.fixture
async def server(postgres, tmp_path, monkeypatch):
    """A database of several processes."""
    monkeypatch.chdir(tmp_path)
    async with open_database(await postgres.make_migrated()) as database:
        await Inbox(database).store([{"update_id": PART.update_id}])
        yield database


async def with_turn(database):
    """Return an outbox in which a turn waits to be sent."""
    outbox = Outbox(database)
    await outbox.begin(PART, PLACE)
    await outbox.keep_turn(PART, PLACE, TURN)
    return outbox


async def next_life(database):
    """Return the journal of a new process after a kill, and how many messages are uncertain."""
    outbox = Outbox(database)
    return outbox, await outbox.settle()


async def test_an_unsent_message_is_sent_after_a_restart(outbox, database):
    again, uncertain = await next_life(database)

    assert uncertain == 0
    assert await again.begin(PART, PLACE)
    assert await again.unsent(PART) == TURN


async def test_a_sent_message_without_an_answer_is_uncertain_and_the_rest_is_sent(file):
    outbox, database = await with_turn(file), file
    await outbox.log.note_attempt(PART, left=3)

    again, uncertain = await next_life(database)

    assert uncertain == 1
    assert await again.begin(PART, PLACE)
    assert (await again.unsent(PART)).messages == TURN.messages[1:]
    assert (await next_life(database))[1] == 0


async def test_an_arrived_message_is_stored_after_a_kill_before_the_commit(file):
    outbox, database = await with_turn(file), file
    await outbox.log.note_attempt(PART, left=3)
    await outbox.log.note_arrival(PART, SENT)

    again, uncertain = await next_life(database)

    assert uncertain == 0
    assert (await again.unsent(PART)).messages == TURN.messages[1:]
    assert (await MessageStore(database).find(-5, 70)).text == add_voice_header("João", "no")
    assert await again.find_turn(-5, 70) == replace(TURN, messages=())


async def test_a_message_that_telegram_rejected_did_not_arrive(outbox, database):
    await outbox.log.note_attempt(PART, left=3)
    await outbox.log.drop(PART)

    again, uncertain = await next_life(database)

    assert uncertain == 0
    assert await again.unsent(PART) == TURN


async def test_a_part_with_an_uncertain_message_stays_uncertain(file):
    outbox, database = await with_turn(file), file
    await outbox.log.note_attempt(PART, left=3)
    again, _ = await next_life(database)

    left = await again.unsent(PART)
    while left.messages:
        left = left.without_first("sent")
        await again.advance(PART, left, None)

    assert await again.count("uncertain") == 1


@pytest.mark.parametrize("has_arrived", [True, False])
async def test_a_text_that_left_before_a_kill_is_not_sent_again(file, has_arrived):
    outbox, database = await with_turn(file), file
    text = Part(PART.update_id, 1)  # of an update that was started once: nothing is stored before
    await outbox.log.note_attempt(text, place=PLACE)
    if has_arrived:
        await outbox.log.note_arrival(text, None)

    again, uncertain = await next_life(database)

    assert uncertain == (not has_arrived)
    assert not await again.begin(text, PLACE)


async def test_a_text_that_had_not_left_before_a_kill_is_sent(outbox, database):
    again, uncertain = await next_life(database)

    assert uncertain == 0
    assert await again.begin(Part(PART.update_id, 1), PLACE)


async def test_nothing_is_sent_after_an_apology_that_was_sent_before_a_kill(file):
    outbox, database = await with_turn(file), file
    await outbox.log.note_attempt(Part(PART.update_id, APOLOGY), place=PLACE)

    again, _ = await next_life(database)

    assert not await again.begin(PART, PLACE)


withdrawn = pytest.mark.parametrize(
    "wanted",
    [
        ErasureQuery(messages=(Ref(-5, 2),)),
        ErasureQuery(authors=frozenset({9})),
    ],
    ids=["made from what is forgotten", "in a voice that opts out"],
)


@withdrawn
async def test_a_message_that_arrives_after_a_withdrawal_must_be_deleted(outbox, database, wanted):
    await outbox.log.note_attempt(PART, left=3)
    marked = await Eraser(database).mark(wanted, AT)

    assert not await outbox.advance(PART, TURN.without_first("sent"), SENT)

    assert marked.lines == set()
    assert await outbox.resume(PART.update_id) == (Ref(-5, 70),)
    assert await MessageStore(database).find(-5, 70) is None  # its text is not stored
    assert not await outbox.may_send(PART)
    await Eraser(database).erase(ErasureQuery(own=(Ref(-5, 70),)), [Ref(-5, 70)])
    assert await outbox.resume(PART.update_id) == ()


@withdrawn
async def test_a_message_that_was_stored_before_a_withdrawal_is_found(outbox, database, wanted):
    await outbox.log.note_attempt(PART, left=3)
    assert await outbox.advance(PART, TURN.without_first("sent"), SENT)

    assert (await Eraser(database).mark(wanted, AT)).lines == {Ref(-5, 70)}

    assert not await outbox.may_send(PART)


async def test_lines_of_a_next_turn_that_are_stored_during_a_withdrawal_are_found(
    outbox, database, monkeypatch
):
    assert await outbox.advance(PART, TURN.without_first("sent"), SENT)
    part, turn = Part(PART.update_id, 1), replace(TURN, sources=(SENT.message_id,))
    read = database.read

    async def read_and_store(work):
        found = await read(work)
        if found == {Ref(-5, 70)} and not await outbox.unsent(part):  # lines were searched for
            await outbox.begin(part, PLACE)
            await outbox.keep_turn(part, PLACE, turn)
            sent = replace(SENT, message_id=71)
            assert await outbox.advance(part, turn.without_first("sent"), sent)
        return found

    monkeypatch.setattr(database, "read", read_and_store)
    marked = await Eraser(database).mark(ErasureQuery(authors=frozenset({9})), AT)

    assert marked.lines == {Ref(-5, 70), Ref(-5, 71)}
    assert not await outbox.may_send(part)


@withdrawn
@pytest.mark.parametrize("has_arrived", [True, False])
async def test_a_kill_while_a_message_is_on_its_way_and_somebody_withdraws(
    outbox, database, wanted, has_arrived
):
    await outbox.log.note_attempt(PART, left=3)
    await Eraser(database).mark(wanted, AT)
    if has_arrived:
        await outbox.log.note_arrival(PART, SENT)

    again, _ = await next_life(database)

    assert await again.resume(PART.update_id) == ((Ref(-5, 70),) if has_arrived else ())
    assert not await again.begin(PART, PLACE)
    assert await again.count("uncertain") == (not has_arrived)


async def test_a_turn_of_which_a_source_was_forgotten_is_stored_without_text(outbox, database):
    await Eraser(database).mark(ErasureQuery(messages=(Ref(-5, 2),)), AT)

    await outbox.keep_turn(PART, PLACE, TURN)

    assert (await outbox.unsent(PART)).messages == ()
    assert not await outbox.may_send(PART)


@withdrawn
async def test_what_is_left_of_a_turn_is_erased(outbox, database, tmp_path, wanted):
    marked = await Eraser(database).mark(wanted, AT)
    await Eraser(database).erase(wanted, marked.lines)

    assert not await outbox.begin(PART, PLACE)
    if isinstance(database.backend, SqliteFile):
        await Vacuum(database).run()
        assert find_words(tmp_path, "SECRETx") == []
    kept = await database.read(lambda one: one.execute(select(replies.c.turn)).scalars().all())
    assert kept == [None]


async def test_a_turn_whose_update_is_closed_is_dropped(outbox, database, tmp_path):
    await Inbox(database).end(PART.update_id)

    again, _ = await next_life(database)

    assert await again.unsent(PART) is None


async def test_another_process_does_not_send_what_may_have_arrived(server):
    outbox, other = await with_turn(server), Outbox(server)
    await outbox.log.note_attempt(PART, left=3)

    assert await other.settle() == 0  # the first process may still be sending
    assert await other.resume(PART.update_id) == ()
    assert await other.begin(PART, PLACE)

    assert (await other.unsent(PART)).messages == TURN.messages[1:]
    await other.log.note_attempt(PART, left=2)


async def test_another_process_stores_what_arrived(server):
    outbox, other = await with_turn(server), Outbox(server)
    await outbox.log.note_attempt(PART, left=3)
    await outbox.log.note_arrival(PART, SENT)

    assert await other.resume(PART.update_id) == ()
    assert await other.begin(PART, PLACE)

    assert (await other.unsent(PART)).messages == TURN.messages[1:]
    assert (await MessageStore(server).find(-5, 70)).text == add_voice_header("João", "no")


async def test_another_process_sends_nothing_after_an_apology(server):
    outbox, other = await with_turn(server), Outbox(server)
    await outbox.log.note_attempt(Part(PART.update_id, APOLOGY), place=PLACE)

    await other.resume(PART.update_id)

    assert not await other.begin(PART, PLACE)


async def test_the_send_log_has_no_text_and_no_rows_once_all_is_stored(outbox, database):
    await outbox.log.note_attempt(PART, left=3)
    await outbox.log.note_arrival(PART, SENT)
    noted = await database.read(lambda one: one.execute(select(sends.c.note)).scalar_one())

    await outbox.advance(PART, TURN.without_first("sent"), SENT)

    assert SENT.text not in noted
    assert await database.read(lambda one: one.execute(select(sends)).all()) == []


async def test_a_part_that_is_being_sent_is_not_settled_by_another_one(outbox, database):
    await outbox.log.note_attempt(PART, left=3)

    await outbox.begin(Part(PART.update_id, APOLOGY), PLACE)

    assert await outbox.unsent(PART) == TURN


async def test_a_reply_to_an_update_that_waits_is_continued_after_days(outbox):
    await outbox.release_before(datetime.now(UTC) + timedelta(days=1))

    assert await outbox.unsent(PART) == TURN


async def test_what_must_be_deleted_is_found_whatever_the_clock_said(outbox, database):
    await outbox.log.note_attempt(PART, left=3)
    await outbox.advance(PART, TURN.without_first("sent"), SENT)
    now = datetime.now(UTC)
    await Eraser(database).mark(ErasureQuery(authors=frozenset({9})), now + timedelta(days=3))

    assert await outbox.find_withdrawn(now - timedelta(seconds=30)) == (Ref(-5, 70),)


async def test_a_part_that_ends_otherwise_stays_uncertain(outbox):
    await outbox.advance(PART, TURN.without_first("uncertain"), None)

    await outbox.mark(PART, PLACE, "sent")  # such as a refusal in place of the rest

    assert await outbox.count("uncertain") == 1
