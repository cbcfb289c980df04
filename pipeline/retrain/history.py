"""Store the merged history of a chat between retrainings."""

import gzip
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from model.artifacts.consent import HISTORY_INDEX
from model.chat.names import escape_control_characters
from model.chat.telegram_ids import is_copy_id
from model.errors import DatasetError
from model.files import PRIVATE_FILE, make_folder, write_text
from pipeline.export.entries import Row
from pipeline.versions.ledger import ConsentLedger, describe_damage, ledger_to_json, read_index

FORMAT = 1
_SUFFIX = ".jsonl.gz"
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class ExportRange:
    """The ids and times from an export's first message to its last; times in Unix seconds."""

    first: int
    last: int
    begin: int
    newest: int

    def contains(self, number: int) -> bool:
        """Whether the export must have the message with this id, unless it was deleted."""
        return self.first <= number <= self.last

    def has_under_other_id(self, number: int, at: int) -> bool:
        """Whether the export must have this message under another id, unless it was deleted."""
        in_time = self.begin <= at <= self.newest
        return in_time and not self.contains(number) and not is_copy_id(number)


@dataclass(frozen=True, slots=True)
class HistoryHeader:
    """The facts about a chat that are stored with its messages.

    `ranges` are the id ranges and `exports` the sha256 hashes of the merged exports. `former` is
    the id of the basic group that this supergroup was. `utc_offsets` are the days on which the
    exports' offset from UTC changed, with the new offset in minutes.
    """

    chat_id: int
    number: int
    name: str
    kind: str
    ranges: tuple[ExportRange, ...] = ()
    exports: tuple[str, ...] = ()
    former: int | None = None
    utc_offsets: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """A chat's stored history; `header` and `file` are None if nothing is stored yet."""

    folder: Path
    ledger: ConsentLedger
    header: HistoryHeader | None = None
    file: Path | None = None

    def rows(self, names: dict[str | None, int]) -> Iterator[Row]:
        """Yield the rows; add new names to `names`, which maps them to a spool's numbers.

        Raises:
            DatasetError: The file is damaged.
        """
        if self.header is None or self.file is None:
            return
        try:
            with gzip.open(self.file, "rt", encoding="utf-8") as lines:
                next(lines)
                for line in lines:
                    number, kind, at, author, name, text, reply, flags, edited = orjson.loads(line)
                    named = names.setdefault(name, len(names))
                    chat = self.header.chat_id
                    yield Row(chat, number, kind, at, author, named, text, reply, flags, edited)
        except (OSError, EOFError, ValueError, StopIteration) as error:
            raise DatasetError(describe_damage(self.file, error)) from error


def history_folder(root: Path, chat_id: int) -> Path:
    """Return the folder of a chat's history."""
    return root / "history" / str(chat_id)


def open_history(root: Path, chat_id: int) -> History:
    """Read a chat's index and header; create nothing.

    Raises:
        DatasetError: The history is damaged.
    """
    folder = history_folder(root, chat_id)
    try:
        name, ledger = read_index(folder / HISTORY_INDEX)
    except FileNotFoundError:
        return History(folder, ConsentLedger())
    file = folder / f"{name}{_SUFFIX}"
    try:
        header = _read_header(file, name)
    except (OSError, KeyError, TypeError, ValueError, StopIteration) as error:
        raise DatasetError(describe_damage(file, error)) from error
    return History(folder, ledger, header, file)


def list_histories(root: Path) -> list[History]:
    """Return the histories in a models folder, without basic groups that became supergroups."""
    indices = sorted((root / "history").glob(f"*/{HISTORY_INDEX}"))
    histories = [open_history(root, int(index.parent.name)) for index in indices]
    former = {history.header.former for history in histories if history.header}
    return [
        history
        for history in histories
        if history.header is None or history.header.chat_id not in former
    ]


def write_history(
    history: History, header: HistoryHeader, rows: Iterable[Row], names: list[str | None]
) -> History:
    """Replace a history, delete what was stored before, and return the new one.

    `names` are indexed by the rows' name numbers. The same rows always give the same bytes.
    """
    folder = make_folder(history.folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as temporary:
        fresh = Path(temporary) / "history"
        fresh.touch(PRIVATE_FILE)
        with fresh.open("wb") as raw, gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed:
            packed.write(orjson.dumps({"format": FORMAT, **asdict(header)}) + b"\n")
            for _, number, kind, at, author, name, *rest in rows:
                packed.write(orjson.dumps([number, kind, at, author, names[name], *rest]) + b"\n")
        file_name = _hash_file(fresh)
        file = folder / f"{file_name}{_SUFFIX}"
        fresh.replace(file)
    index = {"format": FORMAT, "history": file_name, "ledger": ledger_to_json(history.ledger)}
    text = json.dumps(index, ensure_ascii=False, indent=1)
    write_text(folder / HISTORY_INDEX, escape_control_characters(text) + "\n")
    written = History(folder, history.ledger, header, file)
    delete_stale_files(written)
    return written


def delete_stale_files(history: History) -> None:
    """Delete other files in a history's folder, and the history of the former basic group."""
    if history.header and history.header.former:
        former = history.folder.with_name(str(history.header.former))
        (former / HISTORY_INDEX).unlink(missing_ok=True)  # first: without it the rest is unused
        if former.is_dir():
            shutil.rmtree(former)
    for path in history.folder.iterdir() if history.folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != history.file and path.name != HISTORY_INDEX:
            path.unlink()


def _read_header(file: Path, name: str) -> HistoryHeader:
    if _hash_file(file) != name:
        raise ValueError("its content does not match its name")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        value = json.loads(next(lines))
    if value["format"] != FORMAT:
        raise ValueError(f"its format is {value['format']}")
    return HistoryHeader(
        value["chat_id"],
        value["number"],
        value["name"],
        value["kind"],
        tuple(ExportRange(**one) for one in value["ranges"]),
        tuple(value["exports"]),
        value.get("former"),
        tuple((day, minutes) for day, minutes in value.get("utc_offsets", ())),
    )


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
