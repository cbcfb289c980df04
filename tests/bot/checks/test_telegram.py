"""What the check says of Telegram: the token, the server, the clock, who else asks for updates."""

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
import time_machine
from telegram import Bot
from telegram.error import TelegramError

from bot.checks.telegram import check_clock
from bot.playground.telegram import TOKEN

pytestmark = pytest.mark.over_http


@asynccontextmanager
async def a_web_server(status):
    """Serve something that is no Bot API."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


async def test_no_token(desk):
    assert (await desk.says("token", bot_token=None)).startswith(
        "FIX BOT_TOKEN is not set: create a bot with @BotFather"
    )


async def test_a_token_that_was_revoked(desk, stage):
    assert await desk.says("token", bot_token="42:REVOKED") == (
        "FIX Telegram does not know this BOT_TOKEN; it is mistyped or was revoked: copy it again "
        f"from @BotFather (/mybots, API Token) into .env; or {stage.url} is not a Bot API server"
    )


async def test_a_server_that_cannot_be_reached(desk):
    said = await desk.says("TELEGRAM_API_URL", telegram_api_url="http://127.0.0.1:9")

    assert said.startswith("FIX http://127.0.0.1:9 cannot be reached (")
    assert "check the network, a proxy or firewall" in said


@pytest.mark.parametrize("status", [200, 301, 403, 500])
async def test_a_server_that_is_no_bot_api(desk, status):
    async with a_web_server(status) as url:
        said = await desk.says("TELEGRAM_API_URL", telegram_api_url=url)

    assert said.startswith(f"FIX {url} ")
    assert TOKEN not in said


async def test_a_server_that_the_bot_left(desk, stage):
    stage.telegram.fail_next("getMe", 400, "Logged out", times=9)

    said = await desk.says("TELEGRAM_API_URL")

    assert "refused the request (Logged out): check that it is a Bot API server, and the" in said


async def test_a_clock_that_is_right(desk):
    assert await desk.says("clock") == "ok the same as Telegram's"


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(minutes=3), "FIX 3 min ahead of Telegram's"),
        (timedelta(hours=-2), "FIX 120 min behind Telegram's"),
    ],
)
async def test_a_clock_that_is_wrong(desk, monkeypatch, ahead, words):
    with time_machine.travel(0, tick=True) as ours:
        date = "Thu, 01 Jan 1970 00:00:00 GMT"
        monkeypatch.setattr("tornado.httputil.format_timestamp", lambda _: date)
        ours.shift(ahead)
        said = await desk.says("clock")

    assert said.startswith(words)


def test_half_a_minute_is_near_enough():
    assert check_clock(timedelta(seconds=-30)) == check_clock(timedelta())


async def test_another_process_that_polls(desk, stage):
    async def poll():
        async with Bot(TOKEN, base_url=f"{stage.url}/bot") as other:
            while True:
                with suppress(TelegramError):
                    await other.get_updates(timeout=10)
                await asyncio.sleep(0.1)

    other = asyncio.create_task(poll())
    await asyncio.sleep(0.2)
    said = await desk.says("polling", poll_seconds=2)
    other.cancel()
    with suppress(asyncio.CancelledError):
        await other

    assert said.startswith("note another process is polling with this token. If it is not your own")


async def test_updates_that_wait_are_counted(desk, stage, group, joao):
    await stage.telegram.say(group, joao, "one")
    await stage.telegram.say(group, joao, "two")

    assert (
        await desk.says("polling", poll_seconds=2)
        == "ok no other process is polling; 2 updates are waiting"
    )


async def test_a_webhook_that_is_set_while_the_bot_polls(desk, stage, group, joao):
    await stage.telegram.updates.set_webhook({"url": "https://old.example.org/hook"})
    stage.telegram.updates.last_error = "Connection refused"

    said = await desk.says("polling")

    assert said.startswith(
        "note a webhook is set to https://old.example.org/hook (no updates are waiting; last error"
    )
    assert "Connection refused" in said
    assert "`understudy-bot run` removes it" in said
