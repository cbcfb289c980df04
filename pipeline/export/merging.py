"""Merge the entries of several exports: duplicates, edits, order, topics, authors."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from model.chat.conversation import Message
from model.chat.telegram_ids import (
    MIGRATION_OFFSET,
    is_name_based_id,
    is_non_telegram_id,
    make_copy_id,
)
from pipeline.export.entries import EntryKind, Flag, Row

Position = tuple[int, int]
"""Seconds since 1970 and id of a message: they order the messages of a chat."""

START: Position = (0, -(2**62))
"""Before all messages."""


@dataclass(frozen=True, slots=True)
class Author:
    """An account that wrote in a chat.

    `names` are all names that Telegram showed, oldest first; a deleted account has none. `messages`
    counts those in the person's own words. A bot (`is_bot`) sent every message through a bot or
    with a bot's buttons. Accounts are known only `by_name` in old exports without ids, or with ids
    that are not Telegram's.
    """

    author_id: int
    names: tuple[str, ...]
    messages: int
    is_bot: bool = False
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class EntryCounts:
    """Entries of a chat by kind, its topics, and the times of the first and last message."""

    messages: int
    service: int
    unsupported: int
    topics: int
    first: datetime | None
    last: datetime | None


_FORWARD, _VIA_BOT, _BUTTONS = (int(f) for f in (Flag.FORWARD, Flag.VIA_BOT, Flag.BUTTONS))
_CACHE_KIB = 16_384
_CREATE = """
CREATE TABLE entry (
  chat INTEGER, id INTEGER, kind INTEGER, at INTEGER, author INTEGER, name INTEGER, text TEXT,
  reply INTEGER, flags INTEGER, edited INTEGER, topic INTEGER, clash INTEGER DEFAULT 0,
  file INTEGER,
  PRIMARY KEY (chat, id)
) WITHOUT ROWID
"""
_UPSERT = f"""
INSERT INTO entry (chat, id, kind, at, author, name, text, reply, flags, edited)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (chat, id) DO UPDATE SET
  (kind, at, author, name, text, reply, flags, edited, clash) =
  (excluded.kind, excluded.at, excluded.author, excluded.name, excluded.text, excluded.reply,
   excluded.flags, excluded.edited,
   clash + (excluded.author > 0 AND entry.author > 0 AND excluded.author != entry.author))
WHERE excluded.edited >= entry.edited
  AND (excluded.kind != {EntryKind.UNSUPPORTED:d} OR entry.kind = {EntryKind.UNSUPPORTED:d})
