"""Unpacking of plain, zipped and invalid exports."""

import stat
import zipfile

import pytest

from bot.errors import ExportRefused
from bot.handlers import uploads
from bot.handlers.uploads import unpack_export

EXPORT = b'{"name": "Friends", "messages": []}'


@pytest.fixture
def arrived(tmp_path):
    return tmp_path / "arriving"


@pytest.fixture
def export(tmp_path):
    return tmp_path / "result.json"


def zipped(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("content", [EXPORT, b"\xef\xbb\xbf \n" + EXPORT], ids=["plain", "a BOM"])
def test_a_plain_export_is_moved_into_place(arrived, export, content):
    arrived.write_bytes(content)

    unpack_export(arrived, export)

    assert export.read_bytes() == content
    assert stat.S_IMODE(export.stat().st_mode) == 0o600
    assert not arrived.exists()


def test_the_only_json_of_a_zip_is_unpacked(arrived, export):
    zipped(arrived, **{"Chat/result.json": EXPORT, "Chat/photo.jpg": b"\xff" * 100})

    unpack_export(arrived, export)

    assert export.read_bytes() == EXPORT
    assert stat.S_IMODE(export.stat().st_mode) == 0o600


def test_names_in_a_zip_are_ignored(arrived, export, tmp_path):
    zipped(arrived, **{"../../evil.json": EXPORT})

    unpack_export(arrived, export)

    assert export.read_bytes() == EXPORT
    assert {path.name for path in tmp_path.iterdir()} == {"arriving", "result.json"}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"a.json": EXPORT, "b.json": EXPORT}, "2 .json files"),
        ({"photo.jpg": b"x"}, "0 .json files"),
        ({"a.json": b"<html>"}, "not a result.json"),
    ],
    ids=["two of them", "none", "HTML by another name"],
)
def test_a_zip_without_exactly_one_export_is_refused(arrived, export, files, why):
    zipped(arrived, **files)

    with pytest.raises(ExportRefused, match=why):
        unpack_export(arrived, export)

    assert not export.exists()


def test_a_zip_that_unpacks_to_too_much_is_refused_early(arrived, export, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 5 * 2**20)
    zipped(arrived, **{"a.json": b"{" + b" " * (20 * 2**20)})

    with pytest.raises(ExportRefused, match="larger than 5 MB"):
        unpack_export(arrived, export)

    assert arrived.stat().st_size < 2**20
    assert list(export.parent.iterdir()) == [arrived]


def test_a_damaged_zip_is_refused_and_the_earlier_export_stays(arrived, export):
    export.write_bytes(b"{earlier")
    zipped(arrived, **{"a.json": EXPORT * 1000})
    content = bytearray(arrived.read_bytes())
    content[40:60] = b"\0" * 20
    arrived.write_bytes(content)

    with pytest.raises(ExportRefused, match="damaged"):
        unpack_export(arrived, export)

    assert export.read_bytes() == b"{earlier"


def test_html_is_refused(arrived, export):
    arrived.write_bytes(b"<!DOCTYPE html>")

    with pytest.raises(ExportRefused, match="not HTML"):
        unpack_export(arrived, export)


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2], ids=["LZMA", "bzip2"])
def test_rare_compression_methods_are_refused(arrived, export, packing):
    with zipfile.ZipFile(arrived, "w", packing) as archive:
        archive.writestr("result.json", EXPORT)

    with pytest.raises(ExportRefused, match="unusual compression method"):
        unpack_export(arrived, export)

    assert not export.exists()


def test_a_zip_with_names_that_are_not_utf_8_is_refused(arrived, export):
    zipped(arrived, **{"conversação.json": EXPORT})
    arrived.write_bytes(arrived.read_bytes().replace("ç".encode(), b"\xff\xff"))

    with pytest.raises(ExportRefused, match="damaged"):
        unpack_export(arrived, export)

    assert not export.exists()
