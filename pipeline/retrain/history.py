"""Store the merged history of a chat between retraining runs."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from model.artifacts.database import DAMAGED, erase_deleted, read_database, write_database
from model.chat.telegram_ids import is_copy_id
from pipeline.export.entries import Row
from pipeline.versions.ledger import Ledger, join_id, load_ledger, split_id, store_ledger

_ROWS = """
SELECT space, number, kind, at, author_id, name, text, reply_space, reply, flags, edited
FROM messages WHERE chat_id = ? ORDER BY space DESC, number
"""
_UPSERT = """
INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  (kind, at, author_id, name, text, reply_space, reply, flags, edited) =
  (excluded.kind, excluded.at, excluded.author_id, excluded.name, excluded.text,
   excluded.reply_space, excluded.reply, excluded.flags, excluded.edited)
WHERE (kind, at, author_id, name, text, reply_space, reply, flags, edited) IS NOT
  (excluded.kind, excluded.at, excluded.author_id, excluded.name, excluded.text,
   excluded.reply_space, excluded.reply, excluded.flags, excluded.edited)
"""
_OF_CHAT = ("messages", "exports", "export_ranges", "forgotten", "aliases", "chats")


@dataclass(frozen=True, slots=True)
class ExportRange:
    """The ids and times from an export's first message to its last; times in Unix seconds."""

    first: int
    last: int
    begin: int
    newest: int

    def contains(self, number: int) -> bool:
        """Whether the export must have the message with this id, unless it was deleted."""
        return self.first <= number <= self.last

    def has_under_other_id(self, number: int, at: int) -> bool:
        """Whether the export must have this message under another id, unless it was deleted."""
        in_time = self.begin <= at <= self.newest
        return in_time and not self.contains(number) and not is_copy_id(number)


@dataclass(frozen=True, slots=True)
class HistoryHeader:
    """The facts about a chat that are stored with its messages.

    `ranges` are the id ranges and `exports` the sha256 hashes of the merged exports. `former` is
    the id of the basic group that this supergroup was. `utc_offsets` are the days on which the
    exports' offset from UTC changed, with the new offset in minutes.
    """

    chat_id: int
    number: int
    name: str
    kind: str
    ranges: tuple[ExportRange, ...] = ()
    exports: tuple[str, ...] = ()
    former: int | None = None
    utc_offsets: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """A chat's stored history; `header` is None if nothing is stored yet.

    `stored_id` is the id under which the messages are stored: a basic group's until its history has
    been written as its supergroup's.
    """

    root: Path
    ledger: Ledger
    header: HistoryHeader | None
    stored_id: int

    def rows(self, names: dict[str | None, int]) -> Iterator[Row]:
        """Yield the rows; add new names to `names`, which maps them to a spool's numbers.

        Raises:
            ArtifactError: The database is damaged.
        """
        if self.header is None:
            return
        chat = self.header.chat_id
        with read_database(self.root) as connection:
            for space, number, kind, at, author, name, text, *rest in connection.execute(
                _ROWS, (self.stored_id,)
            ):
                reply_space, reply, flags, edited = rest
                answered = None if reply is None else join_id(reply_space, reply)
                named = names.setdefault(name, len(names))
                own = join_id(space, number)
                yield Row(chat, own, kind, at, author, named, text, answered, flags, edited)


def open_history(root: Path, chat_id: int) -> History:
    """Read what is stored of a chat, except its messages; create nothing.

    Raises:
        ArtifactError: The database is damaged.
    """
    with read_database(root) as connection:
        header = _load_header(connection, chat_id)
        return History(root, load_ledger(connection, chat_id), header, chat_id)


def list_chats(root: Path) -> list[HistoryHeader]:
    """Return the chats with a history in a models folder.

    Raises:
        ArtifactError: The database is damaged.
    """
    with read_database(root) as connection:
        ids = connection.execute("SELECT chat_id FROM chats ORDER BY chat_id").fetchall()
        headers = [_load_header(connection, number) for (number,) in ids]
        return [header for header in headers if header]


