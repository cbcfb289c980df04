"""Files of exports: found in folders, put in order of age, read by the reader that fits."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from model.errors import ExportError
from pipeline.export.events import Event, Heading
from pipeline.export.layout import CHUNK, layout_of
from pipeline.export.rewritten import rewritten
from pipeline.export.slices import slices

HOW = "in Telegram Desktop open the chat, then ⋮ → Export chat history, format JSON"

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_DATE = re.compile(rb'"date": ?"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)"')
_DATE_LENGTH = 64  # at most


def export_file(path: Path) -> Path:
    """Return the result.json meant by a file or by the folder that holds one.

    Raises:
        ExportError: There is none.
    """
    if path.is_dir():
        if not (path / "result.json").is_file():
            html = " but an HTML export" if (path / "messages.html").is_file() else ""
            raise ExportError(f"there is no result.json in {path}{html}: {HOW}")
        return path / "result.json"
    if not path.is_file():
        raise ExportError(f"there is no file {path}: give an export's folder or its result.json")
    return path


def export_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files meant by files or folders, the oldest export first.

    How old one is its latest date tells, which may stand anywhere: an account's last chats are
    those that were left. Of equal age, they keep their order.

    Raises:
        ExportError: There is none, or one cannot be read.
    """
    files = list(dict.fromkeys(export_file(path) for path in paths))
    for file in files:
        _refuse_utf_16(file)
    return sorted(files, key=_newest) if len(files) > 1 else files


def read(file: Path, wants: Callable[[Heading], bool]) -> Iterator[Event]:
    """Yield what a file holds; of chats that are not wanted the headings alone.

    Raises:
        ExportError: It cannot be read.
    """
    try:
        if layout := layout_of(file):
            yield from slices(file, layout, wants)
        else:
            yield from rewritten(file, wants)
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}") from error


def _refuse_utf_16(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            if stream.read(2) in _UTF_16:
                raise ExportError(f"{file} is in UTF-16: save it as UTF-8, or export it again")
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}") from error


def _newest(file: Path) -> bytes:
    """Return the latest date of a file, as it stands there."""
    latest = rest = b""
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            latest = max([latest, *_DATE.findall(rest + chunk)])
            rest = chunk[-_DATE_LENGTH:]
    return latest
