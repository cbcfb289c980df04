"""A disk so small that a test can fill it."""

import subprocess
from contextlib import suppress

import pytest


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if not _ran("mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder):
        pytest.skip("a disk of one's own needs the right to mount one")
    yield folder
    # lazy unmount: pytest keeps error records, whose tracebacks keep a connection open
    assert _ran("umount", "--lazy", folder)


@pytest.fixture
def remount(small_disk):
    """Give the disk another size, or let it be read alone: `ro`."""

    def change(option):
        assert _ran("mount", "-o", f"remount,{option}", small_disk)

    return change


def fill_up(disk):
    """Write a file `filler` until nothing more can be written."""
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _ran(*command):
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
