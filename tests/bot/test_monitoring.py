"""What METRICS_LISTEN serves: metrics, health and readiness."""

import asyncio
import builtins
import socket
from contextlib import suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tornado.httpclient import AsyncHTTPClient

from bot.errors import SettingsError, StoreError
from bot.services.measurements import Histogram
from bot.store.inbox import Inbox
from bot.transport import webhook
from tests.bot.conftest import NOTHING_CAME_OUT, until


@pytest.fixture
def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


async def get(address, path):
    """Return the answer, as soon as the bot listens."""
    async with asyncio.timeout(5):
        while True:
            with suppress(ConnectionRefusedError):
                return await AsyncHTTPClient().fetch(f"http://{address}{path}", raise_error=False)
            await asyncio.sleep(0.01)


async def read_metrics(address):
    """Return the samples by name and label value."""
    response = await get(address, "/metrics")
    assert response.code == 200
    families = text_string_to_metric_families(response.body.decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


async def test_the_metrics_count_updates_messages_and_replies(stage, group, joao, zoe, address):
    stage.speaker.rejected, stage.speaker.tokens = {"private": 2}, 40
    async with stage.running_process(metrics_listen=address):
        await stage.telegram.say(group, zoe, "a secret")
        await stage.answer(group, joao, "/as Lei")
        stage.speaker.replies.append(NOTHING_CAME_OUT)
        await stage.answer(group, joao, "/as Lei")
        found = await until(lambda: _without_waiting(address))
        page = (await get(address, "/metrics")).body.decode()

    assert found["understudy_updates_total", "message"] == 3
    assert found["understudy_messages_total", "sent"] == 2
    assert found["understudy_tokens_total",] == 80
    assert found["understudy_candidates_rejected_total", "private"] == 4
    assert found["understudy_requests_unanswered_total", "no acceptable candidate"] == 1
    assert found["understudy_generation_seconds_count",] == 2
    assert found["understudy_generation_seconds_bucket", "+Inf"] == 2
    assert found["understudy_model_info", "0001-abcdef01"] == 1
    assert found["understudy_leading",] == 1
    assert found["understudy_oldest_update_age_seconds",] == 0
    for word in ("secret", "Zoe", "João", "李雷", "Friends", str(group.id)):
        assert word not in page


async def _without_waiting(address):
    found = await read_metrics(address)
    return None if found["understudy_updates_waiting",] else found


async def test_waiting_updates_have_an_age(stage, group, joao, address):
    stage.speaker.open.clear()
    async with stage.running_process(metrics_listen=address):
        await stage.telegram.say(group, joao, "/as Lei")
        await until(lambda: stage.speaker.asked)
        found = await read_metrics(address)

    assert found["understudy_updates_waiting",] == 1
    assert 0 < found["understudy_oldest_update_age_seconds",] < 5
    assert found["understudy_replies_pending",] == 1


async def test_a_process_that_stops_is_not_ready(stage, address):
    async with stage.running_process(metrics_listen=address) as app:
        ready = await get(address, "/ready")
        health = await get(address, "/health")
        app.begin_to_stop()
        stopping = await get(address, "/ready")

    assert (ready.code, health.code, stopping.code) == (200, 200, 503)
    assert b'"ready": false' in stopping.body


async def test_metrics_fail_while_the_database_cannot_be_read(stage, address, monkeypatch):
    async def fail(_):
        raise StoreError("gone")

    async with stage.running_process(metrics_listen=address):
        monkeypatch.setattr(Inbox, "count_waiting", fail)
        answer = await get(address, "/metrics")

    assert answer.code == 503


async def test_jobs_are_counted_on_a_server(stage, postgres, address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = await postgres.make_migrated()
    async with stage.running_process(metrics_listen=address, database_url=url):
        found = await read_metrics(address)

    assert found["understudy_jobs_waiting", "reply"] == 0


async def test_the_oldest_connections_are_closed_for_new_ones(stage, address, monkeypatch):
    monkeypatch.setattr(webhook, "MAX_CONNECTIONS", 3)
    async with stage.running_process(metrics_listen=address):
        await get(address, "/health")  # it listens
        opened = [await asyncio.open_connection(*address.split(":")) for _ in range(8)]
        async with asyncio.timeout(10):
            closed = [await reader.read() for reader, _ in opened[:5]]
        health = await get(address, "/health")
        for _, writer in opened:
            writer.close()

    assert closed == [b""] * 5
    assert health.code == 200


async def test_an_address_in_use_is_named(stage, address):
    with socket.socket() as taken:
        host, _, port = address.partition(":")
        taken.bind((host, int(port)))
        taken.listen()
        with pytest.raises(SettingsError, match="METRICS_LISTEN: the bot cannot listen at 127"):
            async with stage.running_process(metrics_listen=address):
                pass


async def test_a_missing_package_is_named(stage, address, monkeypatch):
    real = builtins.__import__

    def without_prometheus(name, *given):
        if name.startswith("prometheus_client"):
            raise ModuleNotFoundError(name)
        return real(name, *given)

    monkeypatch.setattr(builtins, "__import__", without_prometheus)
    with pytest.raises(SettingsError, match=r"pip install 'understudy-bot\[metrics\]'"):
        async with stage.running_process(metrics_listen=address):
            pass


def test_a_value_on_a_bound_is_counted_below_it():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)

    assert histogram.counts == [2, 1, 1]
    assert histogram.total == 12.0
