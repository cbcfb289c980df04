"""When the database's files are cleaned, and that nothing is lost meanwhile."""

import asyncio
import os
import sqlite3
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest

from bot.errors import StoreError
from bot.store import vacuum
from bot.store.database import open_database, prepare_database
from bot.store.erasure import Eraser, ErasureQuery
from bot.store.inbox import Inbox
from bot.store.vacuum import Vacuum
from tests.bot.conftest import until
from tests.bot.database_files import find_in_rows, find_words
from tests.bot.small_disk import fill_up
from tests.bot.store.test_erasure import fill

VACUUM_FOREVER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
print("begins", flush=True)
while True:
    database.execute("VACUUM")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
"""


@pytest.fixture
async def database(migrated):
    async with open_database(migrated) as database:
        yield database


@pytest.fixture
async def path(tmp_path):
    """An SQLite file with messages by three people, whose pages hold copies of them."""
    await prepare_database(f"sqlite+aiosqlite:///{tmp_path}/bot.db")
    fill(tmp_path / "bot.db")
    return tmp_path / "bot.db"


async def forget(database, author=1):
    eraser, wanted = Eraser(database), ErasureQuery(authors=frozenset({author}))
    marked = await eraser.mark(wanted, datetime.now(UTC))
    await eraser.erase(wanted, marked.lines)


async def test_it_is_due_after_a_start_and_runs_when_no_update_comes(database):
    cleaner, was_due = Vacuum(database), []

    await Inbox(database).store([{"update_id": 1}])
    await cleaner.run_when_quiet()
    was_due.append(database.must_vacuum)
    database.last_update_at -= vacuum.QUIET_SECONDS
    await cleaner.run_when_quiet()
    was_due.append(database.must_vacuum)

    assert was_due == [True, False]


async def test_it_runs_within_an_hour_although_updates_come(database, monkeypatch):
    cleaner = Vacuum(database)
    monkeypatch.setattr(vacuum, "MAX_DELAY_SECONDS", 0.05)

    await asyncio.sleep(0.06)
    await Inbox(database).store([{"update_id": 1}])
    await cleaner.run_when_quiet()

    assert not database.must_vacuum


async def test_updates_that_come_meanwhile_are_stored_afterwards(database, monkeypatch):
    begun, goes_on, run = threading.Event(), threading.Event(), database.backend.vacuum

    def slowly(writer):
        begun.set()
        assert goes_on.wait(20)
        run(writer)

    monkeypatch.setattr(database.backend, "vacuum", slowly)
    inbox = Inbox(database)
    cleaning = asyncio.create_task(Vacuum(database).run())
    await asyncio.to_thread(begun.wait, 20)
    storing = asyncio.create_task(inbox.store([{"update_id": 1}, {"update_id": 2}]))
    waiting = await inbox.waiting()  # reads go on
    was_stored = storing.done()
    goes_on.set()
    await cleaning

    assert (waiting, was_stored) == ([], False)
    assert await storing == {1, 2}


async def test_without_room_it_fails_and_is_repeated(small_disk, remount):
    url = f"sqlite+aiosqlite:///{small_disk}/bot.db"
    remount("size=8m")
    await prepare_database(url)
    fill(small_disk / "bot.db")
    async with open_database(url) as database:
        cleaner = Vacuum(database)
        await forget(database)
        fill_up(small_disk)

        with pytest.raises(StoreError, match="erased text cannot be removed from .*: free space"):
            await cleaner.run()
        is_due = database.must_vacuum
        await cleaner.run_at_stop()  # only says so
        (small_disk / "filler").unlink()
        await cleaner.run()

    assert is_due
    assert find_words(small_disk, "SECRET1x", "SECRET2x") == [("SECRET2x", "bot.db")]


async def test_a_kill_loses_nothing_and_leaves_no_file(path, tmp_path):
    def kept():
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return database.execute("SELECT * FROM messages ORDER BY 1, 2").fetchall()

    before, temporary = kept(), tmp_path / "temporary"
    temporary.mkdir()
    for number in range(5):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", VACUUM_FOREVER, str(path)),
            env={**os.environ, "SQLITE_TMPDIR": str(temporary)},
            stdout=asyncio.subprocess.PIPE,
        )
        await process.stdout.readline()
        await asyncio.sleep(0.02 + 0.007 * number)
        process.kill()
        await process.wait()
        assert kept() == before
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("end", ["when no update comes", "at a stop", "at the stop after a kill"])
async def test_no_byte_is_left(stage, path, monkeypatch, end):
    """The person has the id of an author in the database; see `fill`."""
    person, settings = stage.telegram.user(1, "Rui"), {"retention_days": 3650}
    with monkeypatch.context() as patch:
        if end == "when no update comes":
            patch.setattr("bot.background.VACUUM_SECONDS", 0.05)
        elif end == "at the stop after a kill":
            patch.setattr(Vacuum, "run_at_stop", killed)
        async with stage.running(**settings):
            answer = await stage.answer(stage.telegram.private(person), person, "/forget all")
            assert not find_in_rows(path, "SECRET1x")
            if end == "when no update comes":
                patch.setattr(vacuum, "QUIET_SECONDS", 0)
                await until(lambda: not find_in_files(stage.folder, "SECRET1x"))
    if end == "at the stop after a kill":
        async with stage.running(**settings):
            pass

    assert answer["text"].startswith("I forgot")
    assert not find_in_files(stage.folder, "SECRET1x")
    assert find_in_files(stage.folder, "SECRET2x") == ["bot.db"]


async def killed(_):
    """Simulate a kill before the VACUUM."""


def find_in_files(folder, word):
    """Return the names of all files below a folder that hold a word."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file.name for file in files if word.encode() in file.read_bytes()]
