import os
import stat

import pytest

from model.files import make_folder, make_private, write_text


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def lax_umask():
    old = os.umask(0)
    yield
    os.umask(old)


def test_a_file_is_written_as_it_is_and_is_its_owners_alone(tmp_path):
    path = tmp_path / "a.txt"

    write_text(path, "João\r\n李雷\n")

    assert path.read_bytes() == "João\r\n李雷\n".encode()
    assert mode(path) == 0o600


def test_a_file_that_could_be_read_by_all_cannot_after_it_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o644)

    write_text(path, "new")

    assert (path.read_text(), mode(path)) == ("new", 0o600)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud83d")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_folders_are_their_owners_alone_and_old_ones_stay_as_they_are(tmp_path):
    tmp_path.chmod(0o755)

    folder = make_folder(tmp_path / "a" / "b")

    assert folder == make_folder(folder) == tmp_path / "a" / "b"
    assert [mode(p) for p in (tmp_path, tmp_path / "a", folder)] == [0o755, 0o700, 0o700]


def test_a_folder_that_a_library_wrote_is_made_private_to_its_last_file(tmp_path):
    inner = tmp_path / "x" / "y"
    inner.mkdir(parents=True)
    (inner / "f").write_text("")

    make_private(tmp_path / "x")

    assert [mode(p) for p in (tmp_path / "x", inner, inner / "f")] == [0o700, 0o700, 0o600]
