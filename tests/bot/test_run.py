"""Starting and stopping as `understudy-bot run` does, with a Telegram that refuses calls."""

import asyncio
import gc
import socket
import sys
from contextlib import suppress

import pytest

from bot import run as running
from bot.errors import BotNotRunning, TelegramUnreachable
from bot.run import build, run_until_stopped
from bot.transport import polling
from bot.transport.polling import find_polling_task
from model.artifacts.artifact import Artifact
from model.chat.eligibility import parse_voice_header
from model.errors import UnderstudyError
from tests.bot.conftest import FakeModels, until

UNAUTHORIZED = (401, "Unauthorized")
CONFLICT = (409, "Conflict: terminated by other getUpdates request")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(running, "FIRST_WAIT", 0.02)


@pytest.fixture
def stop():
    return asyncio.Event()


@pytest.fixture
async def starting(stage, stop):
    """Return a function that starts the bot and returns its task and the application."""
    tasks = []

    def start(**settings):
        models = FakeModels(Artifact(stage.folder / "0001-abcdef01", stage.card))
        given = stage.settings(**settings)
        app = build(
            given, models, lambda _: stage.speaker, stage.lines.append, request=stage.request()
        )
        tasks.append(asyncio.create_task(run_until_stopped(given, app, stop)))
        return tasks[-1], app

    yield start
    stop.set()
    for task in tasks:
        await asyncio.wait({task}, timeout=30)
        with suppress(UnderstudyError, asyncio.CancelledError):
            task.result()


async def test_a_token_that_is_refused_for_a_moment_is_tried_again(
    stage, starting, group, zoe, caplog
):
    task, _ = starting()
    await until(lambda: stage.lines, 20)
    stage.telegram.fail_next("getUpdates", *UNAUTHORIZED, times=2)

    await stage.telegram.say(group, zoe, "/as João")
    await stage.telegram.wait_for("sendMessage", timeout=20)

    assert not task.done()
    assert "%s" not in caplog.text
    assert "requesting updates failed (NetworkError): retrying" in caplog.text


async def test_a_token_that_stays_refused_ends_the_bot(stage, starting, monkeypatch):
    monkeypatch.setattr(polling, "MAX_REFUSALS", 2)
    task, app = starting()
    await until(lambda: stage.lines, 20)

    stage.telegram.fail_next("getUpdates", *UNAUTHORIZED, times=50)
    await stage.telegram.updates.set_webhook({})  # wakes the poll that waits

    with pytest.raises(TelegramUnreachable, match="Telegram does not know this BOT_TOKEN"):
        async with asyncio.timeout(30):
            await task
    assert not app.running


async def test_another_poller_is_named_and_polling_goes_on(stage, starting, group, zoe, caplog):
    task, _ = starting()
    await until(lambda: stage.lines, 20)
    stage.telegram.fail_next("getUpdates", *CONFLICT)

    await stage.telegram.say(group, zoe, "/as João")
    await stage.telegram.wait_for("sendMessage", timeout=20)

    assert not task.done()
    assert "another process is polling with this token" in caplog.text


async def test_the_bot_exits_when_polling_ends(stage, starting):
    task, _ = starting()
    await until(lambda: stage.lines and find_polling_task() is not None, 20)

    find_polling_task().cancel()

    with pytest.raises(BotNotRunning, match="no longer receives updates"):
        async with asyncio.timeout(30):
            await task


@pytest.mark.over_http
async def test_a_removed_webhook_is_set_again(stage, starting, group, zoe, monkeypatch):
    monkeypatch.setattr(running, "WEBHOOK_SECONDS", 0.05)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    starting(webhook_url=f"http://{listen}/telegram", webhook_listen=listen)
    await stage.telegram.wait_for("setWebhook", timeout=20)

    await stage.telegram.updates.set_webhook({})
    await until(lambda: stage.telegram.updates.webhook, 20)
    answer = await stage.answer(group, zoe, "/as João")

    assert parse_voice_header(answer["text"])[0] == "João"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("getMe", (502, "Bad Gateway")),
        ("deleteWebhook", (502, "Bad Gateway")),
        ("deleteWebhook", (500, "Internal Server Error")),
    ],
)
async def test_calls_that_fail_at_start_are_retried(stage, starting, group, zoe, method, answer):
    stage.telegram.fail_next(method, *answer, times=2)

    starting()
    await stage.telegram.say(group, zoe, "/as João")
    sent = await stage.telegram.wait_for("sendMessage", timeout=20)

    assert parse_voice_header(sent.params["text"])[0] == "João"
    await stage.telegram.wait_for(method, timeout=20)


async def test_an_unreachable_telegram_is_reported(stage, starting):
    stage.telegram.fail_next("getMe", 502, "Bad Gateway", times=50)

    task, _ = starting()

    with pytest.raises(TelegramUnreachable, match="Telegram cannot be reached"):
        async with asyncio.timeout(20):
            await task


async def test_slow_menus_do_not_delay_polling(stage, starting, group, zoe):
    stage.telegram.fail_next("setMyCommands", 429, "Too Many Requests", retry_after=35)

    starting()
    await stage.telegram.say(group, zoe, "/as João")
    sent = await stage.telegram.wait_for("sendMessage", timeout=20)

    assert parse_voice_header(sent.params["text"])[0] == "João"
    assert stage.telegram.sent("setMyCommands", refused=True)
    assert stage.telegram.sent("setMyCommands") == []


async def test_a_start_that_waits_can_be_stopped(stage, starting, stop):
    stage.telegram.fail_next("deleteWebhook", 429, "Too Many Requests", retry_after=60)
    task, app = starting()
    await stage.telegram.wait_for("deleteWebhook", refused=True)

    stop.set()
    await asyncio.wait({task}, timeout=20)

    assert task.done()
    assert not app.running
    assert not app.updater.running


async def test_no_update_is_begun_while_polling_is_being_stopped(
    stage, starting, stop, monkeypatch
):
    task, app = starting()
    await until(lambda: stage.lines and find_polling_task() is not None, 20)
    stop_polling, stopping = app.updater.stop, []

    async def noting():
        stopping.append(app.is_stopping)
        await stop_polling()

    monkeypatch.setattr(app.updater, "stop", noting)
    stop.set()
    await asyncio.wait({task}, timeout=20)

    assert stopping[0]


def test_garbage_collections_skip_the_imported_modules():
    interval = sys.getswitchinterval()
    before = len(gc.get_objects())
    try:
        running.tune_interpreter()
        after = len(gc.get_objects())
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval)

    assert after < before / 10
