"""What the tests of the store share."""

import pytest

from bot.store.database import prepare_database
from tests.bot.small_disk import remount, small_disk

__all__ = ["remount", "small_disk"]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
async def migrated(request, tmp_path, monkeypatch):
    """The URL of a database with the current tables, of each kind."""
    if request.param == "SQLite":
        url = f"sqlite+aiosqlite:///{tmp_path}/bot.db"
        await prepare_database(url)
        return url
    monkeypatch.chdir(tmp_path)  # where its send log is
    return await request.getfixturevalue("postgres").make_migrated()
