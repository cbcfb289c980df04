"""Find the files of exports, and index each in one pass."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.chat.names import make_printable
from model.errors import ExportError
from pipeline.export.reader import (
    CHUNK,
    Event,
    Heading,
    LateKeys,
    OnChunk,
    parse_object,
    read_events,
    read_headings,
)
from pipeline.terminal import SILENT, Progress

EXPORT_HOWTO = "in Telegram Desktop open the chat, then ⋮ → Export chat history, format JSON"

_OTHER_FORMATS = (
    (b"\xff\xfe\x00\x00", "in UTF-32 (save it as UTF-8)"),
    (b"\x00\x00\xfe\xff", "in UTF-32 (save it as UTF-8)"),
    (b"\xff\xfe", "in UTF-16 (save it as UTF-8)"),
    (b"\xfe\xff", "in UTF-16 (save it as UTF-8)"),
    (b"\x1f\x8b", "packed with gzip (unpack it first)"),
    (b"PK\x03\x04", "a zip file (unpack it first)"),
)
_DATE = re.compile(rb'"date": ?"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)"')
_DUMP_KEY = re.compile(rb'"understudy"\s*:')
_OVERLAP = 64  # bytes; more than a date with its key, or a dump's key with the spaces after it


@dataclass(frozen=True, slots=True)
class ExportIndex:
    """What one pass over a file finds.

    `newest` is the latest date in it, b"" without any. An export never contains a dump's key
    outside of a text, whose quotes are escaped. `late_keys` are those that follow their chat's
    messages.
    """

    headings: tuple[Heading, ...]
    newest: bytes
    is_dump: bool
    late_keys: LateKeys


class ExportFile:
    """A file of an export; it is indexed when that is first needed, and not again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: ExportIndex | None = None
        self._sha256: str | None = None

    def __str__(self) -> str:
        """Return its path."""
        return str(self.path)

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.path.stat().st_size

    def index(self, progress: Progress = SILENT) -> ExportIndex:
        """Return the contents of the file.

        Raises:
            ExportError: It cannot be read.
        """
        if self._index is None:
            digest, latest, is_dump, rest = hashlib.sha256(), b"", False, b""

            def scan(chunk: bytes) -> None:
                nonlocal latest, is_dump, rest
                on_bytes(len(chunk))
                digest.update(chunk)
                text = rest + chunk
                latest = max([latest, *_DATE.findall(text)])
                is_dump = is_dump or _DUMP_KEY.search(text) is not None
                rest = text[-_OVERLAP:]

            with progress.count(f"Indexing {self}", self.size) as on_bytes:
                headings, late_keys = read_headings(self.path, scan)
            self._sha256 = digest.hexdigest()
            self._index = ExportIndex(tuple(headings), latest, is_dump, late_keys)
        return self._index

    def read(self, is_wanted: Callable[[Heading], bool], on_chunk: OnChunk) -> Iterator[Event]:
        """Yield the file's content; see `read_events`.

        Raises:
            ExportError: It cannot be read.
        """
        digest = hashlib.sha256()

        def scan(chunk: bytes) -> None:
            digest.update(chunk)
            on_chunk(chunk)

        late_keys = self._index.late_keys if self._index else None
        yield from read_events(self.path, is_wanted, scan, late_keys)
        self._sha256 = digest.hexdigest()

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hex, as it was last read.

        Raises:
            ExportError: It was not read before, and cannot be read.
        """
        if self._sha256 is None:
            self.index()
        return str(self._sha256)


def find_exports(paths: Sequence[Path], progress: Progress = SILENT) -> list[ExportFile]:
    """Return the result.json files at these paths, files or folders, the oldest export first.

    An export is as old as its latest date, which may be anywhere in the file: the chats that an
    account has left come last. Exports of equal age keep their order.

    Raises:
        ExportError: There is none, or one cannot be read.
    """
    files = [ExportFile(path) for path in dict.fromkeys(_find_file(path) for path in paths)]
    for file in files:
        _check_format(file.path)
    return sorted(files, key=lambda file: file.index(progress).newest) if len(files) > 1 else files


def _find_file(path: Path) -> Path:
    if path.is_dir():
        if (file := path / "result.json").is_file():
            return file
        inside = [found for found in path.glob("*/result.json") if found.is_file()]
        if inside:
            newest = max(inside, key=lambda found: found.stat().st_mtime)
            raise ExportError(
                f"there is no result.json in {path}: did you mean {make_printable(str(newest))}?"
            )
        html = " but an HTML export" if (path / "messages.html").is_file() else ""
        raise ExportError(f"there is no result.json in {path}{html}: {EXPORT_HOWTO}")
    if not path.is_file():
        raise ExportError(f"there is no file {path}: use an export's folder or its result.json")
    return path


def _check_format(file: Path) -> None:
    """Raise ExportError if a file is compressed, in another encoding, or JSON Lines."""
    try:
        with file.open("rb") as stream:
            begin = stream.read(CHUNK)
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}") from error
    found = next((form for mark, form in _OTHER_FORMATS if begin.startswith(mark)), None)
    lines = begin.lstrip().split(b"\n", 2)[:2]
    if found is None and len(lines) == 2 and all(map(parse_object, lines)):  # noqa: PLR2004
        found = "JSON Lines (one value per line), not the exporter's own file"
    if found:
        raise ExportError(f"{file} is {found}: use the file as Telegram wrote it; {EXPORT_HOWTO}")
