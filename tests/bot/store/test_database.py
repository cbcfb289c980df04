"""The database file: made by Alembic, private, refused where it is of another version."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from bot.errors import StoreError
from bot.store.database import (
    Version,
    is_locked,
    lock_database,
    open_database,
    prepare_database,
    read_version,
    upgrade_database,
)
from bot.store.tables import metadata

REVISIONS = "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a folder" / "bot 100%.db"


@pytest.fixture
def url(path):
    return f"sqlite+aiosqlite:///{path}"


def rewrite(path, statement):
    connection = sqlite3.connect(path)
    connection.executescript(statement)
    connection.close()


async def test_it_is_made_where_there_is_none(url, path):
    before = await read_version(url)
    await prepare_database(url)
    after = await read_version(url)

    assert (before, after) == (Version.MISSING, Version.CURRENT)
    assert path.is_file()


async def test_asking_for_the_version_makes_nothing(url, path):
    await read_version(url)

    assert not path.parent.exists()


async def test_asking_for_the_version_changes_nothing(url, path):
    await prepare_database(url)
    path.chmod(0o644)
    before = path.read_bytes()

    await read_version(url)

    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (before, 0o644)


async def test_the_version_is_known_while_the_bot_writes(url):
    await upgrade_database(url)

    async with open_database(url) as database:
        await database.write(lambda connection: connection.exec_driver_sql("DELETE FROM messages"))
        found = await read_version(url)

    assert found is Version.CURRENT


async def test_the_migrations_make_the_tables_that_the_code_uses(url):
    await prepare_database(url)

    async with open_database(url) as database:
        difference = await database.read(
            lambda one: compare_metadata(MigrationContext.configure(one), metadata)
        )

    assert difference == []


async def test_only_its_owner_may_read_it_and_the_files_beside_it(url, path):
    path.parent.mkdir()
    path.touch(mode=0o644)

    await prepare_database(url)
    async with open_database(url) as database:
        await database.write(lambda connection: connection.exec_driver_sql("DELETE FROM messages"))
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}

    assert modes == {f"{path.name}{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}


async def test_it_is_set_up_to_be_read_while_it_is_written(url):
    await prepare_database(url)

    def pragmas(connection):
        names = ("journal_mode", "foreign_keys", "busy_timeout")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    async with open_database(url) as database:
        found = [await use(pragmas) for use in (database.read, database.write)]

    assert found == [["wal", 1, 5000]] * 2


async def test_no_transaction_waits_for_a_blocked_event_loop(url, path):
    await prepare_database(url)

    async with open_database(url) as database:
        change = database.write(lambda one: one.exec_driver_sql("DELETE FROM messages"))
        writing = asyncio.create_task(change)
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the transaction has been handed to the writing thread
        with closing(sqlite3.connect(path, timeout=2)) as other, other:  # this blocks the loop
            other.execute("DELETE FROM messages")
        await writing


async def test_an_older_version_is_refused(url, monkeypatch):
    await prepare_database(url)
    monkeypatch.setattr(ScriptDirectory, "get_current_head", lambda _: "9999")

    with pytest.raises(StoreError, match="run `understudy-bot db upgrade`"):
        await prepare_database(url)

    assert await read_version(url) is Version.OLDER


@pytest.mark.parametrize("use", [prepare_database, upgrade_database])
async def test_a_database_from_before_the_first_release_says_how_to_keep_its_messages(
    url, path, use
):
    await prepare_database(url)
    rewrite(path, "UPDATE alembic_version SET version_num = '0008'")
    before = path.read_bytes()

    with pytest.raises(StoreError, match=r"before 0\.1\.0: run `understudy-bot dump` with"):
        await use(url)

    assert await read_version(url) is Version.UNRELEASED
    assert path.read_bytes() == before


async def test_a_newer_version_is_refused(url, path):
    await prepare_database(url)
    rewrite(path, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreError, match="newer version"):
        await prepare_database(url)

    assert await read_version(url) is Version.NEWER


@pytest.mark.parametrize("use", [prepare_database, upgrade_database])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE notes (words)",
        "CREATE TABLE messages (id, words)",
        "CREATE TABLE messages (chat_id, message_id)",
        f"CREATE TABLE notes (words); {REVISIONS} ('0001')",
        f"CREATE TABLE notes (words); {REVISIONS} ('a'), ('b')",
    ],
    ids=["notes", "messages", "messages like ours", "our revision", "two branches"],
)
async def test_another_programs_database_is_left_alone(url, path, statement, use):
    path.parent.mkdir()
    rewrite(path, statement)
    before = path.read_bytes()

    with pytest.raises(StoreError, match=f"{path} is another program's database: choose another"):
        await use(url)

    assert await read_version(url) is Version.FOREIGN
    assert path.read_bytes() == before


async def test_an_upgrade_of_a_newer_one_is_refused(url, path):
    await prepare_database(url)
    rewrite(path, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreError, match="newer version"):
        await upgrade_database(url)


async def test_an_upgrade_makes_it_once(url):
    first = await upgrade_database(url)
    second = await upgrade_database(url)

    assert (first, second) == (True, False)


async def test_an_empty_file_is_no_older_version(url, path):
    path.parent.mkdir()
    path.touch()

    await prepare_database(url)

    assert await read_version(url) is Version.CURRENT


async def test_a_migration_that_fails_leaves_nothing_half_made(url, path):
    path.parent.mkdir()
    rewrite(path, "CREATE VIEW messages_in_order AS SELECT 1")  # the index's name is taken

    with pytest.raises(Exception, match="messages_in_order"):
        await prepare_database(url)

    assert await read_version(url) is Version.MISSING


async def test_another_file_is_no_database(url, path):
    path.parent.mkdir()
    path.write_text("dear diary, " * 100, "utf-8")

    with pytest.raises(StoreError, match="cannot be read as a database"):
        await prepare_database(url)


@pytest.mark.parametrize("use", [read_version, prepare_database, upgrade_database])
async def test_a_folder_is_no_database(url, path, use):
    path.mkdir(parents=True)

    with pytest.raises(StoreError, match=r"is not a file: choose another file in DATABASE"):
        await use(url)


@pytest.mark.parametrize("use", [read_version, prepare_database, upgrade_database])
async def test_nothing_can_be_made_below_a_file(url, path, use):
    path.parent.touch()

    with pytest.raises(StoreError, match="cannot be created below a file"):
        await use(url)


async def test_a_folder_in_which_nobody_can_write_is_named():
    with pytest.raises(
        StoreError, match=r"^the database /proc/understudy\.db .*choose another file"
    ):
        await prepare_database("sqlite+aiosqlite:////proc/understudy.db")


@pytest.mark.parametrize("use", [read_version, prepare_database, upgrade_database])
async def test_a_folder_of_somebody_else_is_named(url, monkeypatch, use):
    await prepare_database(url)
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write anywhere

    with pytest.raises(StoreError, match="in a folder that is not yours"):
        await use(url)


async def test_a_database_that_cannot_be_written_is_named(url, path, monkeypatch):
    await prepare_database(url)
    monkeypatch.setattr("bot.store.sqlite.BUSY_SECONDS", 0)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match=r"cannot be written \(database is locked\)"):
        await prepare_database(url)
    writer.close()


HOLD = """
import subprocess, sys
from bot.store.database import lock_database
with lock_database(sys.argv[1]):
    child = subprocess.Popen(["sleep", "30"])
    print(child.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(url):
    """A process that uses the database and has a child that survives it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    yield process
    process.kill()
    os.kill(child, signal.SIGKILL)  # it holds standard output open
    process.communicate()


def test_a_database_is_locked_until_its_process_ends_or_is_killed(url, path, holder):
    with (
        pytest.raises(StoreError, match="another understudy-bot is using the database"),
        lock_database(url),
    ):
        pass
    was_locked = is_locked(url)

    holder.kill()
    holder.wait()

    assert was_locked
    assert not is_locked(url)
    with lock_database(url):
        assert is_locked(url)
    assert path.with_name("bot 100%.db.lock").stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_has_the_same_lock(url, path, holder):
    link = path.parent.with_name("link.db")
    link.symlink_to(path)

    assert is_locked(f"sqlite+aiosqlite:///{link}")


@pytest.mark.skipif(sys.platform != "linux", reason="locks by name only")
def test_a_hard_link_in_another_folder_has_the_same_lock(url, path, tmp_path, holder):
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.hardlink_to(path)
    other = f"sqlite+aiosqlite:///{link}"

    assert is_locked(other)
    with pytest.raises(StoreError, match="stop that one first"), lock_database(other):
        pass
    holder.kill()
    holder.wait()
    with lock_database(other):
        assert is_locked(url)
    assert not is_locked(url)


def test_checking_the_lock_creates_no_file(url, path):
    assert not is_locked(url)
    assert not path.parent.exists()


def test_a_lock_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "bot.db.lock").mkdir()

    with (
        pytest.raises(StoreError, match=r"the lock .*bot\.db\.lock cannot be acquired"),
        lock_database(f"sqlite+aiosqlite:///{tmp_path}/bot.db"),
    ):
        pass


async def test_an_upgrade_is_refused_while_a_bot_runs(url, holder):
    with pytest.raises(StoreError, match="stop that one first"):
        await upgrade_database(url)
