"""A database that cannot be written or read: a clear error, and the file is as it was."""

import asyncio
import sqlite3
import sys
from datetime import UTC, datetime

import pytest

from bot.errors import StoreError
from bot.store.database import open_database, prepare_database
from bot.store.messages import MessageStore
from model.chat.conversation import Message
from tests.bot.small_disk import fill_up

CHAT = -5
LIMIT = 200_000
FILL_A_LIMITED_FILE = """
import asyncio, resource, sys
sys.path.insert(0, sys.argv[2])
from test_failures import filled, open_database, MessageStore, LIMIT
async def main():
    async with open_database(sys.argv[1]) as database:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
        kept, error = await filled(MessageStore(database))
        print(kept, error)
asyncio.run(main())
"""


def message(number):
    return Message(CHAT, number, 7, "Ana", "hello " * 200, datetime.now(UTC))


async def filled(store):
    """Save messages until one cannot be; return how many could and what was said."""
    for number in range(1, 5000):
        try:
            await store.save(message(number))
        except StoreError as error:
            return number - 1, str(error)
    raise AssertionError("nothing failed")


def kept_in(path):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    numbers = connection.execute("SELECT message_id FROM messages ORDER BY 1").fetchall()
    connection.close()
    return [number for [number] in numbers]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bot.db"


@pytest.fixture
async def url(path):
    address = f"sqlite+aiosqlite:///{path}"
    await prepare_database(address)
    return address


async def test_a_full_disk_loses_nothing_that_was_kept(small_disk):
    path = small_disk / "bot.db"
    await prepare_database(f"sqlite+aiosqlite:///{path}")

    async with open_database(f"sqlite+aiosqlite:///{path}") as database:
        kept, said = await filled(MessageStore(database))
        found = await MessageStore(database).find(CHAT, kept)

    assert said.startswith(f"the database {path} cannot be written (database or disk is full): ")
    assert "free space on its disk" in said
    assert found
    assert kept_in(path) == list(range(1, kept + 1))


async def test_it_goes_on_once_there_is_room(small_disk):
    path = small_disk / "bot.db"
    await prepare_database(f"sqlite+aiosqlite:///{path}")

    async with open_database(f"sqlite+aiosqlite:///{path}") as database:
        fill_up(small_disk)
        kept, _ = await filled(MessageStore(database))
        (small_disk / "filler").unlink()
        await MessageStore(database).save(message(kept + 1))

    assert kept_in(path) == list(range(1, kept + 2))


async def test_a_file_that_may_not_grow(url, path):
    async with open_database(url) as database:
        await database.write(lambda one: one.exec_driver_sql("PRAGMA max_page_count = 12"))
        kept, said = await filled(MessageStore(database))

    assert f"the database {path} cannot be written (database or disk is full)" in said
    assert kept_in(path) == list(range(1, kept + 1))


async def test_a_disk_that_turned_read_only(small_disk, remount):
    path = small_disk / "bot.db"
    await prepare_database(f"sqlite+aiosqlite:///{path}")

    async with open_database(f"sqlite+aiosqlite:///{path}") as database:
        remount("ro")
        with pytest.raises(StoreError, match=r"cannot be opened .*: give the bot's user"):
            await MessageStore(database).save(message(1))
        remount("rw")
        await MessageStore(database).save(message(2))

    assert kept_in(path) == [2]


async def test_a_database_that_may_only_be_read(url, path):
    async with open_database(url) as database:
        await database.write(lambda one: one.exec_driver_sql("PRAGMA query_only = 1"))
        with pytest.raises(StoreError, match=r"cannot be written \(attempt to write a readonly"):
            await MessageStore(database).save(message(1))

    assert kept_in(path) == []


async def test_a_disk_that_fails_in_the_middle_of_a_write(url, path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FILL_A_LIMITED_FILE, url, __file__.rpartition("/")[0]),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()

    kept, _, said = out.decode().partition(" ")
    assert said.startswith(f"the database {path} cannot be read or written (disk I/O error): check")
    assert kept_in(path) == list(range(1, int(kept) + 1))


async def test_a_database_that_another_program_locks(url, path, monkeypatch):
    monkeypatch.setattr("bot.store.sqlite.BUSY_SECONDS", 0)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    async with open_database(url) as database:
        with pytest.raises(StoreError, match=r"\(database is locked\): stop other programs"):
            await MessageStore(database).save(message(1))
        writer.execute("ROLLBACK")
        await MessageStore(database).save(message(1))

    writer.close()
    assert kept_in(path) == [1]


async def test_a_damaged_database_asks_for_the_backup(url, path):
    async with open_database(url) as database:
        await MessageStore(database).save(message(1))
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))

    async with open_database(url) as database:
        with pytest.raises(StoreError, match=r"is damaged \(database disk image is malformed\)"):
            await MessageStore(database).find(CHAT, 1)


async def test_a_database_whose_folder_went_away(url, path):
    async with open_database(url) as database:
        path.unlink()
        path.parent.rename(path.parent.with_name("elsewhere"))
        with pytest.raises(StoreError, match=r"cannot be opened \(unable to open database file\)"):
            await MessageStore(database).find(CHAT, 1)


async def test_a_mistake_of_our_own_is_no_store_error(url):
    async with open_database(url) as database:
        with pytest.raises(Exception, match="no such table: nowhere") as caught:
            await database.read(lambda one: one.exec_driver_sql("SELECT * FROM nowhere"))

    assert not isinstance(caught.value, StoreError)


async def test_the_words_of_a_message_are_in_no_error(url):
    async with open_database(url) as database:
        await database.write(lambda one: one.exec_driver_sql("PRAGMA query_only = 1"))
        with pytest.raises(StoreError) as caught:
            await MessageStore(database).save(message(1))

    assert "hello" not in f"{caught.value} {caught.value.__cause__!r}"


async def test_the_bot_outlives_a_full_disk(stage, group, joao, small_disk, caplog):
    url = f"sqlite+aiosqlite:///{small_disk}/bot.db"
    async with stage.running(database_url=url), asyncio.timeout(20):
        fill_up(small_disk)
        number = 0
        while "free space on its disk" not in caplog.text:
            number += 1
            await stage.telegram.say(group, joao, f"{number} " * 500)
            await asyncio.sleep(0.01)
        (small_disk / "filler").unlink()
        said = await stage.answer(group, joao, "/as João hello")

    assert "João number" in said["text"]