def write_history(
    history: History, header: HistoryHeader, rows: Iterable[Row], names: list[str | None]
) -> History:
    """Replace what is stored of a chat, and of the basic group that it was; return the new history.

    This is one transaction: a kill leaves everything as it was. `names` are indexed by the rows'
    name numbers. What was deleted or changed is overwritten in the file.
    """
    chat, ledger = header.chat_id, history.ledger
    kept: set[tuple[str, int]] = set()

    def values() -> Iterator[tuple[object, ...]]:
        for _, number, kind, at, author, name, text, reply, flags, edited in rows:
            own = split_id(number)
            kept.add(own)
            answered = (None, None) if reply is None else split_id(reply)
            yield chat, *own, kind, at, author, names[name], text, *answered, flags, edited

    with write_database(history.root) as connection:
        (before,) = connection.execute("SELECT count(*) FROM messages").fetchone()
        connection.executemany(_UPSERT, values())
        changed = connection.total_changes
        (now,) = connection.execute("SELECT count(*) FROM messages").fetchone()
        stored = connection.execute("SELECT space, number FROM messages WHERE chat_id = ?", (chat,))
        gone = [own for own in stored if own not in kept]
        connection.executemany(
            "DELETE FROM messages WHERE chat_id = ? AND space = ? AND number = ?",
            ((chat, *own) for own in gone),
        )
        for table in _OF_CHAT:
            query = f"DELETE FROM {table} WHERE chat_id = ?"  # noqa: S608  a constant
            connection.execute(query, (header.former,))
        _store_header(connection, header, ledger)
        store_ledger(connection, chat, ledger)
    has_damaged = any(history.root.glob(f"{DAMAGED}*"))  # of which this history takes the place
    if gone or changed > now - before or history.stored_id != chat or has_damaged:
        erase_deleted(history.root)
    return History(history.root, ledger, header, chat)


def _load_header(connection: sqlite3.Connection, chat_id: int) -> HistoryHeader | None:
    query = "SELECT number, name, kind, former, utc_offsets FROM chats WHERE chat_id = ?"
    if (row := connection.execute(query, (chat_id,)).fetchone()) is None:
        return None
    number, name, kind, former, utc_offsets = row
    query = "SELECT first, last, begin, newest FROM export_ranges WHERE chat_id = ? ORDER BY place"
    ranges = connection.execute(query, (chat_id,)).fetchall()
    query = "SELECT sha256 FROM exports WHERE chat_id = ? ORDER BY place"
    exports = connection.execute(query, (chat_id,)).fetchall()
    return HistoryHeader(
        chat_id,
        number,
        name,
        kind,
        tuple(ExportRange(*one) for one in ranges),
        tuple(sha256 for (sha256,) in exports),
        former,
        tuple((day, minutes) for day, minutes in json.loads(utc_offsets)),
    )


def _store_header(connection: sqlite3.Connection, header: HistoryHeader, ledger: Ledger) -> None:
    chat = header.chat_id
    connection.execute(
        "INSERT OR REPLACE INTO chats VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            chat, header.number, header.name, header.kind, header.former,
            json.dumps(header.utc_offsets), json.dumps(sorted(ledger.understudies)),
            ledger.deleted,
        ),
    )  # fmt: skip
    connection.execute("DELETE FROM exports WHERE chat_id = ?", (chat,))
    connection.executemany(
        "INSERT INTO exports VALUES (?, ?, ?)",
        ((chat, place, sha256) for place, sha256 in enumerate(header.exports)),
    )
    connection.execute("DELETE FROM export_ranges WHERE chat_id = ?", (chat,))
    connection.executemany(
        "INSERT INTO export_ranges VALUES (?, ?, ?, ?, ?, ?)",
        ((chat, place, *astuple(one)) for place, one in enumerate(header.ranges)),
    )