"""  # noqa: S608  constants
_TOPICS = f"""
WITH RECURSIVE member (id, topic) AS (
  SELECT id, id FROM entry WHERE chat = :chat AND kind = {EntryKind.TOPIC:d}
  UNION
  SELECT entry.id, member.topic FROM member CROSS JOIN entry INDEXED BY answers
  ON entry.chat = :chat AND entry.reply = member.id AND entry.kind != {EntryKind.TOPIC:d}
)
UPDATE entry SET topic = member.topic FROM member WHERE entry.chat = :chat AND entry.id = member.id
"""  # noqa: S608
_ORDER = """
CREATE TABLE ordered AS SELECT id FROM entry
WHERE chat = ? AND kind = 0 AND text != '' AND (at, id) >= (?, ?) ORDER BY topic, at, id
"""
_MESSAGES = """
SELECT entry.id, author, name, text, at, topic, reply, flags
FROM ordered CROSS JOIN entry ON entry.chat = ? AND entry.id = ordered.id ORDER BY ordered.rowid
"""
_OWN_WORDS = "(flags & 7) = 0 AND text != '' AND text NOT LIKE '[%]' AND text NOT LIKE '/%'"
_AUTHORS = f"""
SELECT author, count(*), min((flags & 6) != 0), sum({_OWN_WORDS} AND (at, id) >= (?, ?)) AS own
FROM entry WHERE chat = ? AND kind = 0 GROUP BY author ORDER BY own DESC, count(*) DESC, author
"""  # noqa: S608
_RECENT = f"""
SELECT text FROM entry WHERE chat = ? AND kind = 0 AND author = ? AND {_OWN_WORDS}
ORDER BY at DESC, id DESC LIMIT ?
"""  # noqa: S608
_NAMES = """
SELECT author, name FROM entry WHERE chat = ? AND kind = 0
GROUP BY author, name ORDER BY max(at), max(id)
"""
_REPEATED = """
SELECT author, text, count(*) FROM entry
WHERE chat = ? AND kind = 0 AND text != '' AND (at, id) >= (?, ?)
GROUP BY author, text HAVING count(*) > ?
"""
_WRITTEN = """
SELECT author, count(*) FROM entry
WHERE chat = ? AND kind = 0 AND text != '' AND (at, id) >= (?, ?)
GROUP BY author
"""
_HOURS = """
SELECT at / 3600 % 24, count(*) FROM entry WHERE chat = ? AND kind = 0 AND text != '' GROUP BY 1
"""
_MOVE = """
INSERT INTO entry (chat, id, kind, at, author, name, text, reply, flags, edited)
SELECT :new, id - :shift, kind, at, author, name, text, reply - :shift, flags, edited FROM entry
WHERE chat = :old
ON CONFLICT (chat, id) DO UPDATE SET (text, flags, edited) =
  (excluded.text, excluded.flags, excluded.edited)
WHERE excluded.edited > entry.edited
"""
_MOVED_BY_SERVICE = """
SELECT old.chat, new.text FROM entry AS old, entry AS new
WHERE old.chat IN (SELECT value FROM json_each(?)) AND old.kind = 3
  AND new.chat = ? AND new.kind = 4 AND abs(old.at - new.at) <= 5
