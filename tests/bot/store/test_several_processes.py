"""What the processes of one bot share on a PostgreSQL server: limits, the send log, jobs."""

import asyncio

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, text

from bot.errors import SettingsError, StoreError
from bot.store.database import lock_database, make_backend, open_database
from bot.store.inbox import Inbox
from bot.store.postgres.job_queue import JobQueue
from bot.store.postgres.limits import SharedLimits
from bot.store.send_log import Part, SendLog
from tests.bot.conftest import until


@pytest.fixture
async def url(postgres, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return await postgres.make_migrated()


async def test_a_limit_holds_for_all_processes(url):
    engines = [make_backend(url).make_reader() for _ in range(2)]
    limits = [SharedLimits(engine) for engine in engines]

    waits = await asyncio.gather(*(limits[n % 2].take("chat -5", 20, 60.0) for n in range(50)))
    other = await limits[0].take("chat -6", 20, 60.0)
    short = [await limits[0].take("short", 1, 0.2) for _ in range(2)]
    await asyncio.sleep(short[1])
    again = await limits[1].take("short", 1, 0.2)

    for engine in engines:
        engine.dispose()
    assert sum(not wait for wait in waits) == 20
    assert all(55 < wait <= 60 for wait in waits if wait)
    assert other == 0
    assert short[0] == 0 < short[1] <= 0.2
    assert again == 0


async def test_only_one_process_sends_a_message(url):
    async with open_database(url) as database:
        one, other = SendLog(database), SendLog(database)
        await one.note_attempt(Part(5, 0), left=2)
        with pytest.raises(StoreError, match="another process is sending a message for update 5"):
            await other.note_attempt(Part(5, 0), left=2)
        await one.drop(Part(5, 0))
        await other.note_attempt(Part(5, 0), left=2)


async def test_the_jobs_of_a_dead_process_are_given_to_others(url, monkeypatch):
    monkeypatch.setattr("bot.store.postgres.job_queue.STALLED_SECONDS", 0.5)
    monkeypatch.setattr("bot.store.postgres.job_queue.HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr("bot.store.postgres.job_queue.GRACE_SECONDS", 0.1)
    handled, stuck = [], asyncio.Event()

    async def handle(job):
        handled.append(job.update_id)
        if not stuck.is_set():
            stuck.set()
            await asyncio.Event().wait()

    async def is_never_aside(_):
        return False

    async with open_database(url) as database:
        conninfo, inbox = make_backend(url).conninfo, Inbox(database)
        queue, other = (JobQueue(conninfo, database) for _ in range(2))
        inbox.queue = queue
        async with queue.open(), other.open():
            await queue.start(handle)
            await inbox.store([_update(1), _update(2)])
            await stuck.wait()
            await database.write(  # as after a kill: its heartbeat has ended
                lambda c: c.execute(text("DELETE FROM procrastinate_workers"))
            )
            assert await queue.recover(is_never_aside) == 1
            await other.start(handle)
            await until(lambda: handled[1:] == [1, 2], 10)
            await asyncio.gather(queue.stop(), other.stop())


def _update(number):
    chat = {"id": -5, "type": "group", "title": "Friends"}
    return {"update_id": number, "message": {"message_id": number, "date": 0, "chat": chat}}


async def test_updates_without_a_job_get_one(url):
    async with open_database(url) as database:
        queue, inbox = JobQueue(make_backend(url).conninfo, database), Inbox(database)
        await inbox.store([_update(1), _update(2)])

        assert await queue.defer_missing(older_than=-1) == 2
        assert await queue.defer_missing(older_than=-1) == 0
        assert await queue.count_jobs() == {
            "receive": 2,
            "answer": 0,
            "reply": 0,
            "simulation": 0,
            "stop": 0,
        }


async def test_a_webhook_needs_a_secret_that_all_processes_know(stage, url):
    with pytest.raises(SettingsError, match="all of them need the same secret"):
        async with stage.running_process(database_url=url, webhook_url="https://bot.example.org/t"):
            pass


async def test_an_upgrade_that_takes_the_database_ends_the_process(postgres, stage, url):
    process = stage.running_process(database_url=url)
    app = await process.__aenter__()
    postgres.disconnect_all()
    with lock_database(url):
        await until(lambda: any(one.done() for one in app.needed_tasks), 10)
    await until(lambda: not app.running)

    with pytest.raises(StoreError, match="another understudy-bot is using the database"):
        await process.__aexit__(None, None, None)


@pytest.mark.parametrize("password", ["my secret", "a'b", "ü%2F", "x@y:z"])
def test_the_address_for_the_job_queue_means_the_same(password):
    url = URL.create("postgresql", "bot", password, "db.example", 5433, "understudy")
    text_of_url = url.render_as_string(hide_password=False)

    found = conninfo_to_dict(make_backend(text_of_url).conninfo)

    assert found["password"] == password
    assert (found["host"], str(found["port"]), found["dbname"]) == (
        "db.example", "5433", "understudy",
    )  # fmt: skip
