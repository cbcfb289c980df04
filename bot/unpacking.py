"""An export as it comes from Telegram, plain or zipped, into the one file that it holds."""

import os
import zipfile
import zlib
from pathlib import Path
from typing import IO

from bot.errors import ExportRefused
from model.files import PRIVATE_FILE

MOST_BYTES = 200 * 2**20
_CHUNK = 2**20
_DAMAGED = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, UnicodeDecodeError)
"""What zipfile raises of damaged bytes, names and all, and RuntimeError of a locked entry."""

_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of others a few bytes unpack to gigabytes


def unpack(arrived: Path, export: Path) -> None:
    """Put the export into its place, whole or not at all; only its owner may read it.

    A zip holds exactly one `.json`; its bytes are counted while they are unpacked, as what a zip
    says of itself may be a lie. Nothing of the names within decides where anything is written.

    Raises:
        ExportRefused: It is no export, or too large.
    """
    part = unfinished(export)
    try:
        if zipfile.is_zipfile(arrived):
            _unzip(arrived, part)
        else:
            _check(arrived)
            arrived.replace(part)
        part.chmod(PRIVATE_FILE)
        part.replace(export)
    finally:
        part.unlink(missing_ok=True)


def unfinished(export: Path) -> Path:
    """Return where an export is while it is being unpacked."""
    return export.with_name(f".{export.name}")


def _unzip(arrived: Path, part: Path) -> None:
    try:
        with zipfile.ZipFile(arrived) as archive:
            inside = [one for one in archive.infolist() if one.filename.lower().endswith(".json")]
            if len(inside) != 1:
                raise ExportRefused(f"the zip holds {len(inside)} .json files, one is wanted")
            if inside[0].compress_type not in _PACKINGS:
                raise ExportRefused("the zip is packed in a rare way: pack it as usual")
            with archive.open(inside[0]) as source:
                _copy(source, part)
    except _DAMAGED as error:
        raise ExportRefused("the zip is damaged, or locked with a password") from error
    _check(part)


def _copy(source: IO[bytes], part: Path) -> None:
    written = 0
    with os.fdopen(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE), "wb"
    ) as file:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > MOST_BYTES:
                raise ExportRefused(f"unpacked it is larger than {MOST_BYTES // 2**20} MB")
            file.write(chunk)


def _check(path: Path) -> None:
    """Refuse what does not begin as JSON does."""
    with path.open("rb") as file:
        if not file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            raise ExportRefused("it is no result.json: export the chat as JSON, not HTML")
