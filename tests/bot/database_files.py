"""Read a bot's database, by queries or byte by byte."""

import sqlite3
from contextlib import closing


def rows(stage, query):
    """Return the rows of a query in the database of a stage."""
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database:
        return database.execute(query).fetchall()


def find_in_rows(path, word):
    """Return the tables of a database that hold a word in any column."""
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return [
            table
            for (table,) in tables
            for row in database.execute(f"SELECT * FROM {table}")  # noqa: S608  our own names
            if word in str(row)
        ]


def find_words(folder, *words):
    """Return each of these words that is in a file of the database, with the file's name.

    The log is read before the database: SQLite may move a text from the first to the second.
    """
    files = sorted(folder.glob("bot.db*"), reverse=True)
    assert files
    return [
        (word, file.name) for file in files for word in words if word.encode() in file.read_bytes()
    ]
