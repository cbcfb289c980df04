"""Updates and replies in the lives of the bot: interrupted, begun again, set aside, held."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from bot import application
from bot.errors import StoreError
from bot.store import local_queue
from bot.store.database import open_database
from bot.store.erasure import Eraser, ErasureQuery
from bot.store.inbox import MAX_CRASHES, Inbox
from bot.store.messages import Place, Ref
from bot.store.outbox import Outbox
from bot.store.send_log import Part
from bot.store.tables import inbox as table
from bot.texts import EN
from bot.transport import polling
from bot.transport.outgoing import Limiter
from model.chat.eligibility import add_voice_header, parse_voice_header
from tests.bot.conftest import until
from tests.bot.database_files import rows

BURST = 200  # `make soak` has 2,000


async def queue(stage):
    async with open_database(stage.settings().database_url) as database:
        return await Inbox(database).count_open()


@pytest.fixture
def told(stage, group, zoe):
    """Return what puts an update into the database of a bot that was killed before its end."""

    async def tell(text, number=500, begun=0):
        message = await stage.telegram.say(group, zoe, text)
        stage.telegram.updates.pending.clear()
        async with stage.running():
            pass  # so that there is a database
        async with open_database(stage.settings().database_url) as database:
            kept = Inbox(database)
            await kept.store([{"update_id": number, "message": message}])
            for _ in range(begun):
                await kept.begin(number)
        return Part(number, 0), Place(group.id)

    return tell


async def test_what_was_kept_and_not_handled_is_handled_at_the_next_start(stage, told):
    await told("/as João")

    async with stage.running():
        sent = await stage.telegram.wait_for("sendMessage")

    assert parse_voice_header(sent.params["text"])[0] == "João"
    assert (await queue(stage)).waiting == 0


async def test_a_reply_that_was_being_made_is_made_anew(stage, told):
    part, place = await told("/as João", begun=1)
    async with open_database(stage.settings().database_url) as database:
        await Outbox(database).begin(part, place)

    async with stage.running():
        sent = await stage.telegram.wait_for("sendMessage")

    assert parse_voice_header(sent.params["text"])[0] == "João"


@pytest.mark.parametrize("state", ["uncertain", "sent"])
async def test_a_reply_that_may_have_been_sent_is_not_sent_again(stage, told, group, zoe, state):
    part, place = await told("/as João", begun=1)
    async with open_database(stage.settings().database_url) as database:
        outbox = Outbox(database)
        await outbox.begin(part, place)
        await outbox.mark(part, place, state)

    async with stage.running():
        await stage.answer(group, zoe, "/as 李雷")

    async with open_database(stage.settings().database_url) as database:
        uncertain = await Outbox(database).count("uncertain")
    assert [parse_voice_header(text)[0] for text in stage.said()] == ["李雷"]
    assert uncertain == (state == "uncertain")
    assert (await queue(stage)).waiting == 0


async def test_restarts_never_set_an_update_aside(stage, told):
    await told("/as João", begun=10)

    async with stage.running():
        sent = await stage.telegram.wait_for("sendMessage")

    assert parse_voice_header(sent.params["text"])[0] == "João"
    assert (await queue(stage)).set_aside == 0


async def test_an_update_is_set_aside_after_crashes_in_its_own_code(stage, told, group, zoe):
    await told("/as João", begun=1)
    async with open_database(stage.settings().database_url) as database:
        for _ in range(MAX_CRASHES):
            before = Inbox(database)
            await before.count_crashes()
            assert await before.begin(500)
            await before.mark(500, working=True)

    async with stage.running():
        await stage.answer(group, zoe, "/as 李雷")

    assert [parse_voice_header(text)[0] for text in stage.said()] == ["李雷"]
    assert (await queue(stage)).set_aside == 1


@pytest.mark.parametrize("begun", [0, 1], ids=["for the first time", "anew"])
async def test_a_crash_counts_only_for_a_repeated_update_and_only_during_generation(
    stage, told, begun
):
    await told("/as João", begun=begun)
    stage.speaker.open.clear()

    async def is_working():
        async with open_database(stage.settings().database_url) as database:
            return await database.read(lambda one: one.execute(table.select()).all()[-1].working)

    async with stage.running():
        await until(lambda: stage.speaker.asked)
        while_generated = await is_working()
        stage.speaker.open.set()
        await stage.telegram.wait_for("sendMessage")
        afterwards = await is_working()

    assert while_generated is bool(begun)
    assert not afterwards


async def test_an_orderly_stop_is_not_a_crash(stage, told, monkeypatch):
    monkeypatch.setattr(application, "GRACE_SECONDS", 0.1)
    await told("/as João", begun=1)
    reply, asked = stage.speaker.reply, []

    def slow(*question):
        asked.append(question)
        time.sleep(0.5)
        return ("too late",)

    stage.speaker.reply = slow
    for number in range(MAX_CRASHES):
        async with stage.running():
            await until(lambda number=number: len(asked) > number)
    stage.speaker.reply = reply
    async with stage.running():
        sent = await stage.telegram.wait_for("sendMessage")

    assert parse_voice_header(sent.params["text"]) == ("João", "João number 1")
    assert (await queue(stage)).set_aside == 0


async def test_a_button_whose_question_was_removed_before_a_kill_is_answered(stage, group, zoe):
    async with stage.running():
        asked = await stage.answer(group, zoe, "/as")
    query = {"id": "1", "from": zoe.json(), "message": asked, "data": "as:13"}
    stage.telegram.remove(asked)
    async with open_database(stage.settings().database_url) as database:
        kept = Inbox(database)
        await kept.store([{"update_id": 500, "callback_query": query | {"chat_instance": "1"}}])
        await kept.begin(500)
    mark = len(stage.telegram.calls)

    async with stage.running():
        sent = await stage.telegram.wait_for("sendMessage", since=mark)

    assert parse_voice_header(sent.params["text"])[0] == "João"


async def test_an_update_that_comes_twice_is_handled_once(live, group, zoe):
    await live.telegram.say(group, zoe, "/as João")
    repeated = dict(live.telegram.updates.pending[-1])
    await live.telegram.wait_for("sendMessage")

    live.telegram.updates.pending.append(repeated)
    await live.answer(group, zoe, "/as 李雷")

    assert len(live.said()) == 2


async def test_what_could_not_be_stored_is_handled_once_there_is_room(
    stage, group, joao, monkeypatch
):
    monkeypatch.setattr(local_queue, "RETRY_SECONDS", 0.1)
    begin, full = Inbox.begin, [True]

    async def begins(self, update_id, received=None, stages_before=0):
        if full[0]:
            raise StoreError("the disk is full")
        return await begin(self, update_id, received, stages_before)

    monkeypatch.setattr(Inbox, "begin", begins)
    async with stage.running() as app:
        said = await stage.telegram.say(group, joao, "hello")
        await asyncio.sleep(0.05)
        full[0] = False
        store = app.bot_data["state"].store.messages
        kept = await until(lambda: store.find(group.id, said["message_id"]))

    assert kept.text == "hello"
    assert (await queue(stage)).waiting == 0


async def test_an_erasure_that_must_wait_for_the_database_is_not_asked_for_again(
    stage, group, joao, monkeypatch
):
    monkeypatch.setattr(local_queue, "RETRY_SECONDS", 0.1)
    erase, is_busy = Eraser.erase, [True]

    async def erases(self, *arguments):
        if is_busy[0]:
            raise StoreError("another program writes the database")
        return await erase(self, *arguments)

    monkeypatch.setattr(Eraser, "erase", erases)
    async with stage.running():
        await stage.telegram.say(group, joao, "the treasure")
        first = await stage.first_message(group, joao, "/forget all")
        is_busy[0] = False
        await stage.wait_until_handled()
        texts = [call.params["text"] for call in stage.telegram.sent("sendMessage")]

    assert first["text"] == EN.later
    assert texts.count(EN.later) == 1
    assert EN.error not in texts
    assert sum(text.startswith("I forgot") for text in texts) == 1


@pytest.mark.parametrize("where", ["update_id", "message_id", "chat", "sender", "reply"])
async def test_a_number_above_64_bits_stops_no_other_update(live, group, zoe, where):
    huge, sender = 2**63, {"id": 99, "is_bot": False, "first_name": "Zoe"}
    number = live.telegram.updates.next_id + 1000
    chat = {"id": huge if where == "chat" else group.id, "type": "supergroup", "title": "Friends"}
    message = {"message_id": 7, "date": 1_700_000_000, "chat": chat, "from": sender, "text": "hi"}
    if where == "message_id":
        message["message_id"] = huge
    elif where == "sender":
        sender["id"] = huge
    elif where == "reply":
        message["reply_to_message"] = {**message, "message_id": huge}
    update = {"update_id": huge if where == "update_id" else number, "message": message}

    fresh = await live.app.bot.store([update])
    answer = await live.answer(group, zoe, "/as João")

    assert not fresh
    assert parse_voice_header(answer["text"])[0] == "João"
    assert (await queue(live)).waiting == 0


async def test_a_text_that_sqlite_cannot_hold_stops_no_other(live, group, zoe):
    await live.telegram.say(group, zoe, "half an emoji \ud83d")

    answer = await live.answer(group, zoe, "/as João")

    assert parse_voice_header(answer["text"])[0] == "João"


async def test_a_burst_of_messages_is_stored_whole(stage, group, zoe):
    async with stage.running() as app:
        store = app.bot_data["state"].store.messages
        for number in range(BURST):
            await stage.telegram.say(group, zoe, f"message {number}")
        await stage.wait_until_handled(seconds=120)
        kept = await store.find_newest(Place(group.id), BURST, lambda _: True)

    assert [message.text for message in kept] == [f"message {n}" for n in range(BURST)]


async def test_an_id_that_telegram_uses_again_later_is_answered(stage, told, group):
    part, place = await told("/as João")
    async with open_database(stage.settings().database_url) as database:
        outbox = Outbox(database)
        await outbox.begin(part, place)
        await outbox.mark(part, place, "sent")
        await Inbox(database).end(part.update_id)
        later = datetime.now(UTC) + timedelta(days=365)
        await outbox.release_before(later)
        await Inbox(database).drop_before(later)
    await told("/as João")

    async with stage.running():
        sent = await stage.telegram.wait_for("sendMessage")

    assert parse_voice_header(sent.params["text"])[0] == "João"


async def test_a_repeated_update_blocks_no_other_once_it_waits(stage, told, group, zoe):
    await told("/as João", begun=2)
    stage.speaker.open.clear()
    async with stage.running():
        await until(lambda: stage.speaker.asked)
        elsewhere = stage.telegram.chat(-1005555, title="Others")
        answer = await stage.answer(elsewhere, zoe, "/help")
        stage.speaker.open.set()
        await stage.telegram.wait_for("sendMessage", chat_id=group.id)

    assert answer["chat"]["id"] == elsewhere.id


async def test_a_chat_whose_updates_start_slowly_delays_no_other(live, group, zoe, monkeypatch):
    begin, may_begin, begun = Inbox.begin, asyncio.Event(), []

    async def begins(self, update_id, received=None, stages_before=0):
        if received and received.message.chat_id == group.id:
            await may_begin.wait()
            begun.append(received.message.text)
        return await begin(self, update_id, received, stages_before)

    monkeypatch.setattr(Inbox, "begin", begins)
    for number in range(5):
        await live.telegram.say(group, zoe, f"{number}")
    elsewhere = live.telegram.chat(-1005555, title="Others")

    answer = await live.answer(elsewhere, zoe, "/help")
    may_begin.set()
    await until(lambda: len(begun) == 5)

    assert answer["chat"]["id"] == elsewhere.id
    assert begun == ["0", "1", "2", "3", "4"]


FLOOD = 150


async def test_a_flood_of_private_messages_does_not_delay_groups(
    live, group, hugo, zoe, monkeypatch
):
    begin, begun = Inbox.begin, []

    async def begins(self, update_id, received=None, stages_before=0):
        if not stages_before:
            begun.append(update_id)
        await asyncio.sleep(0.02)  # so slow that the flood takes seconds
        return await begin(self, update_id, received, stages_before)

    monkeypatch.setattr(Inbox, "begin", begins)
    private = live.telegram.private(zoe)
    for number in range(FLOOD):
        await live.telegram.say(private, zoe, f"flood {number}")
    await live.telegram.say(group, hugo, "/help")

    await live.telegram.wait_for("sendMessage", chat_id=group.id)
    ahead = len(begun) - 1
    await until(lambda: len(begun) == FLOOD + 1, 30)

    assert ahead < FLOOD / 2
    flood = [number for number in begun if number != max(begun)]
    assert flood == sorted(flood)


class TestTurns:
    """The unsent rest of a turn is sent after a restart, as it was generated before."""

    BURST = ("no", "wait", "yes")

    @pytest.fixture(autouse=True)
    def _one_message_a_life(self, monkeypatch):
        monkeypatch.setattr(application, "GRACE_SECONDS", 0.2)
        limits = {"group_max_rate": 1, "group_time_period": 60}
        monkeypatch.setattr(polling, "Limiter", lambda _: Limiter(**limits))

    async def test_a_burst_that_a_stop_interrupts_continues_without_new_generation(
        self, stage, group, joao
    ):
        stage.speaker.replies.append(self.BURST)
        async with stage.running():
            await stage.first_message(group, joao, "/as João")
        async with stage.running():
            await until(lambda: len(stage.said()) == 2)
        async with stage.running():
            await stage.wait_until_handled()

        assert [parse_voice_header(text)[1] for text in stage.said()] == list(self.BURST)
        assert len(stage.speaker.asked) == 1
        assert (await queue(stage)).waiting == 0

    async def test_a_message_that_waits_for_the_rate_limiter_is_unsent(self, stage, group, joao):
        stage.speaker.replies.append(self.BURST)
        async with stage.running() as app:
            await stage.first_message(group, joao, "/as João")
            outbox = app.bot_data["state"].store.outbox
            await until(lambda: rows(stage, "SELECT * FROM sends") == [])
            queued = await outbox.count("queued")

        assert queued == 1
        assert rows(stage, "SELECT * FROM sends") == []

    async def test_a_message_refused_during_shutdown_is_sent_after_the_restart(
        self, stage, group, joao
    ):
        flood = 429, "Too Many Requests: retry after 1"
        stage.telegram.fail_next("sendMessage", *flood, delay=0.4, retry_after=1)
        async with stage.running():
            await stage.telegram.say(group, joao, "/as João")
            await stage.telegram.wait_for("sendMessage", refused=True)
        async with stage.running():
            await stage.wait_until_handled()

        assert stage.said() == [add_voice_header("João", "João number 1")]

    async def test_an_answer_that_arrives_during_shutdown_is_recorded(self, stage, group, joao):
        stage.telegram.delay_next("sendMessage", 0.4)
        async with stage.running():
            said = await stage.first_message(group, joao, "/as João")
        async with stage.running() as app:
            await stage.wait_until_handled()
            store = app.bot_data["state"].store
            uncertain = await store.outbox.count("uncertain")
            turn = await store.outbox.find_turn(group.id, said["message_id"])

        assert stage.said() == [said["text"]]
        assert uncertain == 0
        assert turn.voice == "João"

    async def test_a_turn_ends_if_its_source_is_forgotten_during_a_restart(
        self, stage, group, joao, zoe
    ):
        source = await stage.telegram.say(group, zoe, "hello")
        stage.speaker.replies.append(self.BURST)
        async with stage.running():
            await stage.first_message(group, joao, "/as João")
        async with open_database(stage.settings().database_url) as database:
            ref = Ref(group.id, source["message_id"])
            await Eraser(database).mark(ErasureQuery(messages=(ref,)), datetime.now(UTC))

        async with stage.running():
            await stage.wait_until_handled()

        assert len(stage.said()) == 1
        assert len(stage.speaker.asked) == 1
