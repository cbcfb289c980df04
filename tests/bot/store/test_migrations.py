"""The migrations, up and down again, on a file that holds messages."""

import sqlite3

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from bot.store.database import (
    Version,
    alembic_config,
    open_database,
    read_version,
    upgrade_database,
)
from bot.store.tables import metadata

SCRIPTS = ScriptDirectory.from_config(alembic_config())
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()][::-1]
FIRST = REVISIONS[0]
ROW = """
INSERT INTO messages (chat_id, message_id, author_id, text, sent_at, is_forward, is_from_bot)
VALUES (-5, 1, 7, 'kept', '2024-05-01 12:00:00.000000', 0, 0)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bot.db"


@pytest.fixture
def url(path):
    return f"sqlite+aiosqlite:///{path}"


async def migrate(url, way, revision):
    """Run Alembic's `upgrade` or `downgrade` in one transaction, as the bot does."""
    async with open_database(url) as database:
        await database.write(lambda connection: way(alembic_config(connection), revision))


async def difference(url):
    async with open_database(url) as database:
        return await database.read(
            lambda one: compare_metadata(MigrationContext.configure(one), metadata)
        )


def ask(path, question):
    connection = sqlite3.connect(path, isolation_level=None)
    answer = connection.execute(question).fetchall()
    connection.close()
    return answer


def test_there_is_one_line_of_revisions():
    assert SCRIPTS.get_heads() == [REVISIONS[-1]]
    assert SCRIPTS.get_bases() == [FIRST]


async def test_down_to_nothing_and_up_again_makes_the_tables_that_the_code_uses(url, path):
    await upgrade_database(url)
    ask(path, ROW)

    await migrate(url, command.downgrade, "base")
    left = ask(path, "SELECT name FROM sqlite_master WHERE name NOT LIKE 'alembic%'")
    empty = await read_version(url)
    await upgrade_database(url)

    assert [name for [name] in left if not name.startswith("sqlite_")] == []
    assert empty is Version.MISSING
    assert await difference(url) == []
    assert ask(path, "SELECT count(*) FROM messages") == [(0,)]
