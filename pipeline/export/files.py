"""Files of exports: found in folders, put in order of age, read by the reader that fits."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from model.errors import ExportError
from pipeline.export.events import Event, Heading, Told
from pipeline.export.layout import CHUNK, layout_of
from pipeline.export.mending import parse
from pipeline.export.rewritten import rewritten
from pipeline.export.slices import slices

HOW = "in Telegram Desktop open the chat, then ⋮ → Export chat history, format JSON"

_OTHER_FORMS = (
    (b"\xff\xfe\x00\x00", "in UTF-32, save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "in UTF-32, save it as UTF-8"),
    (b"\xff\xfe", "in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "in UTF-16: save it as UTF-8"),
    (b"\x1f\x8b", "packed with gzip, unpack it first"),
    (b"PK\x03\x04", "a zip file, unpack it first"),
)
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
        _refuse_other_form(file)
    return sorted(files, key=_newest) if len(files) > 1 else files


def read(
    file: Path, wants: Callable[[Heading], bool], told: Told = lambda _: None
) -> Iterator[Event]:
    """Yield what a file holds; of chats that are not wanted the headings alone.

    `told` hears of each part that was read, of all bytes together but for a byte-order mark.

    Raises:
        ExportError: It cannot be read.
    """
    try:
        if layout := layout_of(file):
            yield from slices(file, layout, wants, told)
        else:
            yield from rewritten(file, wants, told)
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}") from error


def _refuse_other_form(file: Path) -> None:
    """Raise ExportError if a file is compressed, in another encoding, or JSON Lines."""
    try:
        with file.open("rb") as stream:
            begin = stream.read(CHUNK)
            found = next((says for mark, says in _OTHER_FORMS if begin.startswith(mark)), None)
            if found is None and _is_lines(begin):
                found = "JSON Lines (one value per line), not the exporter's own file"
            if found:
                raise ExportError(f"{file} is {found}: give the file as Telegram wrote it; {HOW}")
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}") from error


def _is_lines(begin: bytes) -> bool:
    """Whether a file begins with two lines that are each a complete JSON object."""
    lines = begin.lstrip().split(b"\n", 2)[:2]
    return len(lines) == 2 and all(map(parse, lines))  # noqa: PLR2004


def _newest(file: Path) -> bytes:
    """Return the latest date of a file, as it stands there."""
    latest = rest = b""
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            latest = max([latest, *_DATE.findall(rest + chunk)])
            rest = chunk[-_DATE_LENGTH:]
    return latest
