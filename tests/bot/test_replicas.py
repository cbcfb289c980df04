"""Several processes of a bot on one PostgreSQL server: they share its work and what it knows."""

import asyncio
import threading
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial, partialmethod

import procrastinate
import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from sqlalchemy import text

from bot.playground.telegram import add_bot
from bot.services.state import BotState
from bot.store.database import open_database
from bot.store.erasure import ErasureQuery
from bot.store.groups import Decisions, Group, StoredDecision
from bot.store.messages import Ref
from bot.texts import EN
from tests.bot.conftest import FRIENDS, until

pytestmark = pytest.mark.scale


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def url(postgres):
    return await postgres.make_migrated()


@pytest.fixture
async def replicas(stage, url, joao):
    """Two processes of the bot."""
    async with AsyncExitStack() as stack:
        given = {"database_url": url, "admins": frozenset({joao.id})}
        yield [await stack.enter_async_context(stage.running_process(**given)) for _ in range(2)]


def state_of(app):
    return app.bot_data["state"]


def leads(app):
    return app.bot_data["replica"].leadership.is_leading.is_set()


async def rows(url, query):
    async with open_database(url) as database:
        return await database.read(lambda one: one.execute(text(query)).all())


async def test_both_processes_answer_and_a_chats_order_is_kept(stage, replicas, joao, url):
    handled = Counter()
    for number, app in enumerate(replicas):
        handle = app._handle

        async def counted(handling, handle=handle, number=number):
            handled[number] += 1
            await handle(handling)

        app._handle = counted
    chat = stage.telegram.chat(FRIENDS, title="Friends")

    for number in range(20):
        await stage.telegram.say(chat, joao, f"message {number}")
        if number % 4 == 0:
            await stage.telegram.say(chat, joao, f"/as Lei: tag{number}")
    await until(lambda: len(stage.said()) >= 5, 20)
    await until(lambda: _is_empty(url), 20)

    assert [words.split()[1:3] for words in stage.said()] == [
        ["李雷", f"tag{number}"] for number in range(0, 20, 4)
    ]
    assert len(handled) == 2
    found = await rows(url, "SELECT text FROM messages WHERE text LIKE 'message%' ORDER BY sent_at")
    assert len(found) == 20


async def _is_empty(url):
    [[jobs]] = await rows(url, "SELECT count(*) FROM procrastinate_jobs")
    [[waiting]] = await rows(url, "SELECT count(*) FROM inbox WHERE state = 'waiting'")
    return jobs == waiting == 0


@pytest.mark.parametrize("is_stopping", [False, True], ids=["running", "stopping"])
async def test_a_command_behind_the_permission_of_its_group_keeps_its_words(
    stage, url, joao, zoe, is_stopping
):
    stage.card = replace(stage.card, public=True)
    chat = stage.telegram.chat(-1009999, title="Strangers")
    given = {"database_url": url, "admins": frozenset({joao.id})}
    async with stage.running_process(**given) as first:
        await until(lambda: leads(first), 10)
        if is_stopping:
            first.begin_to_stop()
        await add_bot(stage.telegram, chat, joao)
        for number in range(3):
            await stage.telegram.say(chat, zoe, f"/as Lei: tag{number}")
        await until(lambda: not stage.telegram.updates.pending)
        async with stage.running_process(**given):
            await until(lambda: _is_empty(url), 20)

    assert stage.speaker.begun == [f"tag{number}" for number in range(3)]


async def test_what_one_process_changes_the_other_knows(stage, replicas, group, joao):
    first, second = map(state_of, replicas)

    await stage.telegram.say(group, stage.telegram.user(17, "Newname"), "hello")
    for one in (first, second):
        await until(lambda one=one: "Newname" in one.model_in(group.id).roster.find_by_id(17).names)
    await first.save_decision(group.id, 15, "optin", 1)
    await first.save_group(Group(group.id, "Pals", chatty=50))

    await until(lambda: second.decisions.get(15) is not None)
    await until(lambda: second.group(group.id).chatty == 50)


async def test_changes_are_loaded_again_after_a_lost_connection(stage, replicas, postgres, url):
    first = state_of(replicas[0])
    postgres.disconnect_all()
    async with open_database(url) as database:
        await Decisions(database).add(StoredDecision(15, "optin", datetime.now(UTC), FRIENDS))

    await until(lambda: first.decisions.get(15) is not None, 10)


async def test_another_process_polls_when_the_leading_one_stops(stage, url, group, joao):
    leader = AsyncExitStack()
    first = await leader.enter_async_context(stage.running_process(database_url=url))
    await until(lambda: leads(first), 10)
    async with stage.running_process(database_url=url) as second:
        await asyncio.sleep(0.2)
        assert not leads(second)

        await leader.aclose()

        answer = await asyncio.wait_for(stage.answer(group, joao, "/as Lei"), 30)
        assert leads(second)
    assert answer["text"].startswith("🎭 李雷")


