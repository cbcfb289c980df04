"""Clear the unused bytes of an SQLite file, empty its write-ahead log and shrink it.

SQLite leaves copies of rows in the unused bytes of its pages when it moves them, even with
`secure_delete`. The file format is described at https://www.sqlite.org/fileformat2.html.
"""

import os
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, TypeAlias

from bot.errors import StoreError

MAX_ATTEMPTS = 50
PAUSE_SECONDS = 0.1  # between attempts to empty the write-ahead log while others read it
PAGES_READ = 256
PAGES_CHANGED = 64
"""Pages that one step clears, or returns to the disk."""

Pause: TypeAlias = Callable[[float], None]
"""Sleeps for at least this many seconds between two steps, or raises StoreError to end the work."""

_BTREE = {2: 12, 5: 12, 10: 8, 13: 8}
"""The header size of pages that hold rows or keys, by their first byte."""
_FILE_HEADER = 100  # bytes at the start of the first page
_MAX_PAGES = 1 << 24
"""With more pages, the number at the start of an overflow page could look like a page type."""
_PENDING_BYTE = 0x40000000


@dataclass(frozen=True, slots=True)
class _Layout:
    """The page size of a file in bytes, how much of a page SQLite uses, and the number of pages."""

    size: int
    usable: int
    count: int
    has_pointer_map: bool

    def is_pointer_map(self, number: int) -> bool:
        """Whether this is a pointer-map page, which files with auto-vacuum have."""
        if not self.has_pointer_map or number < 2:  # noqa: PLR2004  the first such page
            return False
        entries = self.usable // 5 + 1
        place = (number - 2) // entries * entries + 2
        return number == place + (place == _PENDING_BYTE // self.size + 1)


def clear(path: Path, file: BinaryIO, lock: Lock, pause: Pause) -> None:
    """Clear the unused bytes of a database and empty its write-ahead log, in short steps.

    `file` is the open database. Do not close it while this process uses the database: that would
    drop SQLite's locks. `lock` is held while other connections of this process must not write.

    Raises:
        StoreError: Other programs keep the database busy, or `pause` ends the work.
        sqlite3.Error: SQLite cannot write the database.
    """
    with closing(_connect(path)) as connection:
        _empty_log(connection, lock, pause)
        layout = _read_layout(file)
        dirty = list(_find_dirty_pages(file, layout, pause))
    for start in range(0, len(dirty), PAGES_CHANGED):
        _clear_pages(path, file, dirty[start : start + PAGES_CHANGED], lock, pause)
        pause(0)
    with closing(_connect(path)) as connection:
        _empty_log(connection, lock, pause)
    os.fsync(file.fileno())


def shrink(path: Path, lock: Lock, pause: Pause) -> None:
    """Return a database's free pages to the disk, in short steps.

    Raises:
        StoreError: Other programs keep the database busy, or `pause` ends the work.
        sqlite3.Error: SQLite cannot write the database.
    """
    with closing(_connect(path)) as connection:
        before: int | None = None
        for _ in range(_MAX_PAGES // PAGES_CHANGED):
            [free] = connection.execute("PRAGMA freelist_count").fetchone()
            if not free or free == before:
                break
            before = free
            try:
                # the statement returns an empty row per page, and `execute` would stop at the first
                with lock:
                    connection.executescript(f"PRAGMA incremental_vacuum({PAGES_CHANGED})")
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                before = None
            pause(0)
        _empty_log(connection, lock, pause)


def unused_ranges(page: bytes, header: int, usable: int) -> list[tuple[int, int]]:
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


def _clear_pages(path: Path, file: BinaryIO, numbers: list[int], lock: Lock, pause: Pause) -> None:
    """Clear pages while nobody writes and the log is empty.

    The commit at the end makes all other connections reload their pages. This connection would not
    reload them, so it is closed.
    """
    log = path.with_name(f"{path.name}-wal")
    for _ in range(MAX_ATTEMPTS):
        with closing(_connect(path)) as connection:
            _empty_log(connection, lock, pause)
            try:
                with lock:
                    connection.execute("BEGIN IMMEDIATE")
                    if log.stat().st_size:
                        connection.execute("ROLLBACK")
                        continue
                    layout = _read_layout(file)
                    for number in numbers:
                        place = (number - 1) * layout.size
                        page = _read(file, place, layout.size) if number <= layout.count else b""
                        for start, end in _uncleared_ranges(page, layout, number):
                            file.seek(place + start)
                            file.write(bytes(end - start))
                    [version] = connection.execute("PRAGMA user_version").fetchone()
                    connection.execute(f"PRAGMA user_version = {version}")
                    connection.execute("COMMIT")
                    return
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
        pause(PAUSE_SECONDS)
    raise StoreError(
        "erased text cannot be removed from the file: close other programs that write it"
    )


def _find_dirty_pages(file: BinaryIO, layout: _Layout, pause: Pause) -> Iterator[int]:
    """Yield the numbers of pages whose unused bytes still hold data."""
    for first in range(0, layout.count, PAGES_READ):
        pages = min(PAGES_READ, layout.count - first)
        block = _read(file, first * layout.size, pages * layout.size)
        for index in range(len(block) // layout.size):
            page = block[index * layout.size : (index + 1) * layout.size]
            if _uncleared_ranges(page, layout, first + index + 1):
                yield first + index + 1
        pause(0)


def _uncleared_ranges(page: bytes, layout: _Layout, number: int) -> list[tuple[int, int]]:
    """Return the unused byte ranges of a page that still hold data."""
    if layout.is_pointer_map(number) or len(page) < layout.size:
        return []
    ranges = unused_ranges(page, _FILE_HEADER if number == 1 else 0, layout.usable)
    return [(start, end) for start, end in ranges if page.count(0, start, end) < end - start]


def _read_layout(file: BinaryIO) -> _Layout:
    head = _read(file, 0, _FILE_HEADER)
    size = struct.unpack_from(">H", head, 16)[0]
    size = 65536 if size == 1 else size
    count = os.fstat(file.fileno()).st_size // size
    if count >= _MAX_PAGES:
        raise StoreError(f"a database of {count} pages is too large to remove erased text")
    [largest_root] = struct.unpack_from(">I", head, 52)
    return _Layout(size, size - head[20], count, has_pointer_map=bool(largest_root))


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _connect(path: Path) -> sqlite3.Connection:
    """Connect without waiting for locks: with a timeout, a checkpoint blocks all writers."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    connection.execute("PRAGMA secure_delete=ON")
    return connection


def _empty_log(connection: sqlite3.Connection, lock: Lock, pause: Pause) -> None:
    """Empty the write-ahead log.

    A first checkpoint copies most of it without blocking other writers.
    """
    for _ in range(MAX_ATTEMPTS):
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            with lock:
                [is_busy, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            is_busy = 1
        if not is_busy:
            return
        pause(PAUSE_SECONDS)
    raise StoreError(
        "erased text cannot be removed from the file: close other programs that read the database"
    )


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
