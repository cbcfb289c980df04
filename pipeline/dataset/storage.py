"""Write and read a dataset: one table of lines, from which pairs and conversations are computed."""

import os
import shutil
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, compress, groupby
from operator import itemgetter
from pathlib import Path
from sys import intern
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.artifacts.artifact import LearnedChat
from model.chat.conversation import Window
from model.chat.eligibility import Line
from model.chat.roster import Roster
from model.errors import DatasetError, describe_error
from model.files import (
    is_abandoned,
    make_folder,
    make_private,
    owned_folder,
    owned_folders,
    place_in_errors,
)
from model.joining import LineFacts, MentionFinder, split_conversations
from pipeline.dataset.pairs import Pair, Session, group_by_split, make_pairs
from pipeline.dataset.roster_file import ROSTER_FILE, read_roster
from pipeline.dataset.split import SPLITS, SplitName
from pipeline.dataset.summary import Summary, is_summary, read_summary

LINES = "lines.parquet"
SUMMARY = "summary.json"
REMOVED = "removed.txt"

Conversations = Mapping[SplitName, tuple[tuple[LineFacts, ...], ...]]
"""The conversations of each split, in order of their first line."""

_OWN_FILES = {LINES, ROSTER_FILE, SUMMARY, REMOVED}
_UNSPLIT = pa.schema(
    [
        pa.field("topic_id", pa.int64(), nullable=False),
        pa.field("session", pa.int32(), nullable=False),
        pa.field("message_id", pa.int64(), nullable=False),
        pa.field("author_id", pa.int64(), nullable=False),
        pa.field("speaker", pa.string()),
        pa.field("text", pa.string(), nullable=False),
        pa.field("sent_at", pa.timestamp("s", tz="UTC"), nullable=False),
        pa.field("is_target", pa.bool_(), nullable=False),
        pa.field("reply_to", pa.int64()),
        pa.field("is_surplus", pa.bool_(), nullable=False),
        pa.field("is_removed", pa.bool_(), nullable=False),
    ]
)
_SCHEMA = _UNSPLIT.append(pa.field("split", pa.string()))
"""The columns of the table of lines, which is ordered by topic, then time.

`speaker` is null where the line is withheld, `split` in the gaps between the splits.
"""

_SPLIT_OF: dict[str | None, SplitName | None] = {None: None, **{name: name for name in SPLITS}}
_BATCH = 8_192  # lines


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's pairs, by topic and time, with its roster and summary."""

    folder: Path
    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]
    roster: Roster
    summary: Summary

    @property
    def window(self) -> Window:
        """Return the window of the contexts."""
        return self.summary.window

    @property
    def chats(self) -> tuple[LearnedChat, ...]:
        """Return the chats that the pairs come from."""
        return self.summary.chats

    @property
    def public(self) -> bool:
        """Whether anyone may read these messages, as in the demo."""
        return self.summary.public

    @property
    def content_hash(self) -> str:
        """Return the sha256 of lines, splits and window, in hex."""
        return self.summary.content_hash

    def texts(self) -> Iterator[str]:
        """Yield the texts that a vocabulary for this dataset must cover."""
        for pair in self.train:
            yield from pair.context[-1:]
            yield from pair.target
        yield from (person.name for person in self.roster.people)

    def sessions(self, split: SplitName | None = None) -> Iterator[Session]:
        """Read the sessions of a split, or all, by topic and time.

        Raises:
            DatasetError: The table cannot be read, or the roster has changed since.
        """
        return _read_checked(self.folder, self.roster, split)

    def conversations(self) -> Conversations:
        """Compute the conversations of each split.

        Raises:
            DatasetError: The table cannot be read, or the roster has changed since.
        """
        found: dict[SplitName, list[tuple[LineFacts, ...]]] = {name: [] for name in SPLITS}
        finder = MentionFinder(self.roster)
        for session in self.sessions():
            if session.split is not None:
                own = split_conversations(session.lines, self.roster, self.window.gap, finder)
                found[session.split] += map(tuple, own)
        return {
            name: tuple(sorted(own, key=lambda conversation: conversation[0].at))
            for name, own in found.items()
        }


def load_dataset(folder: Path) -> Dataset:
    """Read a dataset and compute its pairs.

    Raises:
        DatasetError: There is none, it is damaged, or its roster no longer fits.
        RosterError: Its roster.toml is invalid.
    """
    with suppress(OSError):  # a folder that this user cannot write to
        recover_dataset(folder)
    summary = read_summary(folder / SUMMARY)
    roster = read_roster(folder / ROSTER_FILE)
    sessions = _read_checked(folder, roster)
    pairs = group_by_split(make_pairs(sessions, summary.chats[0].chat_id, summary.window))
    return Dataset(folder, roster=roster, summary=summary, **pairs)


