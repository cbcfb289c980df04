import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from model.files import (
    is_abandoned,
    make_folder,
    make_private,
    owned_folders,
    temporary_folder,
    write_text,
)

STOPS_WITHIN = """
import sys, time
from pathlib import Path
from model.files import temporary_folder
with temporary_folder(Path(sys.argv[1]), "x.zip") as folder:
    (folder / "words").write_text("words")
    print(folder, flush=True)
    time.sleep(600)
"""


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def lax_umask():
    old = os.umask(0)
    yield
    os.umask(old)


def test_a_file_is_written_exactly_and_private_to_its_owner(tmp_path):
    path = tmp_path / "a.txt"

    write_text(path, "João\r\n李雷\n")

    assert path.read_bytes() == "João\r\n李雷\n".encode()
    assert mode(path) == 0o600


def test_replacing_a_public_file_makes_it_private(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o644)

    write_text(path, "new")

    assert (path.read_text(), mode(path)) == ("new", 0o600)


def test_a_failed_write_leaves_only_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud83d")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_folders_are_private_and_existing_ones_stay_unchanged(tmp_path):
    tmp_path.chmod(0o755)

    folder = make_folder(tmp_path / "a" / "b")

    assert folder == make_folder(folder) == tmp_path / "a" / "b"
    assert [mode(p) for p in (tmp_path, tmp_path / "a", folder)] == [0o755, 0o700, 0o700]


def test_every_file_in_a_library_s_folder_is_made_private(tmp_path):
    inner = tmp_path / "x" / "y"
    inner.mkdir(parents=True)
    (inner / "f").write_text("")

    make_private(tmp_path / "x")

    assert [mode(p) for p in (tmp_path / "x", inner, inner / "f")] == [0o700, 0o700, 0o600]


@pytest.fixture
def other(tmp_path):
    """Start a process that holds a temporary folder; yield the process and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", STOPS_WITHIN, tmp_path], stdout=subprocess.PIPE, text=True
    )
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.communicate()


def test_a_temporary_folder_is_private_and_removed_after_its_block(tmp_path):
    with temporary_folder(tmp_path, "x.zip") as folder:
        assert mode(folder) == 0o700
        assert owned_folders(tmp_path, "x.zip") == [folder]

    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_removes_those_of_killed_processes(tmp_path, other):
    process, leftover = other
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert is_abandoned(leftover)
    with temporary_folder(tmp_path, "other.zip"):
        assert leftover.is_dir()
    with temporary_folder(tmp_path, "x.zip"):
        assert not leftover.exists()


def test_the_temporary_folder_of_a_running_process_stays(tmp_path, other):
    _, theirs = other

    with temporary_folder(tmp_path, "x.zip"):
        assert (theirs / "words").read_text() == "words"