async def test_stop_ends_a_simulation_of_another_process(stage, replicas, group, joao):
    stage.speaker.open.clear()
    await stage.telegram.say(group, joao, "/simulate 20")
    await until(lambda: stage.speaker.asked, 10)

    stopped = await stage.answer(group, joao, "/stop")
    stage.speaker.open.set()

    assert stopped["text"] == EN.stopped
    await asyncio.sleep(0.5)
    assert len(stage.speaker.asked) < 5
    await until(lambda: _both_idle(replicas))


def _both_idle(replicas):
    return not any(state_of(app).replies.pending for app in replicas)


async def test_too_many_replies_to_a_chat_are_refused_by_all_processes(
    stage, replicas, group, joao
):
    stage.speaker.open.clear()
    for _ in range(6):
        await stage.telegram.say(group, joao, "/as Lei")

    await until(lambda: EN.busy in stage.said(), 10)
    stage.speaker.open.set()

    await until(lambda: sum("🎭" in words for words in stage.said()) >= 3, 10)
    assert stage.said().count(EN.busy) <= 2  # each process says it once a minute


async def test_two_processes_can_make_the_tables_at_the_same_time(postgres, stage, joao):
    url = postgres.make()
    async with AsyncExitStack() as stack:
        await asyncio.gather(
            *(stack.enter_async_context(stage.running_process(database_url=url)) for _ in range(2))
        )
        await until(lambda: _has_workers(url, 10))


async def _has_workers(url, count):
    return await rows(url, "SELECT count(*) FROM procrastinate_workers") == [(count,)]


@pytest.fixture
async def second_group(stage, replicas):
    chat = stage.telegram.chat(-1009, title="Others")
    allowed = frozenset({FRIENDS})
    await state_of(replicas[0]).save_group(
        Group(chat.id, chat.title, authorised=True, allowed=allowed)
    )
    await until(lambda: state_of(replicas[1]).group(chat.id).authorised)
    return chat


def spoken(stage):
    return [words for words in stage.said() if words.startswith("🎭")]


async def test_a_job_whose_end_is_lost_does_not_block_its_chat(
    stage, replicas, group, joao, monkeypatch, url
):
    failed = []
    real = procrastinate.PsycopgConnector.execute_query_async

    async def lose_once(self, query, **arguments):
        if "finish" in query and not failed:
            failed.append(query)
            raise ConnectorException from psycopg.OperationalError()
        return await real(self, query, **arguments)

    monkeypatch.setattr(procrastinate.PsycopgConnector, "execute_query_async", lose_once)
    await stage.telegram.say(group, joao, "one")
    await until(lambda: failed)
    await stage.telegram.say(group, joao, "/as Lei")

    await until(lambda: spoken(stage), 10)
    await until(lambda: _is_empty(url))


async def test_a_flood_of_commands_in_one_group_does_not_delay_another(
    stage, replicas, second_group, group, joao, zoe
):
    for _ in range(40):  # twice what Telegram lets the bot answer in a minute
        await stage.telegram.say(group, zoe, "/help")
    await until(lambda: len(stage.said()) == 20, 15)

    answer = await asyncio.wait_for(stage.answer(second_group, joao, "/help"), 5)

    assert answer["chat"]["id"] == second_group.id


async def test_a_process_that_was_silent_for_too_long_sends_nothing_twice(
    stage, replicas, group, joao, url, monkeypatch
):
    gates = [threading.Event(), threading.Event()]
    monkeypatch.setattr(type(stage.speaker), "reply", partialmethod(_wait_and_reply, gates))
    await stage.telegram.say(group, joao, "/as Lei")
    await until(lambda: len(stage.speaker.asked) == 1, 10)

    async def is_never_aside(_):
        return False

    async with open_database(url) as database:  # as if its heartbeat had stopped
        late = text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
        await database.write(lambda one: one.execute(late))
    await replicas[0].bot_data["replica"].queue.recover(is_never_aside)
    await until(lambda: len(stage.speaker.asked) == 2, 15)
    gates[0].set()
    await asyncio.sleep(0.5)
    said_by_the_first = len(spoken(stage))
    gates[1].set()

    await until(lambda: spoken(stage), 10)
    await asyncio.sleep(0.5)
    assert said_by_the_first == 0
    assert len(spoken(stage)) == 1


def _wait_and_reply(speaker, gates, context, voice, *_, **__):
    number = len(speaker.asked)
    speaker.asked.append((voice, context))
    gates[number].wait(15)
    return (f"{voice} generation {number}",)


@pytest.fixture
def slow_notices(monkeypatch):
    """Delay notifications between processes by two seconds."""
    real = BotState.apply_change

    async def apply_later(self, kind, number):
        await asyncio.sleep(2)
        await real(self, kind, number)

    monkeypatch.setattr(BotState, "apply_change", apply_later)