"""
_ROWS_OF = """
SELECT chat, id, kind, at, author, name, text, reply, flags, edited FROM entry WHERE chat = ?
"""
_IDS_OF_FILE = """
SELECT entry.id, 1 FROM json_each(?3) CROSS JOIN entry
ON entry.chat = ?1 AND entry.id = json_each.value
WHERE entry.file = ?2
"""
_SET_FILE = "UPDATE entry SET file = ? WHERE chat = ? AND id = ?"
_MOVED_BY_COPIES = """
SELECT old.chat FROM entry AS old JOIN entry AS new ON new.chat = :new AND new.id = old.id - :shift
WHERE old.chat IN (SELECT value FROM json_each(:olds)) AND old.kind = 0 AND new.kind = 0
GROUP BY old.chat HAVING min(old.at = new.at AND old.author = new.author)
"""


class Spool:
    """All entries of the exports, merged in a temporary SQLite database.

    `names` maps each display name to its number, in order of first occurrence.
    """

    def __init__(self) -> None:
        self.names: dict[str | None, int] = {None: 0}
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("PRAGMA temp_store = FILE")
        self._base.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute(_CREATE)
        self._base.execute("BEGIN")

    def close(self) -> None:
        """Delete everything."""
        self._base.close()

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Add rows; of two versions of a message the later edit wins, then the later row."""
        self._base.executemany(_UPSERT, rows)

    def add_file_rows(self, file: int, rows: Iterable[Row]) -> int:
        """Add rows of one file; return how many messages had the id of another message in the file.

        Each of these gets a new id, which is the same in every file.
        """
        added: dict[int, Row] = {}
        copies: list[Row] = []
        rows = list(rows)
        ids = json.dumps([row.number for row in rows])
        existing = dict(self._base.execute(_IDS_OF_FILE, (rows[0].chat, file, ids)) if rows else ())
        for row in rows:
            other = added.get(row.number)
            if other is None and row.number in existing:
                query = f"{_ROWS_OF} AND id = ?"
                other = Row._make(self._base.execute(query, row[:2]).fetchone())
            if other is None or _is_same_message(other, row):
                added[row.number] = row
            else:
                number = make_copy_id(row.number, row.at, row.author, row.text)
                copies.append(row._replace(number=number))
        self.add_rows([*added.values(), *copies])
        self._base.executemany(_SET_FILE, [(file, row.chat, row.number) for row in added.values()])
        return len(copies)

    def rows(self, chat: int) -> Iterator[Row]:
        """Yield a chat's rows in order of id; their names are this spool's numbers."""
        yield from map(Row._make, self._base.execute(f"{_ROWS_OF} ORDER BY id", (chat,)))

    def delete_rows(self, chat: int, ids: Iterable[int]) -> None:
        """Delete entries of a chat."""
        query = "DELETE FROM entry WHERE chat = ? AND id = ?"
        self._base.executemany(query, ((chat, number) for number in ids))

    def replace_texts(self, chat: int, texts: Mapping[int, str]) -> None:
        """Replace the texts of a chat's entries, by id, and remove their display names."""
        query = "UPDATE entry SET text = ?, name = 0 WHERE chat = ? AND id = ?"
        self._base.executemany(query, ((text, chat, number) for number, text in texts.items()))

    def find_former_groups(self, chat: int, groups: Mapping[int, str | None]) -> list[int]:
        """Return the ids of the basic groups in `groups` (id to name) that became this supergroup.

        A group did if both chats record the move within five seconds and with the same name, or if
        the supergroup's export contains the group's messages, with the same authors and times.
        """
        ids = json.dumps(list(groups))
        values = {"new": chat, "olds": ids, "shift": MIGRATION_OFFSET}
        recorded = self._base.execute(_MOVED_BY_SERVICE, (ids, chat)).fetchall()
        copied = self._base.execute(_MOVED_BY_COPIES, values).fetchall()
        matching = {old for old, title in recorded if title in {"", groups[old] or ""}}
        return sorted(matching | {old for (old,) in copied})

    def merge_group(self, old: int, new: int) -> None:
        """Move a basic group's entries to its supergroup, with the ids from the latter's export."""
        self._base.execute(_MOVE, {"old": old, "new": new, "shift": MIGRATION_OFFSET})
        self._base.execute("DELETE FROM entry WHERE chat = ?", (old,))

    def count_author_clashes(self, chat: int) -> int:
        """Count the messages of a chat that two exports attribute to different users."""
        query = "SELECT count(*) FROM entry WHERE chat = ? AND clash > 0"
        count: int = self._base.execute(query, (chat,)).fetchone()[0]
        return count

    def assign_topics(self, chat: int) -> None:
        """Assign each message to the topic whose opening message its chain of replies leads to."""
        has_topics = "SELECT 1 FROM entry WHERE chat = ? AND kind = ? LIMIT 1"
        if self._base.execute(has_topics, (chat, EntryKind.TOPIC)).fetchone():
            self._base.execute("CREATE INDEX IF NOT EXISTS answers ON entry (chat, reply)")
            self._base.execute(_TOPICS, {"chat": chat})

    def counts(self, chat: int) -> EntryCounts:
        """Count a chat's entries."""
        by_kind: dict[int, int] = defaultdict(int)
        query = "SELECT kind, count(*) FROM entry WHERE chat = ? GROUP BY kind"
        by_kind.update(self._base.execute(query, (chat,)).fetchall())
        times = "SELECT min(at), max(at) FROM entry WHERE chat = ? AND kind = 0"
        first, last = self._base.execute(times, (chat,)).fetchone()
        return EntryCounts(
            messages=by_kind[EntryKind.MESSAGE],
            service=sum(by_kind[kind] for kind in (1, 2, 3, 4)),
            unsupported=by_kind[EntryKind.UNSUPPORTED],
            topics=by_kind[EntryKind.TOPIC],
            first=None if first is None else datetime.fromtimestamp(first, UTC),
            last=None if last is None else datetime.fromtimestamp(last, UTC),
        )

    def authors(self, chat: int, start: Position = START) -> list[Author]:
        """Return the authors of a chat, most messages first.

        Only messages from `start` on, in a person's own words, count: no forwards, commands,
        messages sent through a bot, and media without a caption. All of a bot's messages count.
        """
        shown: dict[int, list[str]] = defaultdict(list)
        names = list(self.names)
        for author, name in self._base.execute(_NAMES, (chat,)):
            if names[name]:
                shown[author].append(names[name] or "")
        return [
            Author(
                author_id=author,
                names=tuple(shown[author]),
                messages=count if is_bot else own,
                is_bot=bool(is_bot),
                by_name=is_name_based_id(author)
                or (is_non_telegram_id(author) and bool(shown[author])),
            )
            for author, count, is_bot, own in self._base.execute(_AUTHORS, (*start, chat))
        ]

    def recent_texts(self, chat: int, author: int, count: int) -> list[str]:
        """Return an account's last texts in its own words, oldest first."""
        rows = self._base.execute(_RECENT, (chat, author, count)).fetchall()
        return [text for (text,) in reversed(rows)]

    def find_repeated(
        self, chat: int, most: int, start: Position = START
    ) -> dict[tuple[int, str], tuple[int, int]]:
        """Return the (author, text) pairs that occur more than `most` times.

        The values are their number and that of all the author's messages. Messages before `start`
        do not count.
        """
        written = dict(self._base.execute(_WRITTEN, (chat, *start)))
        rows = self._base.execute(_REPEATED, (chat, *start, most))
        return {(author, text): (count, written[author]) for author, text, count in rows}

    def find_quiet_hour(self, chat: int) -> int | None:
        """Return the hour (UTC) with the fewest messages in a chat with topics, None for others."""
        has_topics = "SELECT 1 FROM entry WHERE chat = ? AND topic IS NOT NULL LIMIT 1"
        if not self._base.execute(has_topics, (chat,)).fetchone():
            return None
        counts = dict(self._base.execute(_HOURS, (chat,)))
        return min(range(24), key=lambda hour: (counts.get(hour, 0), hour))

    def find_start(self, chat: int, last: int) -> Position:
        """Return the position of the first of the `last` messages of a chat."""
        query = (
            "SELECT at, id FROM entry WHERE chat = ? AND kind = 0 AND text != '' "
            "ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?"
        )
        position: Position | None = self._base.execute(query, (chat, last - 1)).fetchone()
        return position or START

    def messages(self, chat: int, start: Position = START) -> Iterator[Message]:
        """Yield a chat's messages from a position on, topic by topic, in order of time, then id."""
        names = list(self.names)
        self._base.execute("DROP TABLE IF EXISTS ordered")
        self._base.execute(_ORDER, (chat, *start))  # sort only ids: whole rows take 80 MB
        rows = self._base.execute(_MESSAGES, (chat,))
        for number, author, name, text, at, topic, reply, flags in rows:
            yield Message(
                chat,
                number,
                author,
                names[name],
                text,
                datetime.fromtimestamp(at, UTC),
                topic,
                None if reply == topic else reply,
                bool(flags & _FORWARD),
                bool(flags & _VIA_BOT) or (bool(flags & _BUTTONS) and author > 0),
            )


def count_messages(authors: Iterable[Author]) -> Counter[int]:
    """Return the number of messages of each account, by its id."""
    counts: Counter[int] = Counter()
    for author in authors:
        counts[author.author_id] += author.messages
    return counts


def _is_same_message(one: Row, other: Row) -> bool:
    """Whether two rows with the same id are versions of one entry, before and after an edit."""
    if one.is_message != other.is_message:
        return False
    if not one.is_message:
        return True
    is_edited = bool(one.edited or other.edited)
    has_same_origin = (one.at, one.author) == (other.at, other.author)
    return has_same_origin and (is_edited or one.text == other.text)
