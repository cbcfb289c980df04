"""Merge the messages of several exports: duplicates, edits, order, authors."""

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
from pipeline.export.entries import Flag, Kind, Row


@dataclass(frozen=True, slots=True)
class Author:
    """An account that wrote in a chat.

    `names` are all names that Telegram showed, oldest first: none for a deleted account. A bot
    (`is_bot`) sent every message through a bot, or with a bot's buttons. If an old export has no
    ids, or ids that are not Telegram's, an author is known only `by_name`.
    """

    author_id: int
    names: tuple[str, ...]
    messages: int
    is_bot: bool = False
    by_name: bool = False


def count_messages(authors: Iterable[Author]) -> Counter[int]:
    """Return how many messages each account wrote, by its id."""
    counts: Counter[int] = Counter()
    for author in authors:
        counts[author.author_id] += author.messages
    return counts


Place = tuple[int, int]
"""Seconds since 1970 and an id: where a message stands in its chat."""

START: Place = (0, -(2**62))
"""Before everything."""

_FORWARD, _VIA_BOT, _BUTTONS = (int(f) for f in (Flag.FORWARD, Flag.VIA_BOT, Flag.BUTTONS))
_CACHE_KIB = 16_384
_TABLE = """
CREATE TABLE entry (
  chat INTEGER, id INTEGER, kind INTEGER, at INTEGER, author INTEGER, name INTEGER, text TEXT,
  reply INTEGER, flags INTEGER, edited INTEGER, topic INTEGER, clash INTEGER DEFAULT 0,
  file INTEGER,
  PRIMARY KEY (chat, id)
) WITHOUT ROWID
"""
_KEEP = f"""
INSERT INTO entry (chat, id, kind, at, author, name, text, reply, flags, edited)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (chat, id) DO UPDATE SET
  (kind, at, author, name, text, reply, flags, edited, clash) =
  (excluded.kind, excluded.at, excluded.author, excluded.name, excluded.text, excluded.reply,
   excluded.flags, excluded.edited,
   clash + (excluded.author > 0 AND entry.author > 0 AND excluded.author != entry.author))
WHERE excluded.edited >= entry.edited
  AND (excluded.kind != {Kind.UNSUPPORTED:d} OR entry.kind = {Kind.UNSUPPORTED:d})
"""  # noqa: S608  our own numbers
_TOPICS = f"""
WITH RECURSIVE member (id, topic) AS (
  SELECT id, id FROM entry WHERE chat = :chat AND kind = {Kind.TOPIC:d}
  UNION
  SELECT entry.id, member.topic FROM member CROSS JOIN entry INDEXED BY answers
  ON entry.chat = :chat AND entry.reply = member.id AND entry.kind != {Kind.TOPIC:d}
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
_AUTHORS = """
SELECT author, count(*), min((flags & 6) != 0),
  sum((flags & 7) = 0 AND text != '' AND text NOT LIKE '[%]' AND text NOT LIKE '/%')
FROM entry WHERE chat = ? AND kind = 0 GROUP BY author ORDER BY count(*) DESC, author
"""
_NAMES = """
SELECT author, name FROM entry WHERE chat = ? AND kind = 0
GROUP BY author, name ORDER BY max(at), max(id)
"""
_REPEATED = """
SELECT author, text, count(*) FROM entry
WHERE chat = ? AND kind = 0 AND text != '' AND (at, id) >= (?, ?)
GROUP BY author, text HAVING count(*) > ?
"""
_MOVE = """
INSERT INTO entry (chat, id, kind, at, author, name, text, reply, flags, edited)
SELECT :new, id - :shift, kind, at, author, name, text, reply - :shift, flags, edited FROM entry
WHERE chat = :old
ON CONFLICT (chat, id) DO UPDATE SET (text, flags, edited) =
  (excluded.text, excluded.flags, excluded.edited)
WHERE excluded.edited > entry.edited
"""
_MOVED = """
SELECT old.chat, new.text FROM entry AS old, entry AS new
WHERE old.chat IN (SELECT value FROM json_each(?)) AND old.kind = 3
  AND new.chat = ? AND new.kind = 4 AND abs(old.at - new.at) <= 5
