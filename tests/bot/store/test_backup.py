"""A copy of the database: whole while others write, private, never half, never the original."""

import asyncio
import signal
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from bot.errors import StoreError
from bot.store.backup import back_up
from bot.store.database import Version, prepare_database, read_version
from tests.bot.small_disk import fill_up

ROW = """
INSERT INTO messages (chat_id, message_id, author_id, text, sent_at, is_forward, is_from_bot)
VALUES (-5, ?, 7, ?, '2024-05-01 12:00:00', 0, 0)
"""
DIES_IN_THE_MIDDLE = """
import asyncio, os, signal, sys
from pathlib import Path
from bot.store import backup
connected = backup._connect
def dying(path):
    connection = connected(path)
    steps = 10_000  # of SQLite's machine, which takes some ten for a row
    connection.set_progress_handler(lambda: os.kill(os.getpid(), signal.SIGKILL), steps)
    return connection
backup._read = lambda source: None
backup._connect = dying
asyncio.run(backup.back_up(sys.argv[1], Path(sys.argv[2])))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bot 100%.db"


@pytest.fixture
async def url(path):
    address = f"sqlite+aiosqlite:///{path}"
    await prepare_database(address)
    return address


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder / "copy.db"


def fill(path, numbers, words="hello"):
    connection = sqlite3.connect(path)
    connection.executemany(ROW, [(number, words) for number in numbers])
    connection.commit()
    connection.close()


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def ask(path, *questions):
    connection = sqlite3.connect(path, isolation_level=None)
    answers = [connection.execute(question).fetchall() for question in questions]
    connection.close()
    return answers[-1]


async def test_a_copy_holds_every_message_and_is_private(url, path, target):
    fill(path, range(3))

    done = await back_up(url, target)

    assert (done.path, done.messages) == (target, 3)
    assert done.size == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert ask(target, "SELECT message_id, text FROM messages") == ask(
        path, "SELECT message_id, text FROM messages"
    )
    assert await read_version(f"sqlite+aiosqlite:///{target}") is Version.CURRENT


async def test_nothing_is_left_beside_the_copy_or_the_database(url, path, target):
    await back_up(url, target)

    assert names(target.parent) == [target.name]
    assert names(path.parent) == [path.name, target.parent.name]


async def test_a_copy_taken_while_others_write_is_whole(url, path, target):
    fill(path, range(2000), "hello " * 50)
    wrote, stop = threading.Event(), threading.Event()

    def write():
        connection = sqlite3.connect(path, timeout=10)
        number = 2000
        while not stop.is_set():  # two rows at a time: a copy has both or neither
            connection.executemany(ROW, [(number, "one"), (number + 1, "two")])
            connection.commit()
            number += 2
            wrote.set()
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    await asyncio.to_thread(wrote.wait, 10)
    try:
        done = [await back_up(url, target, force=True) for _ in range(5)]
    finally:
        stop.set()
        writer.join()

    counts = [copy.messages for copy in done]
    assert counts == sorted(counts)
    assert all(count % 2 == 0 for count in counts)
    assert 2000 < counts[-1] <= ask(path, "SELECT count(*) FROM messages")[0][0]
    assert ask(target, "PRAGMA integrity_check") == [("ok",)]
    assert await read_version(f"sqlite+aiosqlite:///{target}") is Version.CURRENT


async def test_what_only_the_log_of_a_running_bot_holds_is_copied(url, path, target):
    bot = sqlite3.connect(path)
    bot.execute(ROW, (1, "not in the file itself yet"))
    bot.commit()

    done = await back_up(url, target)
    bot.close()

    assert done.messages == 1


async def test_a_deleted_message_leaves_no_trace_in_a_copy(url, path, target):
    fill(path, [1], "a secret of last summer")
    ask(path, "PRAGMA secure_delete = OFF", "DELETE FROM messages")

    await back_up(url, target)

    assert b"last summer" in path.read_bytes()
    assert b"last summer" not in target.read_bytes()


async def test_killed_in_the_middle_it_leaves_nothing_at_its_place(url, path, target):
    fill(path, range(5000), "hello " * 200)

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DIES_IN_THE_MIDDLE, url, target
    )
    code = await process.wait()
    (folder,) = target.parent.iterdir()
    left = sorted(folder.iterdir())

    assert code == -signal.SIGKILL
    assert 0 < left[0].stat().st_size < path.stat().st_size
    assert folder.name.startswith(f".{target.name}.")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert left[0].stat().st_mode & 0o777 == 0o600
    assert (await back_up(url, target)).messages == 5000
    assert names(target.parent) == [target.name]


async def test_a_file_that_is_there_is_kept_unless_forced(url, path, target):
    target.write_text("dear diary")

    with pytest.raises(StoreError, match=f"{target} already exists: choose another file, or repl"):
        await back_up(url, target)
    kept = target.read_text()
    done = await back_up(url, target, force=True)

    assert kept == "dear diary"
    assert (done.messages, target.stat().st_mode & 0o777) == (0, 0o600)


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
async def test_the_database_is_not_replaced_by_its_copy(url, path, end):
    fill(path, [1])
    itself = path.with_name(path.name + end)

    with pytest.raises(StoreError, match="is the database itself: choose another file"):
        await back_up(url, itself, force=True)

    assert ask(path, "SELECT count(*) FROM messages") == [(1,)]


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
async def test_the_database_by_another_name_is_not_replaced(url, path, target, link):
    getattr(target, link)(path)

    with pytest.raises(StoreError, match=f"{target} is the database itself"):
        await back_up(url, target, force=True)


async def test_no_database_is_nothing_to_back_up(tmp_path, target):
    with pytest.raises(StoreError, match=r"there is no database .*none\.db yet"):
        await back_up(f"sqlite+aiosqlite:///{tmp_path}/none.db", target)

    assert not target.exists()


async def test_another_programs_database_is_not_copied(tmp_path, target):
    notes = tmp_path / "notes.db"
    ask(notes, "CREATE TABLE notes (words)")

    with pytest.raises(StoreError, match="is another program's database"):
        await back_up(f"sqlite+aiosqlite:///{notes}", target)


async def test_a_database_of_another_version_is_copied_as_it_is(url, path, target):
    ask(path, "UPDATE alembic_version SET version_num = '9999'")

    await back_up(url, target)

    assert ask(target, "SELECT version_num FROM alembic_version") == [("9999",)]


async def test_a_folder_that_is_not_there_is_named(url, tmp_path):
    with pytest.raises(StoreError, match=f"there is no folder {tmp_path}/none: create it, or"):
        await back_up(url, tmp_path / "none" / "copy.db")


async def test_a_folder_is_no_place_for_a_copy(url, target):
    target.mkdir()

    with pytest.raises(StoreError, match=f"{target} is a folder: choose a file in it, such as"):
        await back_up(url, target, force=True)


async def test_a_folder_that_cannot_be_written_is_named(url, path):
    with pytest.raises(StoreError, match=r"cannot be copied to /proc/copy\.db .*choose a file in"):
        await back_up(url, Path("/proc/copy.db"))


async def test_a_database_on_a_full_disk_is_copied_to_another(path, target, small_disk):
    full = small_disk / "bot.db"
    await prepare_database(f"sqlite+aiosqlite:///{full}")
    bot = sqlite3.connect(full)
    bot.execute(ROW, (1, "hello"))
    bot.commit()
    fill_up(small_disk)

    while_the_bot_runs = await back_up(f"sqlite+aiosqlite:///{full}", target)
    bot.close()
    (small_disk / "filler").unlink()
    fill_up(small_disk)
    with pytest.raises(StoreError, match=r"bot\.db cannot be read \(disk I/O error\): free space"):
        await back_up(f"sqlite+aiosqlite:///{full}", target, force=True)

    assert while_the_bot_runs.messages == 1
    assert ask(target, "SELECT text FROM messages") == [("hello",)]


async def test_a_full_disk_leaves_no_copy_and_the_old_one(url, path, small_disk):
    fill(path, range(2000), "hello " * 100)
    old = small_disk / "copy.db"
    old.write_text("an older copy")

    with pytest.raises(
        StoreError, match=r"\(database or disk is full\): choose a file in a writable"
    ):
        await back_up(url, old, force=True)

    assert names(small_disk) == [old.name]
    assert old.read_text() == "an older copy"
