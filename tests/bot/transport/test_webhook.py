"""The bot behind a webhook, with a Telegram on loopback that brings it updates."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager, suppress

import pytest
from tornado.httpclient import AsyncHTTPClient

from bot.errors import SettingsError, StoreError
from bot.run import build, started
from bot.store.inbox import Inbox
from bot.transport.polling import (
    ALLOWED_UPDATES,
)
from bot.transport.webhook import IDLE_SECONDS, LARGEST_BODY, SECRET_HEADER, listening
from model.artifacts.artifact import Artifact
from model.chat.eligibility import parse_voice_header
from tests.bot.conftest import FakeModels, until

pytestmark = pytest.mark.over_http

SECRET = "a-secret"  # noqa: S105
PATH = "/telegram"


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def hook(stage, port):
    """Return what runs the bot behind a webhook."""

    @asynccontextmanager
    async def run(idle_seconds=IDLE_SECONDS, **settings):
        given = {
            "webhook_url": f"http://127.0.0.1:{port}{PATH}",
            "webhook_listen": f"127.0.0.1:{port}",
            "webhook_secret": SECRET,
            **settings,
        }
        changed = stage.settings(**given)
        models = FakeModels(Artifact(stage.folder / "0001-abcdef01", stage.card))
        app = build(changed, models, lambda _: stage.speaker, stage.lines.append)
        try:
            async with started(app):
                report = app.bot_data["state"].health
                async with listening(changed, app.bot, report, idle_seconds) as set_webhook:
                    await set_webhook()
                    yield app
        finally:
            stage.speaker.open.set()

    return run


@pytest.fixture
async def knock(port):
    """Return what posts a body as Telegram would and returns the answer's status."""
    client = AsyncHTTPClient(force_instance=True)

    async def post(body, secret=SECRET, path=PATH):
        headers = {SECRET_HEADER: secret} if secret else {}
        answer = await client.fetch(
            f"http://127.0.0.1:{port}{path}",
            method="POST",
            headers=headers,
            body=body,
            raise_error=False,
        )
        return answer.code

    yield post
    client.close()


def update(number, **message):
    chat = {"id": -1001234, "type": "supergroup", "title": "Friends"}
    sender = {"id": 99, "is_bot": False, "first_name": "Zoe"}
    body = {"message_id": number, "date": 1_700_000_000, "chat": chat, "from": sender}
    return json.dumps({"update_id": number, "message": body | {"text": "hello"} | message})


async def test_a_command_is_answered(stage, hook, group, zoe):
    async with hook():
        answer = await stage.answer(group, zoe, "/as João")

    assert parse_voice_header(answer["text"])[0] == "João"
    assert stage.telegram.sent("setWebhook")[0].params["allowed_updates"] == list(ALLOWED_UPDATES)
    assert stage.telegram.updates.pending == []


async def test_without_a_secret_of_ones_own_there_is_one(stage, hook, group, zoe, knock):
    async with hook(webhook_secret=None):
        code = await knock(update(1), secret=None)
        answer = await stage.answer(group, zoe, "/as João")

    assert code == 403
    assert parse_voice_header(answer["text"])[0] == "João"


@pytest.mark.parametrize("secret", [None, "another", SECRET[:-1], "número"])
async def test_nobody_else_brings_updates(hook, knock, secret):
    async with hook() as app:
        code = await knock(update(7), secret)
        queue = await app.inbox.count_open()

    assert code == 403
    assert queue.waiting == queue.set_aside == 0


async def test_the_token_is_in_no_path(stage, hook):
    async with hook():
        url = stage.telegram.sent("setWebhook")[0].params["url"]

    assert stage.telegram.token not in url


async def test_an_update_is_kept_before_it_is_acknowledged(stage, hook, knock, monkeypatch):
    async with hook() as app:
        with monkeypatch.context() as patch:
            patch.setattr(app.inbox.queue, "announce", lambda _: None)
            code = await knock(update(7))
        waiting = (await app.inbox.count_open()).waiting

    assert (code, waiting) == (200, 1)


async def test_what_cannot_be_kept_is_asked_for_again(stage, hook, group, zoe, monkeypatch):
    store, full = Inbox.store, [True]

    async def stores(*args):
        if full[0]:
            raise StoreError("the disk is full")
        return await store(*args)

    monkeypatch.setattr(Inbox, "store", stores)
    async with hook():
        await stage.telegram.say(group, zoe, "/as João")
        await until(lambda: stage.telegram.updates.last_error)
        refused = stage.telegram.updates.last_error
        full[0] = False
        sent = await stage.telegram.wait_for("sendMessage")

    assert "503" in refused
    assert parse_voice_header(sent.params["text"])[0] == "João"