"""
_ROWS_OF = """
SELECT chat, id, kind, at, author, name, text, reply, flags, edited FROM entry WHERE chat = ?
"""
_ROWS = f"{_ROWS_OF} ORDER BY id"
_KNOWN = """
SELECT entry.id, 1 FROM json_each(?3) CROSS JOIN entry
ON entry.chat = ?1 AND entry.id = json_each.value
WHERE entry.file = ?2
"""
_OF_FILE = "UPDATE entry SET file = ? WHERE chat = ? AND id = ?"
_SHARED = """
SELECT old.chat FROM entry AS old JOIN entry AS new ON new.chat = :new AND new.id = old.id - :shift
WHERE old.chat IN (SELECT value FROM json_each(:olds)) AND old.kind = 0 AND new.kind = 0
GROUP BY old.chat HAVING min(old.at = new.at AND old.author = new.author)
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many entries of each kind a chat has, its topics, and the first and last message."""

    messages: int
    service: int
    unsupported: int
    topics: int
    first: datetime | None
    last: datetime | None


def _is_same(one: Row, other: Row) -> bool:
    """Whether two rows with the same id are the same message, edited or not."""
    both_said = one[2] == other[2] == Kind.MESSAGE
    is_edited = bool(one[9] or other[9])
    return not both_said or (one[3:5] == other[3:5] and (is_edited or one[6] == other[6]))


class Spool:
    """All entries that were read; `names` are numbered by when they were first seen."""

    def __init__(self) -> None:
        self.names: dict[str | None, int] = {None: 0}
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("PRAGMA temp_store = FILE")
        self._base.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute(_TABLE)
        self._base.execute("BEGIN")

    def close(self) -> None:
        """Let everything go."""
        self._base.close()

    def keep(self, rows: Iterable[Row]) -> None:
        """Take in rows; of one message the later edit wins, then the later row."""
        self._base.executemany(_KEEP, rows)

    def keep_of(self, file: int, rows: Iterable[Row]) -> int:
        """Add rows of one file; return how many messages had an id that another one there has.

        Each of these gets a new id, which is the same in every file.
        """
        fresh: dict[int, Row] = {}
        copies: list[Row] = []
        given = list(rows)
        ids = json.dumps([row[1] for row in given])
        known = dict(self._base.execute(_KNOWN, (given[0][0], file, ids)) if given else ())
        for row in given:
            other = fresh.get(row[1]) or (self._row(row) if row[1] in known else None)
            if other is None or _is_same(other, row):
                fresh[row[1]] = row
            else:
                copies.append((row[0], make_copy_id(row[1], row[3], row[4], row[6]), *row[2:]))
        self.keep([*fresh.values(), *copies])
        marks = [(file, row[0], row[1]) for row in fresh.values()]
        self._base.executemany(_OF_FILE, marks)
        return len(copies)

    def _row(self, row: Row) -> Row:
        found: Row = self._base.execute(f"{_ROWS_OF} AND id = ?", row[:2]).fetchone()
        return found

    def rows(self, chat: int) -> Iterator[Row]:
        """Yield a chat's rows in order of id; their names are this spool's numbers."""
        yield from self._base.execute(_ROWS, (chat,))

    def drop(self, chat: int, ids: Iterable[int]) -> None:
        """Let entries of a chat go."""
        query = "DELETE FROM entry WHERE chat = ? AND id = ?"
        self._base.executemany(query, ((chat, number) for number in ids))

    def replace_texts(self, chat: int, texts: Mapping[int, str]) -> None:
        """Put other words, and no name, into entries of a chat, by their ids."""
        query = "UPDATE entry SET text = ?, name = 0 WHERE chat = ? AND id = ?"
        self._base.executemany(query, ((text, chat, number) for number, text in texts.items()))

    def moved_from(self, chat: int, groups: Mapping[int, str | None]) -> list[int]:
        """Return which basic groups, given with their names, became this supergroup.

        Either both tell of the move, within five seconds and by the same name, or the supergroup's
        export holds what was said before, and that is said by the same people at the same times.
        """
        ids = json.dumps(list(groups))
        told = self._base.execute(_MOVED, (ids, chat)).fetchall()
        shared = self._base.execute(
            _SHARED, {"new": chat, "olds": ids, "shift": MIGRATION_OFFSET}
        ).fetchall()
        by_word = {old for old, title in told if title in {"", groups[old] or ""}}
        return sorted(by_word | {old for (old,) in shared})

    def move(self, old: int, new: int) -> None:
        """Let a basic group's entries stand in its supergroup, as in that one's own export."""
        self._base.execute(_MOVE, {"old": old, "new": new, "shift": MIGRATION_OFFSET})
        self._base.execute("DELETE FROM entry WHERE chat = ?", (old,))

    def count_author_clashes(self, chat: int) -> int:
        """Return how many messages of a chat two exports ascribe to different users."""
        query = "SELECT count(*) FROM entry WHERE chat = ? AND clash > 0"
        count: int = self._base.execute(query, (chat,)).fetchone()[0]
        return count

    def find_topics(self, chat: int) -> None:
        """Let each message know its topic: replies lead to the one that opened it."""
        has_topics = "SELECT 1 FROM entry WHERE chat = ? AND kind = ? LIMIT 1"
        if self._base.execute(has_topics, (chat, Kind.TOPIC)).fetchone():
            self._base.execute("CREATE INDEX IF NOT EXISTS answers ON entry (chat, reply)")
            self._base.execute(_TOPICS, {"chat": chat})

    def counts(self, chat: int) -> Counts:
        """Count a chat's entries."""
        by_kind: dict[int, int] = defaultdict(int)
        query = "SELECT kind, count(*) FROM entry WHERE chat = ? GROUP BY kind"
        by_kind.update(self._base.execute(query, (chat,)).fetchall())
        times = "SELECT min(at), max(at) FROM entry WHERE chat = ? AND kind = 0"
        first, last = self._base.execute(times, (chat,)).fetchone()
        return Counts(
            messages=by_kind[Kind.MESSAGE],
            service=sum(by_kind[kind] for kind in (1, 2, 3, 4)),
            unsupported=by_kind[Kind.UNSUPPORTED],
            topics=by_kind[Kind.TOPIC],
            first=None if first is None else datetime.fromtimestamp(first, UTC),
            last=None if last is None else datetime.fromtimestamp(last, UTC),
        )

    def authors(self, chat: int, *, own_words: bool = False) -> list[Author]:
        """Return who wrote in a chat, who wrote most first.

        With `own_words` forwards, commands, what came by way of a bot and media without a caption
        do not count.
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
                messages=own if own_words else count,
                is_bot=bool(is_bot),
                by_name=is_name_based_id(author)
                or (is_non_telegram_id(author) and bool(shown[author])),
            )
            for author, count, is_bot, own in self._base.execute(_AUTHORS, (chat,))
        ]

    def repeated(self, chat: int, most: int, start: Place = START) -> dict[tuple[int, str], int]:
        """Return what one author sent more often than `most`, word for word, and how often.

        What was sent before `start` does not count.
        """
        rows = self._base.execute(_REPEATED, (chat, *start, most))
        return {(author, text): count for author, text, count in rows}

    def place_before(self, chat: int, last: int) -> Place:
        """Return where the `last` messages of a chat begin."""
        query = (
            "SELECT at, id FROM entry WHERE chat = ? AND kind = 0 AND text != '' "
            "ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?"
        )
        found: Place | None = self._base.execute(query, (chat, last - 1)).fetchone()
        return found or START

    def messages(self, chat: int, start: Place = START) -> Iterator[Message]:
        """Yield a chat's messages from a place on, topic by topic, in order of time, then id."""
        names = list(self.names)
        self._base.execute("DROP TABLE IF EXISTS ordered")
        self._base.execute(_ORDER, (chat, *start))  # ids alone: sorting whole rows takes 80 MB
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
