"""What only PostgreSQL has: its server, its lock, its errors, and the copy from an SQLite file."""

import asyncio
from functools import partial

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select

from bot.errors import StoreError
from bot.services.dump import dump
from bot.store import Store
from bot.store.backup import back_up
from bot.store.copying import copy_database
from bot.store.database import (
    Version,
    is_locked,
    lock_database,
    make_backend,
    open_database,
    prepare_database,
    read_version,
    upgrade_database,
)
from bot.store.groups import StoredDecision
from bot.store.names import save_names
from bot.store.tables import decisions, messages, metadata, server_metadata, stickers
from tests.bot.store.test_both_databases import AT, CHAT, said, speak


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sqlite(tmp_path):
    return f"sqlite+aiosqlite:///{tmp_path}/bot.db"


async def test_an_empty_database_gets_the_tables_that_the_code_uses(postgres):
    url = postgres.make()
    assert await read_version(url) is Version.MISSING

    await prepare_database(url)

    assert await read_version(url) is Version.CURRENT
    async with open_database(url) as database:

        def compare(connection):
            ours = {"include_name": lambda name, *_: not (name or "").startswith("procrastinate")}
            context = MigrationContext.configure(connection, opts=ours)
            return compare_metadata(context, [metadata, server_metadata])

        found = await database.read(compare)
    assert found == []
    assert not await upgrade_database(url)


async def test_another_programs_database_is_left_alone(postgres):
    url = postgres.make()
    postgres.run("CREATE TABLE alembic_version (version_num text)", f"t{postgres.number}")
    postgres.run("INSERT INTO alembic_version VALUES ('0001')", f"t{postgres.number}")

    assert await read_version(url) is Version.FOREIGN
    with pytest.raises(StoreError, match="another program's database"):
        await upgrade_database(url)


async def test_processes_of_one_bot_share_a_database_and_nobody_else_does(postgres):
    url = await postgres.make_migrated()

    with lock_database(url, 7), lock_database(url, 7):
        assert is_locked(url)
        for other in (None, 8):  # an upgrade, and another bot
            with pytest.raises(StoreError, match="another understudy-bot is using the database"):
                await asyncio.to_thread(lock_database(url, other).__enter__)

    with lock_database(url), pytest.raises(StoreError, match="another understudy-bot"):
        await asyncio.to_thread(lock_database(url, 7).__enter__)
    with lock_database(url, 8):
        pass


async def test_only_one_upgrade_at_a_time(postgres):
    url, other = await postgres.make_migrated(), await postgres.make_migrated()

    with lock_database(url):
        assert is_locked(url)
        assert not is_locked(other)
        with pytest.raises(
            StoreError, match=r"another understudy-bot is using the database t\d+ on"
        ):
            await asyncio.to_thread(lock_database(url).__enter__)
        with lock_database(other):
            pass

    assert not is_locked(url)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://bot:SECRET@127.0.0.1:9/understudy", "cannot be reached: start the server"),
        ("postgresql+asyncpg://bot:SECRET@localhost:9/understudy", "cannot be reached"),
    ],
)
async def test_a_server_that_does_not_answer_is_named_without_its_password(url, text):
    with pytest.raises(StoreError, match=text) as error:
        await read_version(url)

    assert "SECRET" not in str(error.value)
    assert "understudy on " in str(error.value)


async def test_a_lost_connection_is_opened_again(postgres):
    url = await postgres.make_migrated()
    async with open_database(url) as database:
        store = Store.of(database)
        await store.messages.save(said(1))
        postgres.disconnect_all()
        await store.messages.save(said(2))

        assert await store.messages.count() == 2


async def test_a_backup_is_the_servers_work(postgres, tmp_path):
    with pytest.raises(StoreError, match="back it up with pg_dump"):
        await back_up(await postgres.make_migrated(), tmp_path / "copy.db")


async def fill(url):
    """Store something in most tables."""
    await prepare_database(url)
    async with open_database(url) as database:
        store = Store.of(database)
        for number in range(1, 4):
            await store.messages.save(said(number, words=f"é 😀 {number}"))
        await speak(store, 20, (1,))
        await store.decisions.add(StoredDecision(7, "optin", AT, CHAT))
        rows = [
            {"chat_id": CHAT, "file_unique_id": one, "emoji": one, "file_id": one, "used": 1}
            for one in ("b", "A", "é", "_", "a")
        ]
        await database.write(lambda one: one.execute(insert(stickers), rows))
        for name in ("b", "A", "é", "_", "a"):
            await database.write(partial(save_names, shown={7: name}))


async def rows_of(url):
    async with open_database(url) as database:

        def read(connection):
            return {
                name: sorted(map(repr, connection.execute(select(table)).all()))
                for name, table in metadata.tables.items()
            }

        return await database.read(read)


async def test_a_file_is_copied_to_the_server_and_new_rows_get_new_numbers(postgres, sqlite):
    await fill(sqlite)
    url, tables = postgres.make(), []

    await copy_database(sqlite, url, tables.append)

    assert await rows_of(url) == await rows_of(sqlite)
    assert {one.name: one.copied for one in tables}["stickers"] == 5
    async with open_database(url) as database:
        await Store.of(database).decisions.add(StoredDecision(8, "optin", AT, CHAT))
        numbers = await database.read(
            lambda one: one.execute(select(decisions.c.id)).scalars().all()
        )
    assert sorted(numbers) == [1, 2]


async def test_a_stopped_copy_is_continued(postgres, sqlite, monkeypatch):
    await fill(sqlite)
    url, tables = postgres.make(), []
    monkeypatch.setattr("bot.store.copying._ROWS", 2)

    def stop(table):
        if table.name == "messages":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copy_database(sqlite, url, stop)
    async with open_database(url) as database:
        last = messages.delete().where(messages.c.message_id > 1)
        await database.write(lambda one: one.execute(last))
    await copy_database(sqlite, url, tables.append)

    assert await rows_of(url) == await rows_of(sqlite)
    assert {one.name: one.copied for one in tables}["messages"] == 3


async def test_a_copy_into_other_rows_is_refused(postgres, sqlite):
    await fill(sqlite)
    url = await postgres.make_migrated()
    async with open_database(url) as database:
        await Store.of(database).messages.save(said(1, words="other words"))

    with pytest.raises(StoreError, match="copy into an empty database"):
        await copy_database(sqlite, url, lambda _: None)


async def test_the_bot_answers_remembers_and_dumps(postgres, stage, group, joao, zoe, tmp_path):
    url = await postgres.make_migrated()
    for number in (1, 2):
        async with stage.running_process(database_url=url, admins=frozenset({joao.id})):
            await stage.telegram.say(group, zoe, f"who has news? {number}")
            answer = await stage.answer(group, joao, "/as João")
            status = await stage.answer(stage.telegram.private(joao), joao, "/status")

    assert answer["text"].startswith("🎭 João\n")
    assert "Zoe: who has news? 1" in stage.speaker.context[0]
    assert f"Database: t{postgres.number}.postgresql" in status["text"]
    assert make_backend(url).size() > 0
    file = tmp_path / "live.json"
    held = await dump(stage.settings(database_url=url), stage.models, file, None)
    assert (held.friends, held.own) == (2, 2)
    assert "João number 2" in file.read_text("utf-8")


async def test_an_upgrade_gives_its_lock_back_at_once(postgres):
    for _ in range(5):
        url = postgres.make()
        await upgrade_database(url)

        with lock_database(url):
            pass
