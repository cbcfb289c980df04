"""The tests' server as python-telegram-bot meets it: tokens, requests, closed connections."""

import asyncio

import httpx
import pytest
from telegram.error import InvalidToken, NetworkError

from bot.playground.telegram import Telegram
from tests.telegram_server import serve

pytestmark = pytest.mark.over_http


async def test_get_me_describes_the_bot(telegram, bot):
    me = await bot.get_me()

    assert (me.id, me.username, me.first_name) == (42, "understudy_bot", "Understudy")
    assert me.is_bot
    assert not me.can_read_all_group_messages


async def test_the_token_and_the_name_are_the_makers_choice(connect):
    telegram = Telegram("1234:ABC", username="voices_bot", first_name="Voices")

    async with serve(telegram) as url, connect(url, "1234:ABC") as bot:
        me = await bot.get_me()

    assert (me.id, me.username, me.first_name) == (1234, "voices_bot", "Voices")


async def test_a_wrong_token_is_refused(connect):
    bot = connect(token="42:WRONG")

    with pytest.raises(InvalidToken):
        await bot.initialize()
    await bot.shutdown()


async def test_only_loopback_is_listened_on(telegram_url):
    assert telegram_url.startswith("http://127.0.0.1:")


async def test_closing_the_server_ends_a_poll_and_leaves_no_error(telegram, connect, caplog):
    async with serve(telegram) as url:
        bot = connect(url)
        poll = asyncio.create_task(bot.get_updates(timeout=10))
        await asyncio.sleep(0.1)

    with pytest.raises(NetworkError):
        await asyncio.wait_for(poll, 1)
    await bot.shutdown()
    assert [record for record in caplog.records if record.name.startswith("tornado")] == []


async def test_a_poller_that_hangs_up_leaves_no_error_and_no_task(bot, caplog):
    poll = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.1)

    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    await asyncio.sleep(0.1)

    tasks = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
    assert "Telegram.call" not in tasks
    assert [record for record in caplog.records if record.name.startswith("tornado")] == []


@pytest.mark.parametrize("body", ["query", "data", "json"])
async def test_a_method_takes_a_query_a_form_and_json(telegram, telegram_url, friends, body):
    values = {"chat_id": friends.id, "text": "42", "entities": "[]"}
    given = {"params" if body == "query" else body: values}
    verb = "GET" if body == "query" else "POST"
    async with httpx.AsyncClient() as client:
        reply = await client.request(
            verb, f"{telegram_url}/bot{telegram.token}/sendMessage", **given
        )

    assert reply.json()["result"]["text"] == "42"


@pytest.mark.parametrize(
    ("content", "problem"), [("{", "can't parse request"), ("[]", "not an object")]
)
async def test_a_body_that_is_no_json_object_is_refused(telegram, telegram_url, content, problem):
    headers = {"Content-Type": "application/json"}
    async with httpx.AsyncClient() as client:
        reply = await client.post(
            f"{telegram_url}/bot{telegram.token}/getMe", content=content, headers=headers
        )

    assert reply.status_code == 400
    assert problem in reply.json()["description"]


async def test_an_unknown_method_is_not_found(telegram, telegram_url):
    async with httpx.AsyncClient() as client:
        reply = await client.get(f"{telegram_url}/bot{telegram.token}/sendTelegram")

    assert reply.json() == {
        "ok": False,
        "error_code": 404,
        "description": "Not Found: method not found",
    }