@pytest.mark.parametrize("kind", ["optout", "forget"])
async def test_a_message_sent_during_an_optout_in_another_process_is_deleted(
    slow_notices, stage, replicas, group, joao, zoe, kind
):
    sending = []
    for app in replicas:
        app._handle = partial(_note_sender, app, sending, app._handle)
    source = await stage.telegram.say(group, zoe, "so?")
    stage.telegram.delay_next("sendMessage", 1)
    await stage.telegram.say(group, zoe, "/as João")
    sent = (await stage.telegram.wait_for("sendMessage")).result
    [other] = [state_of(app) for app in replicas if app is not sending[-1]]

    if kind == "optout":
        await other.save_decision(group.id, joao.id, "optout", 1)
        wanted = ErasureQuery(authors=frozenset({joao.id}))
    else:
        wanted = ErasureQuery(messages=(Ref(group.id, source["message_id"]),))
    await other.store.eraser.mark(wanted, datetime.now(UTC))
    deleted = await stage.telegram.wait_for("deleteMessage", timeout=5)

    assert deleted.params["message_id"] == sent["message_id"]


async def _note_sender(app, sending, handle, handling):
    if handling.job.stage != "receive":
        sending.append(app)
    await handle(handling)


async def test_the_last_decision_of_a_person_counts(stage, replicas, url):
    ana = stage.telegram.user(15, "Ana")
    chat = stage.telegram.private(ana)
    for _ in range(10):
        await stage.telegram.say(chat, ana, "/optin")
        await stage.telegram.say(chat, ana, "/optout")
    await until(lambda: len(stage.said()) == 20, 20)

    found = await rows(url, "SELECT decision FROM decisions ORDER BY id")
    assert [one for (one,) in found] == ["optin", "optout"] * 10


async def test_two_presses_of_a_button_give_one_reply(stage, replicas, group, joao, hugo):
    asked = await stage.answer(group, joao, "/as Hugo")
    data = asked["reply_markup"]["inline_keyboard"][0][0]["callback_data"]

    for user in (joao, hugo):
        await stage.telegram.press(asked, user, data)

    await until(lambda: spoken(stage), 10)
    await asyncio.sleep(1)
    assert len(spoken(stage)) == 1


async def test_stop_ends_the_replies_that_wait(stage, replicas, group, joao, url):
    stage.speaker.open.clear()
    for _ in range(3):
        await stage.telegram.say(group, joao, "/as Lei")
    await until(lambda: stage.speaker.asked, 10)
    await until(lambda: _has_jobs(url, 3))

    stopped = await stage.answer(group, joao, "/stop")
    stage.speaker.open.set()

    assert stopped["text"] == EN.stopped
    await until(lambda: _is_empty(url), 10)
    assert spoken(stage) == []


async def _has_jobs(url, count):
    return await rows(url, "SELECT count(*) FROM procrastinate_jobs") == [(count,)]


async def test_a_second_simulation_is_refused(stage, replicas, group, joao):
    stage.speaker.open.clear()
    await stage.telegram.say(group, joao, "/simulate 2")
    await until(lambda: stage.speaker.asked, 10)

    answer = await stage.answer(group, joao, "/simulate 2")
    stage.speaker.open.set()

    assert answer["text"] == EN.simulation_running
    await until(lambda: len(spoken(stage)) == 2, 10)


async def test_replies_between_people_do_not_count_as_pending(stage, replicas, group, joao, hugo):
    said = await stage.telegram.say(group, hugo, "hello there")
    stage.speaker.open.clear()
    await stage.telegram.say(group, joao, "/as Lei")
    await until(lambda: stage.speaker.asked, 10)
    for _ in range(4):
        await stage.telegram.say(group, joao, "an answer to Hugo", reply_to=said)
    await stage.telegram.say(group, joao, "/as Lei")
    await asyncio.sleep(1)
    stage.speaker.open.set()

    await until(lambda: len(spoken(stage)) == 2, 10)
    assert EN.busy not in stage.said()


async def test_a_private_command_counts_once(stage, replicas, zoe):
    chat = stage.telegram.private(zoe)
    for _ in range(20):
        await stage.telegram.say(chat, zoe, "/help")

    await until(lambda: len(stage.said()) == 20, 20)


async def test_processes_that_change_a_group_keep_each_others_changes(stage, replicas, url, group):
    first, second = map(state_of, replicas)
    await first.save_group(Group(group.id, "Pals", authorised=True))
    await until(lambda: second.group(group.id).title == "Pals")

    for chatty in range(20):
        is_authorised = chatty % 2 == 1
        await asyncio.gather(
            first.save_group(replace(first.group(group.id), authorised=is_authorised)),
            second.save_group(replace(second.group(group.id), chatty=chatty)),
        )

        stored = [(is_authorised, chatty)]
        assert await rows(url, "SELECT authorised, chatty FROM groups") == stored
        await until(lambda: second.group(group.id) == first.group(group.id))


async def test_an_update_of_an_unknown_kind_is_set_aside(stage, replicas, url):
    await state_of(replicas[0]).store.inbox.store([{"update_id": 7, "business_gift": {"id": 1}}])

    await until(lambda: _is_empty(url), 10)
    assert await rows(url, "SELECT state FROM inbox WHERE update_id = 7") == [("set aside",)]
