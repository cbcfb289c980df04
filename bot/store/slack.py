"""Clear the unused bytes of SQLite's pages, and return free pages to the disk.

When SQLite moves rows between pages, their bytes remain in the unused part of a page;
`secure_delete` clears only the deleted rows themselves. Those bytes are not part of the database,
so they can be cleared in the open file, under a writer's lock and with an empty log. The page
format: sqlite.org/fileformat2.html.
"""

import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from bot.errors import StoreError

TRIES = 50
PAUSE = 0.1  # seconds between tries to empty the write-ahead log, which waits for readers
PAGES_READ = 256
PAGES_CLEARED = 128
"""Pages that are cleared under one lock, or returned to the disk in one step."""
REST = 0.02  # seconds in between, for other writers
LOCK_SECONDS = 0.05
"""Seconds for which a step waits for a lock before it is retried."""

ShouldStop: TypeAlias = Callable[[], bool]
"""Asked after each step."""

_BTREE = {2: 12, 5: 12, 10: 8, 13: 8}
"""The size of the header by the first byte, for pages that hold rows or keys."""
_ON_FIRST_PAGE = 100  # bytes of the file's own header
_MOST_PAGES = 1 << 24
"""From here on the number at the start of an overflow page could look like a page type."""
_PENDING_BYTE = 0x40000000


