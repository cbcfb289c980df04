"""The server as python-telegram-bot meets it: tokens, requests, closed connections."""

import asyncio

import httpx
import pytest
from telegram import BotCommand, BotCommandScopeChat
from telegram.error import BadRequest, InvalidToken, NetworkError

from bot.playground.server import serve
from bot.playground.telegram import Telegram


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


async def test_a_wrong_token_is_refused(url, connect):
    bot = connect(url, "42:WRONG")

    with pytest.raises(InvalidToken):
        await bot.initialize()
    await bot.shutdown()


async def test_only_loopback_is_listened_on(url):
    assert url.startswith("http://127.0.0.1:")


async def test_closing_the_server_ends_a_poll_and_leaves_no_error(telegram, connect, caplog):
    async with serve(telegram) as url:
        bot = connect(url, telegram.token)
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
async def test_a_method_takes_a_query_a_form_and_json(telegram, url, friends, body):
    values = {"chat_id": friends.id, "text": "42", "entities": "[]"}
    given = {"params" if body == "query" else body: values}
    verb = "GET" if body == "query" else "POST"
    async with httpx.AsyncClient() as client:
        reply = await client.request(verb, f"{url}/bot{telegram.token}/sendMessage", **given)

    assert reply.json()["result"]["text"] == "42"


@pytest.mark.parametrize(
    ("content", "problem"), [("{", "can't parse request"), ("[]", "not an object")]
)
async def test_a_body_that_is_no_json_object_is_refused(telegram, url, content, problem):
    headers = {"Content-Type": "application/json"}
    async with httpx.AsyncClient() as client:
        reply = await client.post(
            f"{url}/bot{telegram.token}/getMe", content=content, headers=headers
        )

    assert reply.status_code == 400
    assert problem in reply.json()["description"]


async def test_an_unknown_method_is_not_found(telegram, url):
    async with httpx.AsyncClient() as client:
        reply = await client.get(f"{url}/bot{telegram.token}/sendTelegram")

    assert reply.json() == {
        "ok": False,
        "error_code": 404,
        "description": "Not Found: method not found",
    }


async def test_commands_are_kept_for_each_scope(bot, friends):
    await bot.set_my_commands([BotCommand("as", "speak as a friend")])
    scope = BotCommandScopeChat(friends.id)

    await bot.set_my_commands([("retrain", "learn anew")], scope=scope, language_code="pt")

    assert [command.command for command in await bot.get_my_commands()] == ["as"]
    assert await bot.get_my_commands(scope=scope) == ()
    [command] = await bot.get_my_commands(scope=scope, language_code="pt")
    assert command.description == "learn anew"


async def test_a_command_with_a_capital_is_refused(bot):
    with pytest.raises(BadRequest, match=r"(?i)bot_command_invalid"):
        await bot.set_my_commands([("As", "speak as a friend")])


async def test_get_chat_describes_a_group(bot, friends):
    chat = await bot.get_chat(friends.id)

    assert (chat.title, chat.type) == ("Friends", "supergroup")


async def test_after_log_out_every_call_is_refused(bot):
    await bot.close()
    await bot.log_out()

    with pytest.raises(BadRequest, match="Logged out"):
        await bot.get_me()
