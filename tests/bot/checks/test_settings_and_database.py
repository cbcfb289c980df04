"""What the check says of .env, of the database and of the room beside it."""

import sqlite3

import pytest
from alembic.script import ScriptDirectory

from bot.store.database import prepare_database

pytestmark = pytest.mark.over_http


@pytest.fixture
async def path(stage):
    """An up-to-date database, where the settings say."""
    await prepare_database(stage.settings().database_url)
    return stage.folder / "bot.db"


async def test_settings_that_others_can_read_hold_the_token(desk):
    (desk.folder / ".env").touch(mode=0o644)

    assert await desk.says("settings") == (
        "FIX other users can read .env and the token: run chmod 600 .env"
    )


async def test_settings_of_ones_own(desk):
    (desk.folder / ".env").touch(mode=0o600)

    assert await desk.says("settings") == "ok valid, and only you can read .env"


async def test_settings_without_a_file_say_where_one_was_looked_for(desk):
    assert await desk.says("settings") == (f"ok valid; there is no .env in {desk.folder}")


async def test_a_database_that_others_can_read(desk, path):
    path.chmod(0o640)

    assert await desk.says("database") == (
        f"FIX other users can read {path} and all messages: run chmod 600 {path}"
    )


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "was created by a newer version"),
        ("DROP TABLE messages", "is another program's database"),
    ],
)
async def test_a_database_of_another_make(desk, path, statement, words):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()

    said = await desk.says("database")

    assert said.startswith("FIX ")
    assert words in said


async def test_an_older_database(desk, path, monkeypatch):
    monkeypatch.setattr(ScriptDirectory, "get_current_head", lambda _: "9999")

    said = await desk.says("database")

    assert said.startswith(f"FIX the database {path} has an older schema: stop the bot")
    assert said.endswith("run `understudy-bot db upgrade`")


async def test_a_database_that_cannot_be_written(desk, small_disk, remount):
    url = f"sqlite+aiosqlite:///{small_disk}/bot.db"
    await prepare_database(url)
    remount("ro")

    said = await desk.says("database", database_url=url)

    assert said.startswith("FIX ")
    assert "choose another file in DATABASE_URL" in said


async def test_a_database_that_is_well(desk, path):
    assert await desk.says("database") == f"ok {path} is up to date"


async def test_a_disk_that_is_nearly_full(desk, small_disk):
    url = f"sqlite+aiosqlite:///{small_disk}/not/yet/bot.db"

    said = await desk.says("disk", database_url=url)

    assert said.startswith(f"FIX 0 MiB are free in {small_disk}; messages will soon no longer fit")


async def test_a_disk_that_fills(desk, small_disk, remount):
    remount("size=200m")

    said = await desk.says("disk", database_url=f"sqlite+aiosqlite:///{small_disk}/bot.db")

    assert said == f"note 200 MiB are free in {small_disk}: free some space before it is full"