@dataclass(frozen=True, slots=True)
class _Layout:
    """The page layout of a file: page size, usable size, number of pages."""

    size: int
    usable: int
    count: int
    is_vacuumed: bool

    def is_map(self, number: int) -> bool:
        """Whether this is a pointer-map page, which files with auto-vacuum have."""
        if not self.is_vacuumed or number < 2:  # noqa: PLR2004  the first such page
            return False
        in_row = self.usable // 5 + 1
        place = (number - 2) // in_row * in_row + 2
        return number == place + (place == _PENDING_BYTE // self.size + 1)


def _never() -> bool:
    return False


def clear(path: Path, file: BinaryIO, should_stop: ShouldStop = _never) -> None:
    """Clear the unused bytes of a database and empty its write-ahead log, in short steps.

    `file` is the open database. It must not be closed while this process uses the database: that
    would drop SQLite's locks.

    Raises:
        StoreError: Others keep the database busy, or it should stop.
        sqlite3.Error: SQLite cannot write it.
    """
    with closing(_connected(path)) as connection:
        _empty_log(connection, should_stop)
        layout = _layout(file)
        found = _dirty(file, layout, should_stop)
        dirty = [number for number in found if number <= layout.count]
    for start in range(0, len(dirty), PAGES_CLEARED):
        _clear_pages(path, file, dirty[start : start + PAGES_CLEARED], should_stop)
        _rest(REST, should_stop)
    with closing(_connected(path)) as connection:
        _empty_log(connection, should_stop)
    os.fsync(file.fileno())


def shrink(path: Path, should_stop: ShouldStop = _never) -> None:
    """Give a database's free pages back to the disk, in short steps.

    Raises:
        StoreError: Others keep the database busy, or it should stop.
        sqlite3.Error: SQLite cannot write it.
    """
    with closing(_connected(path)) as connection:
        left: int | None = None
        for _ in range(_MOST_PAGES // PAGES_CLEARED):
            [now] = connection.execute("PRAGMA freelist_count").fetchone()
            if not now or now == left:
                break
            left = now
            try:
                connection.execute(f"PRAGMA incremental_vacuum({PAGES_CLEARED})").fetchall()
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                left = None
            _rest(REST, should_stop)
        _empty_log(connection, should_stop)


def unused(page: bytes, header: int, usable: int) -> list[tuple[int, int]]:
    """Return the unused byte ranges of a page; `header` is the offset of its header.

    A page that is not part of a B-tree, or not in SQLite's format, has none.
    """
    size = _BTREE.get(page[header])
    if size is None:
        return []
    free, cells, content = struct.unpack_from(">HHH", page, header + 1)
    start, end = header + size + 2 * cells, content or 65536
    if not start <= end <= usable:
        return []
    found = [(start, end)]
    while free:
        if free + 4 > usable:
            return []
        following, length = struct.unpack_from(">HH", page, free)
        if free + length > usable or (following and following <= free):
            return []
        found.append((free + 4, free + length))
        free = following
    return found


def _clear_pages(path: Path, file: BinaryIO, numbers: list[int], should_stop: ShouldStop) -> None:
    """Clear pages while nobody writes and nothing of them stands in the log.

    The commit afterwards makes all other connections reload their pages. This connection would not,
    so it is closed.
    """
    log = path.with_name(f"{path.name}-wal")
    for _ in range(TRIES):
        with closing(_connected(path)) as connection:
            try:
                _empty_log(connection, should_stop)
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                _rest(PAUSE, should_stop)
                continue
            if log.stat().st_size:
                connection.execute("ROLLBACK")
                continue
            layout = _layout(file)
            for number in numbers:
                if number <= layout.count:
                    _clear_page(file, layout, number)
            [version] = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("COMMIT")
            return
    raise StoreError(
        "erased words cannot be removed from the file: close other programs that write it"
    )


def _clear_page(file: BinaryIO, layout: _Layout, number: int) -> None:
    place = (number - 1) * layout.size
    page = _read(file, place, layout.size)
    for start, end in _uncleared_ranges(page, layout, number):
        file.seek(place + start)
        file.write(bytes(end - start))


def _dirty(file: BinaryIO, layout: _Layout, should_stop: ShouldStop) -> Iterator[int]:
    """Yield the numbers of pages whose unused bytes are not clear."""
    for first in range(0, layout.count, PAGES_READ):
        block = _read(file, first * layout.size, PAGES_READ * layout.size)
        for index in range(len(block) // layout.size):
            page = block[index * layout.size : (index + 1) * layout.size]
            if _uncleared_ranges(page, layout, first + index + 1):
                yield first + index + 1
        _rest(0, should_stop)  # whoever else waits to run Python goes first


def _uncleared_ranges(page: bytes, layout: _Layout, number: int) -> list[tuple[int, int]]:
    """Return which unused bytes of a page are not clear."""
    if layout.is_map(number) or len(page) < layout.size:
        return []
    ranges = unused(page, _ON_FIRST_PAGE if number == 1 else 0, layout.usable)
    return [(start, end) for start, end in ranges if page.count(0, start, end) < end - start]


def _layout(file: BinaryIO) -> _Layout:
    head = _read(file, 0, _ON_FIRST_PAGE)
    size = struct.unpack_from(">H", head, 16)[0]
    size = 65536 if size == 1 else size
    count = os.fstat(file.fileno()).st_size // size
    if count >= _MOST_PAGES:
        raise StoreError(f"a database of {count} pages is too large to remove erased words")
    [largest_root] = struct.unpack_from(">I", head, 52)
    return _Layout(size, size - head[20], count, is_vacuumed=bool(largest_root))


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    connection.execute("PRAGMA secure_delete=ON")
    return connection


def _empty_log(connection: sqlite3.Connection, should_stop: ShouldStop) -> None:
    """Write the log into the database and cut it to nothing; what can wait for nobody goes first.

    Raises:
        StoreError: Somebody reads the database all the time, or it should stop.
    """
    for _ in range(TRIES):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        try:
            [is_busy, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            is_busy = 1
        if not is_busy:
            return
        _rest(PAUSE, should_stop)
    raise StoreError("erased words cannot be wiped out: end what else reads the database")


def _rest(seconds: float, should_stop: ShouldStop) -> None:
    """Let others use the database between two steps."""
    if should_stop():
        raise StoreError("erased words are not wiped out yet: the database is being closed")
    time.sleep(seconds)


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
