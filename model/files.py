"""Write private files atomically, manage private folders, and lock files."""

import fcntl
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

_OWNED = ".understudy-"  # before the process id in the name of a temporary folder


def write_text(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically.

    It has no name until it is complete, so a kill leaves nothing behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with place_in_errors(path), open_unnamed(path.parent) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
        try:
            give_name(file, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def open_unnamed(folder: Path) -> IO[bytes]:
    """Open a new unnamed file in a folder, readable only by its owner.

    It disappears when it is closed or the process is killed, unless `give_name` was called.
    """
    if flag := getattr(os, "O_TMPFILE", 0):
        with suppress(OSError):  # the file system does not support it
            return os.fdopen(os.open(folder, os.O_RDWR | flag, PRIVATE_FILE), "w+b")
    return tempfile.TemporaryFile(dir=folder)


def give_name(file: IO[bytes], path: Path) -> None:
    """Give an unnamed file a name; if the system does not support it, write a copy.

    Raises:
        OSError: The path exists already, or cannot be written.
    """
    file.flush()
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:  # Python follows the link below only if it gets a folder's descriptor
            os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=folder)
        finally:
            os.close(folder)
    except OSError:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(target, "wb") as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy)


@contextmanager
def place_in_errors(path: Path) -> Iterator[None]:
    """Add a path to system errors without one, such as a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def make_folder(path: Path) -> Path:
    """Create a folder and its parents, for their owner only; return it."""
    for folder in (*reversed(path.parents), path):  # mkdir(parents=True) leaves parents readable
        if not folder.exists():
            folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
    return path


def make_private(folder: Path) -> None:
    """Make a folder and its files readable only by their owner."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a private folder inside `parent`, and remove it at the end.

    Folders of this name that killed processes left are removed first.
    """
    for folder in owned_folders(parent, name):
        if is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
    with owned_folder(parent, name) as folder:
        yield folder


@contextmanager
def owned_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a private folder that is locked by this process; remove it at the end."""
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}{_OWNED}{os.getpid()}-"))
    lock = os.open(folder, os.O_RDONLY)  # while it is open, `is_abandoned` returns False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def owned_folders(parent: Path, name: str) -> list[Path]:
    """Return the existing folders that `owned_folder` created with this name."""
    return list(parent.glob(f".{glob.escape(name)}{_OWNED}*"))


def is_abandoned(folder: Path) -> bool:
    """Whether the process that created an owned folder has exited.

    The folder's lock shows it; before the process has the lock, its process id does.
    """
    pid = folder.name.rpartition(_OWNED)[2].partition("-")[0]
    if pid.isdecimal() and Path("/proc", pid).exists():
        return False
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


@contextmanager
def locked(path: Path, *, wait: bool | float) -> Iterator[bool]:
    """Lock a file; yield False if another process holds the lock.

    `wait` is True to wait without limit, False not to wait, or a number of seconds. The system
    releases the lock of a killed process. The empty file stays.
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
