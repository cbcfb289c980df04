"""The unused bytes of SQLite's pages are cleared while others write."""

import random
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from bot.store.wipe import PAGES_CHANGED, clear, shrink, unused_ranges
from tests.bot.database_files import find_words

SIZES = (5, 30, 80, 300, 1500, 6000)


def connected(path):
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("PRAGMA secure_delete=ON")
    return connection


def fill(path, page_size, vacuum, seed=1):
    """Make a table whose rows have moved between pages, and erase those with SECRET."""
    chance = random.Random(seed)
    with closing(connected(path)) as database:
        database.execute(f"PRAGMA page_size={page_size}")
        database.execute(f"PRAGMA auto_vacuum={vacuum}")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE said (id INTEGER PRIMARY KEY, name TEXT UNIQUE, text TEXT)")
        database.execute("BEGIN")
        for number in range(1500):
            word = chance.choice(["SECRET", "gone", "kept"])
            text = f"{word}x " + "w" * chance.choice(SIZES)
            values = (chance.randint(1, 10**9), f"{word}-{number}", text)
            database.execute("INSERT INTO said VALUES (?, ?, ?)", values)
        database.execute("COMMIT")
        database.execute("DELETE FROM said WHERE text LIKE 'gone%'")
        database.execute("DELETE FROM said WHERE text LIKE 'SECRET%'")
        return database.execute("SELECT * FROM said ORDER BY id").fetchall()


@pytest.mark.parametrize(("page_size", "vacuum"), [(512, 2), (4096, 2), (4096, 0), (65536, 2)])
def test_nothing_is_left_and_the_rows_are_as_they_were(tmp_path, page_size, vacuum):
    path = tmp_path / "bot.db"
    kept = fill(path, page_size, vacuum)
    with closing(connected(path)) as database, path.open("r+b", buffering=0) as file:
        assert page_size == 512 or find_words(tmp_path, "SECRET")

        clear(path, file, threading.Lock(), time.sleep)
        shrink(path, threading.Lock(), time.sleep)

        assert not find_words(tmp_path, "SECRET", "gonex")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT * FROM said ORDER BY id").fetchall() == kept


def test_concurrent_writers_lose_nothing_and_restore_no_erased_text(tmp_path):
    path = tmp_path / "bot.db"
    kept = fill(path, 4096, 2)
    begun, ended = threading.Event(), threading.Event()
    edits = [0]

    def write():
        with closing(connected(path)) as database:  # it has pages in its cache
            database.execute("SELECT sum(length(text)) FROM said").fetchall()
            while not ended.is_set():
                number, name, _ = kept[edits[0] % len(kept)]
                change = "UPDATE said SET text = ? WHERE id = ?"
                database.execute(change, (f"keptx {name} {'e' * (edits[0] % 900)}", number))
                edits[0] += 1
                begun.set()
                ended.wait(0.002)

    writer = threading.Thread(target=write)
    with closing(connected(path)) as database, path.open("r+b", buffering=0) as file:
        writer.start()
        assert begun.wait(30)
        clear(path, file, threading.Lock(), time.sleep)
        ended.set()
        writer.join()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        assert edits[0] > 1
        assert not find_words(tmp_path, "SECRET", "gonex")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM said").fetchone() == (len(kept),)


def test_free_pages_are_given_back_many_at_a_time(tmp_path):
    path = tmp_path / "bot.db"
    fill(path, 512, 2)
    rests = []
    with closing(connected(path)) as database:
        [free] = database.execute("PRAGMA freelist_count").fetchone()

        shrink(path, threading.Lock(), rests.append)

        assert database.execute("PRAGMA freelist_count").fetchone() == (0,)
    assert len(rests) <= free / PAGES_CHANGED + 2


def test_a_page_of_another_kind_has_no_unused_bytes():
    assert unused_ranges(bytes(4096), 0, 4096) == []
    assert unused_ranges(b"\x0d" + b"\xff" * 4095, 0, 4096) == []