@pytest.mark.parametrize(
    "body",
    [update(7, date="soon"), update(7, date=99_999_999_999_999)],
    ids=["a date that is a word", "a date beyond all years"],
)
async def test_what_cannot_be_read_is_set_aside(hook, knock, body):
    async with hook() as app:
        code = await knock(body)

        async def is_set_aside():
            queue = await app.inbox.count_open()
            return (queue.set_aside, queue.waiting) == (1, 0)

        await until(is_set_aside)

    assert code == 200


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"update_id": "7"}', "[" * 5000, f'{{"update_id": {2**63}}}']
)
async def test_what_is_no_update_at_all_is_not_asked_for_again(hook, knock, body):
    async with hook():
        assert await knock(body) == 200


async def test_a_body_beyond_all_bounds_is_refused(hook, knock):
    async with hook() as app:
        code = await knock("x" * (LARGEST_BODY + 1))
        queue = await app.inbox.count_open()

    assert code in {400, 413, 599}
    assert queue.set_aside == 0


async def test_an_update_that_comes_twice_is_handled_once(stage, hook, knock, group):
    command = {"type": "bot_command", "offset": 0, "length": 3}
    body = update(7, text="/as João", entities=[command])
    async with hook():
        codes = [await knock(body), await knock(body)]
        await stage.telegram.wait_for("sendMessage")
        await asyncio.sleep(0.2)

    assert codes == [200, 200]
    assert len(stage.said()) == 1


async def test_its_health_can_be_asked(hook, port):
    client = AsyncHTTPClient(force_instance=True)
    async with hook():
        answer = await client.fetch(f"http://127.0.0.1:{port}/health")
    client.close()

    said = json.loads(answer.body)
    assert said["ok"] is True
    assert said["model"] == "0001-abcdef01"
    assert said["updates_waiting"] == 0
    assert said["jobs_failing"] == []
    assert said["version"]


async def test_health_names_a_failing_job(hook, port):
    async def fail():
        raise OSError("no")

    client = AsyncHTTPClient(force_instance=True)
    async with hook() as app:
        jobs = app.bot_data["state"].jobs
        jobs.repeat("sweeping", fail, 60)
        await until(lambda: jobs.failing)
        answer = await client.fetch(f"http://127.0.0.1:{port}/health")
    client.close()

    said = json.loads(answer.body)
    assert (said["ok"], said["jobs_failing"]) == (False, ["sweeping"])


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"POST /telegram HTTP/1.1\r\nHost: x\r\n",
        b"POST /telegram HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        b"POST /telegram HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["nothing", "headers", "a body", "a body in chunks", "a request, and no other after it"],
)
async def test_a_connection_that_is_idle_or_slow_is_closed(hook, port, begun):
    trickled = b"" if begun.startswith(b"GET") or not begun else b"1"
    async with hook(idle_seconds=0.3):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def trickle():
            with suppress(ConnectionError):
                writer.write(begun)
                while trickled:
                    await writer.drain()
                    await asyncio.sleep(0.05)
                    writer.write(trickled)

        slowly = asyncio.create_task(trickle())
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                while await reader.read(1000):
                    pass
        slowly.cancel()
        await asyncio.gather(slowly, return_exceptions=True)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("path", ["/a.b+(c)", "/100%25", "/[x]*?"])
async def test_a_path_is_no_pattern(stage, hook, group, zoe, port, knock, path):
    async with hook(webhook_url=f"http://127.0.0.1:{port}{path}"):
        code = await knock(update(7), path=path.partition("?")[0])
        other = await knock(update(8), path="/aXb+c")

    assert (code, other) == (200, 404)


async def test_a_port_in_use_is_a_clear_error(hook, port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()

        with pytest.raises(SettingsError, match="WEBHOOK_LISTEN: the bot cannot listen at"):
            async with hook():
                pass


async def test_polling_forgets_the_webhook(stage, hook, group, zoe):
    async with hook():
        pass
    was_set = stage.telegram.updates.webhook

    async with stage.running():
        answer = await stage.answer(group, zoe, "/as João")

    assert was_set is not None
    assert stage.telegram.updates.webhook is None
    assert parse_voice_header(answer["text"])[0] == "João"


async def lost(_):
    """Stand for a kill between keeping and handling."""
