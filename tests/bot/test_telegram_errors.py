"""Errors of Telegram, the network and groups, through the real bot over HTTP."""

import asyncio
import time

import pytest

from bot.services import delivery
from bot.store.database import open_database
from bot.store.outbox import Outbox
from bot.texts import EN
from model.chat.eligibility import add_voice_header, parse_voice_header
from tests.bot.conftest import until

REMOVED = (403, "Forbidden: bot was kicked from the supergroup chat")
MUTED = (400, "Bad Request: not enough rights to send text messages to the chat")
NO_RIGHT = (403, "Forbidden: CHAT_WRITE_FORBIDDEN")
CLOSED = (400, "Bad Request: TOPIC_CLOSED")
BAD_GATEWAY = (502, "Bad Gateway")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    """Retry soon."""
    monkeypatch.setattr(delivery, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(delivery, "MAX_WAIT", 0.1)


async def counted(live, state):
    async with open_database(live.settings().database_url) as database:
        return await Outbox(database).count(state)


@pytest.mark.parametrize(
    "refusal",
    [REMOVED, MUTED, NO_RIGHT, CLOSED],
    ids=["removed", "muted", "no right to write", "topic closed"],
)
async def test_a_refusing_chat_gets_no_retry_but_later_answers(live, group, zoe, refusal):
    live.telegram.fail_next("sendMessage", *refusal)
    await live.telegram.say(group, zoe, "/as João")
    await live.telegram.wait_for("sendMessage", refused=True)

    answer = await live.answer(group, zoe, "/as 李雷")

    assert parse_voice_header(answer["text"])[0] == "李雷"
    assert len(live.telegram.sent("sendMessage", refused=True)) == 1
    assert await counted(live, "refused") == 1


async def test_a_simulation_in_a_refusing_chat_ends_silently(live, group, zoe):
    live.telegram.fail_next("sendMessage", *MUTED, times=5)
    await live.telegram.say(group, zoe, "/simulate 5")
    await live.telegram.wait_for("sendMessage", refused=True)
    elsewhere = live.telegram.private(live.telegram.user(7, "Ada"))

    await live.telegram.say(elsewhere, elsewhere.person, "/help")
    await wait_until_waiting(live, 0)

    assert len(live.telegram.sent("sendMessage", refused=True)) == 2  # the turn, and /help


async def test_a_moved_group_is_answered_at_its_new_id(live, group, zoe):
    live.speaker.open.clear()
    await live.telegram.say(group, zoe, "/as João")
    await live.telegram.wait_for("sendChatAction")
    moved = await live.telegram.migrate(group, -100777)

    live.speaker.open.set()
    sent = await live.telegram.wait_for("sendMessage", timeout=10)
    answer = await live.answer(moved, zoe, "/as 李雷")

    assert sent.params["chat_id"] == moved.id
    assert parse_voice_header(answer["text"])[0] == "李雷"


async def test_a_move_reported_only_by_an_error_moves_the_settings(stage, group, zoe):
    async with stage.running() as app:
        state = app.bot_data["state"]
        moved = stage.telegram.chat(-100777, title="Friends")
        group.migrated_to = moved.id
        await say_silently(stage, group, zoe, "/as João")
        sent = await stage.telegram.wait_for("sendMessage")
        group.migrated_to = None

        answer = await stage.answer(moved, zoe, "/as 李雷")

    assert sent.params["chat_id"] == moved.id
    assert parse_voice_header(answer["text"])[0] == "李雷"
    assert state.group(moved.id).moved_from == group.id


async def test_a_deleted_question_is_still_answered(live, group, zoe):
    live.speaker.open.clear()
    asked = await live.telegram.say(group, zoe, "/as João")
    await live.telegram.wait_for("sendChatAction")
    live.telegram.remove(asked)

    live.speaker.open.set()
    sent = await live.telegram.wait_for("sendMessage")

    assert parse_voice_header(sent.result["text"])[0] == "João"


async def test_a_flood_wait_delays_no_other_chat(stage, group, zoe, card):
    async with stage.running(admins="7"):
        stage.telegram.fail_next("sendMessage", 429, "Too Many Requests", retry_after=2)
        await stage.telegram.say(group, zoe, "/as João")
        await stage.telegram.wait_for("sendMessage", refused=True)
        elsewhere = stage.telegram.private(stage.telegram.user(7, "Ada"))
        began = time.monotonic()

        other = await stage.answer(elsewhere, elsewhere.person, "/as 李雷")
        took = time.monotonic() - began
        again = await stage.telegram.wait_for("sendMessage", timeout=6, chat_id=group.id)

    assert parse_voice_header(other["text"])[0] == "李雷"
    assert took < 2
    assert parse_voice_header(again.params["text"])[0] == "João"


async def test_a_message_in_a_flood_wait_is_not_uncertain(live, group, zoe):
    live.telegram.fail_next("sendMessage", 429, "Too Many Requests", retry_after=2)
    await live.telegram.say(group, zoe, "/as João")
    await live.telegram.wait_for("sendMessage", refused=True)

    await until(lambda: counted(live, "queued"), seconds=1)

    assert await counted(live, "uncertain") == 0


async def test_an_optout_during_a_flood_wait_cancels_the_line(live, group, zoe, joao):
    live.telegram.fail_next("sendMessage", 429, "Too Many Requests", retry_after=2)
    await live.telegram.say(group, zoe, "/as João")
    await live.telegram.wait_for("sendMessage", refused=True)

    await live.telegram.say(group, joao, "/optout")
    await live.telegram.say(group, zoe, "/as 李雷")
    await live.telegram.wait_for("sendMessage", text=add_voice_header("李雷", "李雷 number 2"))

    assert [parse_voice_header(text)[0] for text in live.said() if parse_voice_header(text)] == [
        "李雷"
    ]


async def test_a_bad_gateway_is_not_retried(live, group, zoe):
    live.telegram.fail_next("sendMessage", *BAD_GATEWAY)
    await live.telegram.say(group, zoe, "/as João")
    await live.telegram.wait_for("sendMessage", refused=True)

    await live.answer(group, zoe, "/as 李雷")

    assert [parse_voice_header(text)[0] for text in live.said()] == ["李雷"]
    assert await counted(live, "uncertain") == 1


async def test_an_answer_lost_on_the_way_is_not_sent_again(live, group, zoe):
    live.telegram.drop_next("sendMessage")
    await live.telegram.say(group, zoe, "/as João")
    await live.telegram.wait_for("sendMessage")

    await live.answer(group, zoe, "/as 李雷")

    assert [parse_voice_header(text)[0] for text in live.said()] == ["João", "李雷"]
    assert await counted(live, "uncertain") == 1


async def test_an_edit_without_new_text_does_nothing(live, group, zoe):
    command = await live.telegram.say(group, zoe, "/as João")
    await live.telegram.wait_for("sendMessage")

    await live.telegram.edit(command, "/as João")
    await live.telegram.edit(command, "/as 李雷")
    await live.answer(group, zoe, "/help")

    assert len(live.said()) == 2


async def test_a_chat_with_too_many_requests_is_asked_once_to_wait(live, group, zoe):
    live.speaker.open.clear()
    for _ in range(6):
        await live.telegram.say(group, zoe, "/as João")
    told = await live.telegram.wait_for("sendMessage")
    await wait_until_waiting(live, 3)  # all six were heard, and three refused

    live.speaker.open.set()
    await wait_until_waiting(live, 0)

    assert told.params["text"] == EN.busy
    assert len(live.said()) == 4  # three answers, one excuse
    assert len(live.speaker.asked) == 3


async def wait_until_waiting(stage, count):
    """Wait until at most so many updates are waiting or in progress; nobody reports that."""
    inbox = stage.app.bot_data["state"].store.inbox
    async with asyncio.timeout(20):
        while (await inbox.count_open()).waiting > count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def say_silently(stage, chat, user, text):
    """Send a message to a chat that has moved."""
    moved, chat.migrated_to = chat.migrated_to, None
    await stage.telegram.say(chat, user, text)
    chat.migrated_to = moved
