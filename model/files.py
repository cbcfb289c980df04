"""Writing files so that nobody else can read them and nobody ever sees half of one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def write_text(path: Path, text: str) -> None:
    """Write a file beside its place, readable by its owner alone, then put it there."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def make_folder(path: Path) -> Path:
    """Make a folder, and those above it, that only its owner can enter; return it."""
    for folder in (*reversed(path.parents), path):  # mkdir(parents=True) leaves those above open
        if not folder.exists():
            folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
    return path


def make_private(folder: Path) -> None:
    """Let only the owner read a folder that a library has written."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)


@contextmanager
def locked(path: Path, *, wait: bool | float) -> Iterator[bool]:
    """Hold a lock on a file among processes; yield False if another process keeps it.

    `wait` is True to wait for it without end, False not to wait, or a number of seconds. The system
    releases the lock of a process that is killed. The empty file stays.
    """
    make_folder(path.parent)
    seconds = (-1 if wait else 0) if isinstance(wait, bool) else wait
    lock = FileLock(path, timeout=seconds, mode=PRIVATE_FILE)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
