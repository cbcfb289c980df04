"""A disk so small that a test can fill it."""

import subprocess

import pytest

SIZE = "512k"


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if not _ran("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder):
        pytest.skip("a disk of one's own needs the right to mount one")
    yield folder
    assert _ran("umount", folder)


def _ran(*command):
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