def read_message_ids(folder: Path) -> set[int]:
    """Return the ids of all messages in a dataset.

    Raises:
        DatasetError: The table cannot be read.
    """
    try:
        return set(pq.read_table(folder / LINES, columns=["message_id"])["message_id"].to_pylist())
    except (KeyError, OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise _unreadable(folder / LINES, error) from error


def read_sessions(
    file: Path | IO[bytes], roster: Roster | None = None, only: SplitName | None = None
) -> Iterator[Session]:
    """Read the sessions of a table of lines, by topic and time; `only` those of a split, if given.

    Raises:
        KeyError, OSError, TypeError, ValueError: It cannot be read. _RosterChangedError: The
            roster, if any, has another author for a line.
    """
    with pq.ParquetFile(file) as table:
        batches = table.iter_batches(_BATCH)
        rows = chain.from_iterable(_read_rows(batch, roster, only) for batch in batches)
        for (topic_id, number, split), own in groupby(rows, key=itemgetter(0, 1, 2)):
            lines, surplus, removed = zip(*(row[3:] for row in own), strict=True)
            ids = [line.message_id for line in lines]
            yield Session(
                number,
                topic_id,
                lines,
                frozenset(compress(ids, surplus)),
                frozenset(compress(ids, removed)),
                split,
            )


def check_output(folder: Path) -> None:
    """Check that a dataset can be written there.

    Raises:
        DatasetError: Something else is there.
    """
    if folder.is_dir():
        if any(folder.iterdir()) and not is_summary(folder / SUMMARY):
            raise DatasetError(
                f"{folder} contains something other than a dataset: choose another folder for --out"
            )
    elif folder.exists():
        raise DatasetError(f"{folder} is a file: choose a folder for --out")


@contextmanager
def new_dataset(folder: Path) -> Iterator[Path]:
    """Yield an empty folder for a dataset; at the end it replaces the dataset in `folder`.

    Only its owner can read it. After an error the older dataset remains.

    Raises:
        DatasetError: Something else is there.
    """
    check_output(folder)
    resolved = Path(os.path.realpath(folder))
    make_folder(resolved.parent)
    recover_dataset(resolved)
    with owned_folder(resolved.parent, resolved.name) as work:
        new = make_folder(work / "new")
        yield new
        make_private(new)
        _replace(resolved, new, work / "old")


def recover_dataset(folder: Path) -> None:
    """Clean up after killed builds; restore an older dataset that one of them had moved."""
    resolved = Path(os.path.realpath(folder))
    if not resolved.exists():
        works = owned_folders(resolved.parent, resolved.name)
        moved = [work / "old" for work in works if (work / "old").is_dir()]
        if moved:
            max(moved, key=lambda old: old.parent.stat().st_mtime).rename(resolved)
    for work in owned_folders(resolved.parent, resolved.name):
        if is_abandoned(work):
            _move_added_files(work / "old", resolved)
            shutil.rmtree(work, ignore_errors=True)


def encode_sessions(sessions: Iterable[Session]) -> pa.RecordBatch:
    """Encode sessions that have no split yet, for `LineWriter.add`."""
    rows = [
        (
            session.topic_id, session.number, line.message_id, line.author_id, line.speaker,
            line.text, line.sent_at, line.is_target, line.reply_to,
            line.message_id in session.surplus, line.message_id in session.removed,
        )
        for session in sessions
        for line in session.lines
    ]  # fmt: skip
    columns = zip(*rows, strict=True) if rows else [()] * len(_UNSPLIT)
    arrays = [pa.array(own, field.type) for own, field in zip(columns, _UNSPLIT, strict=True)]
    return pa.record_batch(arrays, schema=_UNSPLIT)


class LineWriter:
    """Collects lines in a temporary file, then writes them with their splits."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  see close
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._stream = pa.ipc.new_stream(self._file, _UNSPLIT, options=options)
        self._pending = pa.Table.from_batches([], _UNSPLIT)

    def close(self) -> None:
        """Delete the temporary file."""
        self._stream.close()
        self._file.close()

    def add(self, rows: pa.RecordBatch, first_session: int) -> None:
        """Add the lines of sessions; their numbers start at `first_session`."""
        moved = pa.array(rows.column("session").to_numpy() + np.int32(first_session))
        place = _UNSPLIT.get_field_index("session")
        rows = rows.set_column(place, _UNSPLIT.field(place), moved)
        table = pa.concat_tables([self._pending, pa.Table.from_batches([rows])])
        while len(table) >= _BATCH:
            self._write(table.slice(0, _BATCH))
            table = table.slice(_BATCH)
        self._pending = table

    def write(self, target: IO[bytes], splits: "array[int]") -> None:
        """Write the table; `splits` has the index in SPLITS, or GAP, of each session."""
        self._write(self._pending)
        self._stream.close()
        self._file.seek(0)
        names = pa.array([*SPLITS, None])  # GAP is the last index
        by_session = np.frombuffer(splits, np.int8) % len(names)
        options = {"compression": "zstd", "write_statistics": False}
        with pq.ParquetWriter(target, _SCHEMA, **options) as file:
            for batch in pa.ipc.open_stream(self._file):
                split = names.take(pa.array(by_session[batch.column("session").to_numpy()]))
                file.write_batch(pa.record_batch([*batch.columns, split], schema=_SCHEMA))

    def _write(self, rows: pa.Table) -> None:
        """Write rows to the temporary file as one batch, if there are any."""
        if len(rows):
            [batch] = rows.combine_chunks().to_batches()
            with place_in_errors(Path(tempfile.gettempdir())):
                self._stream.write_batch(batch)


def _read_checked(folder: Path, roster: Roster, only: SplitName | None = None) -> Iterator[Session]:
    """Read a dataset's sessions; check that the roster still fits."""
    file = folder / LINES
    try:
        yield from read_sessions(file, roster, only)
    except _RosterChangedError as error:
        raise DatasetError(
            f"a change in {folder / ROSTER_FILE} affects whose messages may be used, or somebody's "
            f"name: build again, with --roster {folder / ROSTER_FILE}"
        ) from error
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise _unreadable(file, error) from error


class _RosterChangedError(Exception):
    """The roster and the dataset have different authors for a line."""


def _read_rows(
    batch: pa.RecordBatch, roster: Roster | None, only: SplitName | None
) -> Iterator[tuple[Any, ...]]:
    """Return topic, session, split, line, whether it is surplus and whether it was removed."""
    table = pa.Table.from_batches([batch]).cast(_SCHEMA)
    if roster is not None:
        _check_roster(table, roster)
    if only is not None:
        table = table.filter(pc.field("split") == only)
    columns = {name: table[name].to_pylist() for name in _SCHEMA.names if name != "sent_at"}
    seconds = table["sent_at"].cast(pa.int64()).to_pylist()
    lines = map(
        Line,
        columns["message_id"],
        columns["author_id"],
        (name and intern(name) for name in columns["speaker"]),
        columns["text"],
        (datetime.fromtimestamp(at, UTC) for at in seconds),
        columns["is_target"],
        columns["reply_to"],
    )
    splits = (_SPLIT_OF[name] for name in columns["split"])
    return zip(
        columns["topic_id"], columns["session"], splits, lines,
        columns["is_surplus"], columns["is_removed"], strict=True,
    )  # fmt: skip


def _check_roster(table: pa.Table, roster: Roster) -> None:
    """Check that the roster has the same author for each line, and allows their use.

    Raises:
        _RosterChangedError: It does not.
    """
    authors = table.group_by(["author_id", "speaker", "is_target"]).aggregate([]).to_pylist()
    for author in authors:
        speaker, person = author["speaker"], roster.find_by_id(author["author_id"])
        if speaker is None:
            continue
        if author["author_id"] in roster.understudies:
            fits = not roster.is_withheld_name(speaker)
        elif person is None:
            fits = not author["is_target"]
        else:
            fits = person.name == speaker and person.learn == "yes"
            fits = fits and (person.may_be_target or not author["is_target"])
        if not fits:
            raise _RosterChangedError


def _unreadable(file: Path, error: Exception) -> DatasetError:
    return DatasetError(f"{file} cannot be read ({describe_error(error)}): build the dataset again")


def _replace(dataset: Path, new: Path, old: Path) -> None:
    """Put the `new` folder in place of the one there; restore the old one on failure.

    Files that the user added to the older dataset's folder stay in it.
    """
    if dataset.exists():
        dataset.rename(old)
    try:
        new.rename(dataset)
    finally:
        if old.exists() and not dataset.exists():
            old.rename(dataset)
    _move_added_files(old, dataset)


def _move_added_files(old: Path, dataset: Path) -> None:
    for entry in old.iterdir() if old.exists() else ():
        if entry.name not in _OWN_FILES and not (dataset / entry.name).exists():
            entry.rename(dataset / entry.name)
