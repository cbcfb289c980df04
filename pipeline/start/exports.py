"""Find Telegram exports on this machine, and choose a chat in one."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from model.chat.names import make_printable_name
from pipeline.export.archive import MAX_LISTED, Archive, ExportedChat

RESULT = "result.json"
_FOLDERS = ("ChatExport_*", "DataExport_*")
_DOWNLOADS = re.compile(r'^XDG_DOWNLOAD_DIR="\$HOME/([^"]+)"', re.MULTILINE)
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class FoundExport:
    """A result.json, its size in bytes, and when it was written, in local time."""

    file: Path
    size: int
    written: datetime

    def __str__(self) -> str:
        return f"{self.size / _MIB:6,.1f} MB, written {self.written:%Y-%m-%d}"


def export_folders() -> list[Path]:
    """Return where exports usually are: this folder, Downloads, and Telegram's folder in it.

    On Linux, Downloads may have a translated name, which is read from user-dirs.dirs.
    """
    names = ["Downloads"]
    with suppress(OSError, UnicodeDecodeError):
        config = (Path.home() / ".config" / "user-dirs.dirs").read_text("utf-8")
        names += _DOWNLOADS.findall(config)
    downloads = [Path.home() / name for name in dict.fromkeys(names)]
    return [Path.cwd(), *downloads, *(folder / "Telegram Desktop" for folder in downloads)]


def find_exports(folders: Iterable[Path]) -> list[FoundExport]:
    """Return the exports in these folders, the newest first; unreadable folders are left out."""
    found: dict[Path, FoundExport] = {}
    for folder in folders:
        with suppress(OSError):
            for path in (folder, *(path for form in _FOLDERS for path in folder.glob(form))):
                file = (path / RESULT).resolve()
                if file.is_file():
                    stat = file.stat()
                    written = datetime.fromtimestamp(stat.st_mtime).astimezone()
                    found[file] = FoundExport(file, stat.st_size, written)
    return sorted(found.values(), key=lambda one: one.written, reverse=True)


def find_html_exports(folders: Iterable[Path]) -> list[Path]:
    """Return the exports in these folders that are HTML only, which cannot be read."""
    found: list[Path] = []
    for folder in folders:
        with suppress(OSError):
            candidates = [path for form in _FOLDERS for path in folder.glob(form)]
            found += [path for path in candidates if (path / "messages.html").is_file()]
    return [folder for folder in found if not (folder / RESULT).is_file()]


def list_chats(archive: Archive) -> list[tuple[ExportedChat, int]]:
    """Return the chats that have messages, with their number: groups first, then the largest."""
    sizes = [(chat, archive.spool.counts(chat.chat_id).messages) for chat in archive.chats.values()]
    kept = [(chat, size) for chat, size in sizes if size]
    kept.sort(key=lambda one: ("group" not in one[0].kind, -one[1]))
    return kept[:MAX_LISTED]


def describe_chat(chat: ExportedChat, messages: int) -> str:
    """Return a chat's name, kind and size in one line."""
    kind = chat.kind.replace("_", " ")
    return f"{make_printable_name(chat.name)} · {messages:,} messages · {kind}"
