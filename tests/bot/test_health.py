"""`understudy-bot health`: is the bot of this database alive, and does it work?"""

import asyncio
import os
import signal
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.background import beat
from bot.errors import BotNotRunning, StoreError
from bot.health import check_health
from bot.services import replies
from bot.store.database import lock_database, open_database, prepare_database
from bot.store.heartbeat import MAX_SILENCE, heartbeat_file, read_silence, write_beat
from bot.store.inbox import Inbox
from bot.store.tables import inbox
from tests.bot.conftest import until
from tests.bot.test_command_line import FAKE_SPEAKER, desk, says_one_line

__all__ = ["desk"]

QUICK = f"""
import os, bot.background
bot.background.BEAT_SECONDS = 0.05
with open("pid", "w") as file: file.write(str(os.getpid()))
def find_old_beat(): os.path.exists("understudy.db.heartbeat") and open("old beat", "w").close()
{FAKE_SPEAKER.replace("device: Speaker()", "device: find_old_beat() or Speaker()")}
"""


@pytest.fixture
def settings(stage):
    return stage.settings()


@pytest.fixture
def url(settings):
    return settings.database_url


def let_time_pass(url, seconds):
    """Move the last beat into the past."""
    then = time.time() - seconds
    os.utime(heartbeat_file(url), (then, then))


@pytest.mark.over_http
async def test_a_process_is_healthy_while_it_works_and_not_if_it_hangs_or_is_dead(desk):
    url = f"sqlite+aiosqlite:///{desk.folder}/understudy.db"
    write_beat(url)  # as an earlier process that was killed
    before = await desk.call("health")
    async with desk.started("-c", QUICK, "run") as process, asyncio.timeout(120):
        await process.stdout.readline()
        await until(heartbeat_file(url).exists, 20)
        working = await desk.call("health")

        program = int((desk.folder / "pid").read_text())
        os.kill(program, signal.SIGSTOP)
        await until(lambda: Path(f"/proc/{program}/stat").read_text().rpartition(")")[2][1] == "T")
        let_time_pass(url, MAX_SILENCE + 5)
        hung = await desk.call("health")

        os.kill(program, signal.SIGCONT)
        await until(lambda: read_silence(url) < MAX_SILENCE, 20)
        awake = await desk.call("health")

        process.kill()
        await process.communicate()
        dead = await desk.call("health")

    assert not (desk.folder / "old beat").exists()
    for healthy in (working, awake):
        assert (healthy.code, healthy.err) == (0, "")
        assert healthy.out.startswith("The bot is healthy; it last reported ")
    assert says_one_line(hung, "the bot on understudy.db has not responded for 9")
    for gone in (before, dead):
        assert says_one_line(
            gone, "no bot is using the database understudy.db: start it with `understudy-bot"
        )


def test_a_bot_that_has_not_reported_since_its_start_is_starting(settings, url):
    with (
        lock_database(url),
        pytest.raises(BotNotRunning, match="is still starting: check again in a minute"),
    ):
        check_health(settings)


@pytest.mark.parametrize("shift", [-3600, 3600], ids=["behind", "ahead"])
def test_a_clock_that_was_changed_hides_no_hanging_bot(settings, url, shift):
    write_beat(url)
    let_time_pass(url, shift)

    with lock_database(url), pytest.raises(BotNotRunning, match="has not responded for 36"):
        check_health(settings)


@pytest.mark.parametrize(
    ("minutes", "says"), [(7, " 2 updates are waiting, the oldest for 7 minutes."), (1, "")]
)
def test_updates_that_wait_for_long_are_mentioned(settings, url, minutes, says):
    async def store():
        await prepare_database(url)
        async with open_database(url) as database:
            await Inbox(database).store([{"update_id": 1}, {"update_id": 2}])
            then = datetime.now(UTC) - timedelta(minutes=minutes)
            await database.write(lambda one: one.execute(inbox.update().values(received_at=then)))

    asyncio.run(store())
    write_beat(url)

    with lock_database(url):
        assert check_health(settings) == f"The bot is healthy; it last reported 0 s ago.{says}"


@pytest.fixture
async def state(stage):
    """The state of a running bot whose only beats are those of the test."""
    async with stage.running() as app:
        await until(heartbeat_file(stage.settings().database_url).exists)
        heartbeat_file(stage.settings().database_url).unlink()
        yield app.bot_data["state"]


async def test_a_working_bot_beats(state, url):
    await beat(state)

    assert read_silence(url) < 5
    assert heartbeat_file(url).stat().st_mode & 0o077 == 0


async def test_a_full_disk_does_not_stop_the_beats(state, url, monkeypatch):
    def fail(works):
        return [(None, StoreError("full")) for _ in works]

    monkeypatch.setattr(state.store.database, "_commit", fail)
    await beat(state)

    assert heartbeat_file(url).exists()


async def test_a_database_that_cannot_be_read_stops_the_beats(state, url, monkeypatch):
    async def fail():
        raise StoreError("damaged")

    monkeypatch.setattr(state.store.inbox, "count_open", fail)
    await beat(state)

    assert not heartbeat_file(url).exists()


async def test_a_writing_thread_that_hangs_stops_the_beats(state, url):
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(_):
        hangs.set()
        return goes_on.wait(20)

    hanging = asyncio.create_task(state.store.database.write(hang))
    await until(hangs.is_set)
    heartbeat_file(url).unlink(missing_ok=True)
    beating = asyncio.create_task(beat(state))
    await asyncio.wait({beating}, timeout=0.2)
    assert not heartbeat_file(url).exists()
    goes_on.set()
    await asyncio.gather(hanging, beating)

    assert heartbeat_file(url).exists()


async def test_a_model_that_does_not_stop_stops_the_beats(
    stage, state, url, group, joao, monkeypatch
):
    monkeypatch.setattr(replies, "MAX_STOP_SECONDS", 0)
    monkeypatch.setattr(state.replies, "_seconds", 0.05)
    stage.speaker.open.clear()

    assert "too long" in (await stage.answer(group, joao, "/as João hello"))["text"]
    await until(lambda: state.replies.is_stuck)
    await beat(state)
    assert not heartbeat_file(url).exists()

    stage.speaker.open.set()
    await until(lambda: not state.replies.is_stuck)
    await beat(state)
    assert heartbeat_file(url).exists()


@pytest.mark.parametrize("is_abstract", [True, False])
def test_systemd_is_told_that_the_bot_works(tmp_path, url, monkeypatch, is_abstract):
    address = f"understudy-{tmp_path.name}-{os.getpid()}" if is_abstract else str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{address}" if is_abstract else address)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{address}" if is_abstract else address)

        write_beat(url)

        assert systemd.recv(100) == b"READY=1\nWATCHDOG=1"


def test_a_socket_of_systemd_that_is_gone_stops_no_beat(tmp_path, url, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))

    write_beat(url)

    assert heartbeat_file(url).exists()
