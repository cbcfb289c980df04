"""The merged history of a chat, stored between retrainings."""

import gzip
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from model.artifacts.consent import HISTORY_INDEX
from model.chat.names import escape_control_characters
from model.chat.telegram_ids import is_copy_id
from model.errors import DatasetError
from model.files import PRIVATE_FILE, make_folder, write_text
from pipeline.export.entries import Row
from pipeline.versions import consent as ledgers
from pipeline.versions.consent import Ledger
from pipeline.versions.lineage import damaged, read_index

FORMAT = 1
_SUFFIX = ".jsonl.gz"
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Cover:
    """What an export spoke for: ids and seconds since 1970 from its first message to its last."""

    first: int
    last: int
    begin: int
    newest: int

    def holds(self, number: int) -> bool:
        """Whether a message of this id was in it unless it was deleted."""
        return self.first <= number <= self.last

    def tells_of(self, number: int, at: int) -> bool:
        """Whether a message of this time would be in it, by another id than this."""
        in_time = self.begin <= at <= self.newest
        return in_time and not self.holds(number) and not is_copy_id(number)


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a chat besides its messages.

    `exports` are the sha256 of those merged, `former` is the basic group that a supergroup was.
    """

    chat_id: int
    number: int
    name: str
    kind: str
    covers: tuple[Cover, ...] = ()
    exports: tuple[str, ...] = ()
    former: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """A chat's history in its folder; without a head nothing was kept yet."""

    folder: Path
    ledger: Ledger
    head: Head | None = None
    file: Path | None = None

    def rows(self, names: dict[str | None, int]) -> Iterator[Row]:
        """Yield the rows, their names numbered by a spool's; its new names are put in."""
        if self.head is None or self.file is None:
            return
        try:
            with gzip.open(self.file, "rt", encoding="utf-8") as lines:
                next(lines)
                for line in lines:
                    number, kind, at, author, name, text, reply, flags, edited = orjson.loads(line)
                    named = names.setdefault(name, len(names))
                    chat = self.head.chat_id
                    yield Row(chat, number, kind, at, author, named, text, reply, flags, edited)
        except (OSError, EOFError, ValueError, StopIteration) as error:
            raise DatasetError(damaged(self.file, error)) from error


def folder_of(root: Path, chat_id: int) -> Path:
    """Return where a folder of models keeps a chat's history."""
    return root / "history" / str(chat_id)


def open_history(root: Path, chat_id: int) -> History:
    """Read what is kept of a chat; nothing is made.

    Raises:
        DatasetError: It is damaged.
    """
    folder = folder_of(root, chat_id)
    try:
        name, ledger = read_index(folder / HISTORY_INDEX)
    except FileNotFoundError:
        return History(folder, Ledger())
    file = folder / f"{name}{_SUFFIX}"
    try:
        head = _read_head(file, name)
    except (OSError, KeyError, TypeError, ValueError, StopIteration) as error:
        raise DatasetError(damaged(file, error)) from error
    return History(folder, ledger, head, file)


def histories(root: Path) -> list[History]:
    """Return all that a folder of models keeps, but for basic groups that live on."""
    found = sorted((root / "history").glob(f"*/{HISTORY_INDEX}"))
    kept = [open_history(root, int(index.parent.name)) for index in found]
    former = {one.head.former for one in kept if one.head}
    return [one for one in kept if one.head is None or one.head.chat_id not in former]


def keep(history: History, head: Head, rows: Iterable[Row], names: list[str | None]) -> History:
    """Put a history in place of the one before, of which nothing stays; return it.

    `names` are the names by the rows' numbers.
    """
    folder = make_folder(history.folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as temporary:
        beside = Path(temporary) / "history"
        _write(beside, head, rows, names)
        name = _hash(beside)
        beside.replace(folder / f"{name}{_SUFFIX}")
    value = {"format": FORMAT, "history": name, "ledger": ledgers.to_json(history.ledger)}
    write_text(
        folder / HISTORY_INDEX,
        escape_control_characters(json.dumps(value, ensure_ascii=False, indent=1)) + "\n",
    )
    kept = folder / f"{name}{_SUFFIX}"
    tidy(History(folder, history.ledger, head, kept))
    return History(folder, history.ledger, head, kept)


def tidy(history: History) -> None:
    """Remove whatever does not belong to a history from its folder, and the group's that it was."""
    if history.head and history.head.former:
        _remove(history.folder.with_name(str(history.head.former)))
    for path in history.folder.iterdir() if history.folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != history.file and path.name != HISTORY_INDEX:
            path.unlink()


def _remove(folder: Path) -> None:
    """Remove a history; half of one, that a kill leaves, is none."""
    (folder / HISTORY_INDEX).unlink(missing_ok=True)
    if folder.is_dir():
        shutil.rmtree(folder)


def _write(path: Path, head: Head, rows: Iterable[Row], names: list[str | None]) -> None:
    """Write rows so that the same ones make the same bytes."""
    path.touch(PRIVATE_FILE)
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as file,
    ):
        file.write(orjson.dumps({"format": FORMAT, **asdict(head)}) + b"\n")
        for _, number, kind, at, author, name, *rest in rows:
            file.write(orjson.dumps([number, kind, at, author, names[name], *rest]) + b"\n")


def _read_head(file: Path, name: str) -> Head:
    if _hash(file) != name:
        raise ValueError("its hash is another")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return _head(json.loads(next(lines)))


def _head(value: Mapping[str, Any]) -> Head:
    if value["format"] != FORMAT:
        raise ValueError(f"it is of format {value['format']}")
    return Head(
        value["chat_id"],
        value["number"],
        value["name"],
        value["kind"],
        tuple(Cover(**cover) for cover in value["covers"]),
        tuple(value["exports"]),
        value.get("former"),
    )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
