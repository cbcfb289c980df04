"""The database file: made by Alembic, private, refused where it is of another version."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bot.errors import StoreError
from bot.store.database import Version, opened, prepare, upgrade, version_of
from bot.store.tables import metadata


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
    before = await version_of(url)
    await prepare(url)
    after = await version_of(url)

    assert (before, after) == (Version.MISSING, Version.CURRENT)
    assert path.is_file()


async def test_asking_for_the_version_makes_nothing(url, path):
    await version_of(url)

    assert not path.parent.exists()


async def test_the_migrations_make_the_tables_that_the_code_uses(url):
    await prepare(url)

    async with opened(url) as engine, engine.connect() as connection:
        difference = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )

    assert difference == []


async def test_only_its_owner_may_read_it_and_the_files_beside_it(url, path):
    path.parent.mkdir()
    path.touch(mode=0o644)

    await prepare(url)
    async with opened(url) as engine, engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM messages")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}

    assert modes == {f"{path.name}{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}


async def test_it_is_set_up_to_be_read_while_it_is_written(url):
    await prepare(url)

    async with opened(url) as engine, engine.connect() as connection:
        found = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]

    assert found == ["wal", 1, 5000]


@pytest.mark.parametrize(
    ("statement", "version", "words"),
    [
        ("DELETE FROM alembic_version", Version.OLDER, "run `understudy-bot db upgrade`"),
        ("UPDATE alembic_version SET version_num = '9999'", Version.NEWER, "newer version"),
    ],
    ids=["older", "newer"],
)
async def test_another_version_is_refused(url, path, statement, version, words):
    await prepare(url)
    rewrite(path, statement)

    found = await version_of(url)
    with pytest.raises(StoreError, match=words):
        await prepare(url)

    assert found is version


async def test_an_upgrade_of_a_newer_one_is_refused(url, path):
    await prepare(url)
    rewrite(path, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreError, match="newer version"):
        await upgrade(url)


async def test_an_upgrade_makes_it_once(url):
    first = await upgrade(url)
    second = await upgrade(url)

    assert (first, second) == (True, False)


async def test_an_empty_file_is_no_older_version(url, path):
    path.parent.mkdir()
    path.touch()

    await prepare(url)

    assert await version_of(url) is Version.CURRENT


async def test_a_migration_that_fails_leaves_nothing_half_made(url, path):
    path.parent.mkdir()
    rewrite(path, "CREATE VIEW messages_in_order AS SELECT 1")  # the index's name is taken

    with pytest.raises(Exception, match="messages_in_order"):
        await prepare(url)

    assert await version_of(url) is Version.MISSING


async def test_another_file_is_no_database(url, path):
    path.parent.mkdir()
    path.write_text("dear diary, " * 100, "utf-8")

    with pytest.raises(StoreError, match="cannot be read as a database"):
        await prepare(url)
