"""Write and read a dataset: Parquet files on disk, pairs in memory."""

import hashlib
import os
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from model.artifacts.artifact import LearnedChat
from model.chat.conversation import Window
from model.chat.roster import Roster
from model.errors import DatasetError, describe_error
from model.files import (
    give_name,
    is_abandoned,
    make_folder,
    make_private,
    open_unnamed,
    owned_folder,
    owned_folders,
    place_in_errors,
)
from model.joining import LineFacts
from pipeline.dataset.pairs import Pair, SessionLine
from pipeline.dataset.roster_file import ROSTER_FILE, read_roster
from pipeline.dataset.split import GAP, SPLITS, SplitName
from pipeline.dataset.summary import Summary, WrittenPairs, is_summary, read_summary

PAIRS = "pairs"
SUMMARY = "summary.json"
REMOVED = "removed.txt"
CONVERSATIONS = "conversations.jsonl"
LINES = "lines.parquet"

FIELDS = {
    "id": pa.string(),
    "chat_id": pa.int64(),
    "message_ids": pa.list_(pa.int64()),
    "context_ids": pa.list_(pa.int64()),
    "voice": pa.string(),
    "context": pa.list_(pa.string()),
    "target": pa.list_(pa.string()),
    "sent_at": pa.timestamp("s", tz="UTC"),
    "session": pa.int32(),
    "since": pa.int32(),
    "marks": pa.list_(pa.string()),
}

LINE_FIELDS = {
    "topic_id": pa.int64(),
    "session": pa.int32(),
    "message_id": pa.int64(),
    "line": pa.string(),
    "is_target": pa.bool_(),
    "pauses": pa.bool_(),
}

Conversations = Mapping[SplitName, tuple[tuple[LineFacts, ...], ...]]
"""The conversations of each split, in order of their first line."""

_OWN_FILES = {PAIRS, ROSTER_FILE, SUMMARY, REMOVED, CONVERSATIONS, LINES}
_UNSPLIT = pa.schema([*FIELDS.items(), ("surplus", pa.list_(pa.int32()))])
_SPLIT = pa.schema([*FIELDS.items(), ("seen", pa.bool_())])
_LINES = pa.schema(list(LINE_FIELDS.items()))
_BATCH = 2_048  # pairs
_DIGEST = 16  # bytes
_DEFAULTS = {
    field.name: field.default for field in fields(LineFacts) if field.default is not MISSING
}


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
        """Return the sha256 of pairs and splits, in hex; equal pairs have equal hashes."""
        return self.summary.content_hash

    def texts(self) -> Iterator[str]:
        """Yield the texts that a vocabulary for this dataset must cover."""
        for pair in self.train:
            yield from pair.context[-1:]
            yield from pair.target
        yield from (person.name for person in self.roster.people)


def load_dataset(folder: Path) -> Dataset:
    """Read a dataset.

    Raises:
        DatasetError: There is none, it is damaged, or its roster no longer fits.
        RosterError: Its roster.toml is invalid.
    """
    with suppress(OSError):  # a folder that this user cannot write to
        recover_dataset(folder)
    summary = read_summary(folder / SUMMARY)
    roster = read_roster(folder / ROSTER_FILE)
    splits = {split: _read_pairs(folder, split) for split in SPLITS}
    for name in (CONVERSATIONS, LINES):  # read when the training ends, or only for some bases
        if not (folder / name).is_file():
            raise _unreadable(folder / name, FileNotFoundError("no such file"))
    voices = {person.name for person in roster.voices}
    excluded = tuple(f"{person.name}:" for person in roster.people if person.learn == "no")
    for pair in (pair for pairs in splits.values() for pair in pairs):
        if pair.voice not in voices or any(line.startswith(excluded) for line in pair.context):
            raise _roster_changed(folder)
    return Dataset(folder, roster=roster, summary=summary, **splits)


def read_conversations(folder: Path, roster: Roster) -> Conversations:
    """Read a dataset's conversations.

    Raises:
        DatasetError: They cannot be read, or the roster has changed since.
    """
    path = folder / CONVERSATIONS
    found: dict[SplitName, list[tuple[LineFacts, ...]]] = {name: [] for name in SPLITS}
    try:
        with path.open("rb") as file:
            for row in file:
                value = orjson.loads(row)
                first, *rest = map(_parse_line, value["said"])
                found[value["split"]].append((first, *rest))
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error
    lines = (line for split in found.values() for conversation in split for line in conversation)
    names = {name for line in lines for name in (line.by, line.to, *line.named) if name is not None}
    if names - {person.name for person in roster.people if person.learn == "yes"}:
        raise _roster_changed(folder)
    return {
        name: tuple(sorted(conversations, key=lambda conversation: conversation[0].at))
        for name, conversations in found.items()
    }


def read_session_lines(folder: Path, roster: Roster) -> list[list[SessionLine]]:
    """Read the training sessions of a dataset, each as its lines, by topic and time.

    Raises:
        DatasetError: The file cannot be read, or the roster has changed since.
    """
    file = folder / LINES
    try:
        rows = pq.read_table(file).to_pylist()
        lines = [SessionLine(**row) for row in rows]
    except (OSError, TypeError, ValueError) as error:
        raise _unreadable(file, error) from error
    excluded = tuple(f"{person.name}:" for person in roster.people if person.learn == "no")
    voices = tuple(f"{person.name}:" for person in roster.voices)
    for line in lines:
        if line.line.startswith(excluded) or (line.is_target and not line.line.startswith(voices)):
            raise _roster_changed(folder)
    return [list(own) for _, own in groupby(lines, key=lambda line: line.session)]


def check_output(folder: Path) -> None:
    """Check that a dataset can be written there.

    Raises:
        DatasetError: Something else is there.
    """
    if folder.is_dir():
        if any(folder.iterdir()) and not is_summary(folder / SUMMARY):
            raise DatasetError(
                f"{folder} holds something other than a dataset: give --out a folder of its own"
            )
    elif folder.exists():
        raise DatasetError(f"{folder} is a file: give --out a folder")


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
        make_folder(new / PAIRS)
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


class UnnamedFiles:
    """A dataset's large files while they are written: unnamed, so that a kill leaves nothing."""

    def __init__(self, dataset: Path) -> None:
        self._folder = make_folder(Path(os.path.realpath(dataset)).parent)
        self._files: dict[str, IO[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def open(self, name: str) -> IO[bytes]:
        """Return a file at its beginning; the first call creates it."""
        if name not in self._files:
            self._files[name] = open_unnamed(self._folder)
        self._files[name].seek(0)
        return self._files[name]

    def name_in(self, folder: Path) -> None:
        """Give all files their names in a folder on the same disk."""
        for name, file in self._files.items():
            give_name(file, folder / name)


@dataclass(frozen=True, slots=True)
class EncodedPairs:
    """Pairs as rows of a dataset's files, before they are split.

    `targets` has a hash of each target, `only_surplus` says whether it has nothing but surplus
    texts, and `digests` has the digests of all rows.
    """

    rows: pa.RecordBatch
    targets: "array[int]"
    only_surplus: "array[int]"
    digests: bytes


def encode_pairs(pairs: Sequence[Pair]) -> EncodedPairs:
    """Encode pairs for `PairWriter.add`."""
    targets = array("q")
    for pair in pairs:
        target = "\n".join(pair.target).casefold()
        targets.append(int.from_bytes(_digest(target.encode(), 8), signed=True))
    return EncodedPairs(
        rows=_to_batch(pairs, _UNSPLIT),
        targets=targets,
        only_surplus=array("b", [len(pair.surplus) == len(pair.target) for pair in pairs]),
        digests=b"".join(
            _digest(
                orjson.dumps([pair.id, pair.voice, pair.context, pair.target, pair.surplus]),
                _DIGEST,
            )
            for pair in pairs
        ),
    )


class PairWriter:
    """Collects pairs in a temporary file, then writes those of each split to a Parquet file.

    Memory holds only a few numbers for each pair.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  see close
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._stream = pa.ipc.new_stream(self._file, _UNSPLIT, options=options)
        self._pending = pa.Table.from_batches([], _UNSPLIT)
        self._sessions, self._since = array("i"), array("i")
        self._voices, self._names = array("i"), dict[str, int]()
        self._targets = array("q")
        self._only_surplus = array("b")
        self._digests = tempfile.TemporaryFile()  # noqa: SIM115  see close

    def close(self) -> None:
        """Delete the temporary files."""
        self._stream.close()
        self._file.close()
        self._digests.close()

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, pairs: EncodedPairs, first_session: int) -> None:
        """Add pairs whose sessions are counted from this one."""
        rows = _shift(pairs.rows, first_session, "session", "since")
        self._sessions.frombytes(rows.column("session").to_numpy().tobytes())
        self._since.frombytes(rows.column("since").to_numpy().tobytes())
        for voice in rows.column("voice").to_pylist():
            self._voices.append(self._names.setdefault(voice, len(self._names)))
        self._targets.extend(pairs.targets)
        self._only_surplus.extend(pairs.only_surplus)
        self._digests.write(pairs.digests)
        table = pa.concat_tables([self._pending, pa.Table.from_batches([rows])])
        while len(table) >= _BATCH:
            _write_batch(self._stream, table.slice(0, _BATCH))
            table = table.slice(_BATCH)
        self._pending = table

    def write(self, target: Callable[[str], Any], splits: "array[int]") -> WrittenPairs:
        """Write one Parquet file for each split; `splits` has an entry for each session.

        The training split has no surplus texts, and no pairs that consist of them. `target`
        returns a file's path, or the open file, for its name.
        """
        _write_batch(self._stream, self._pending)
        self._stream.close()
        by_session = np.frombuffer(splits, np.int8)
        assigned = by_session[np.frombuffer(self._sessions, np.int32)]
        since = by_session[np.frombuffer(self._since, np.int32)]
        assigned = np.where(assigned == since, assigned, np.int8(GAP))
        dropped = int((assigned < 0).sum())
        seen = self._find_seen(assigned)
        assigned[(assigned == 0) & np.frombuffer(self._only_surplus, bool)] = GAP
        self._write_files(target, assigned, seen)
        return WrittenPairs(
            voices=tuple(self._count_voices(assigned == index) for index in range(len(SPLITS))),
            seen=tuple(int(seen[assigned == index].sum()) for index in range(len(SPLITS))),
            dropped=dropped,
            content_hash=self._hash_content(assigned),
        )

    def _find_seen(self, assigned: Any) -> Any:  # noqa: ANN401  numpy array
        """Return which held-out pairs have a target that also occurs in training.

        Sorts in place: np.unique and np.isin would hold several copies of all targets.
        """
        targets = np.frombuffer(self._targets, np.int64)
        trained = targets[assigned == 0]
        trained.sort()
        seen = np.zeros(len(assigned), bool)
        held_out = np.flatnonzero(assigned > 0)
        if len(trained):
            wanted = targets[held_out]
            found = np.searchsorted(trained, wanted)
            seen[held_out] = trained[np.minimum(found, len(trained) - 1)] == wanted
        return seen

    def _write_files(self, target: Callable[[str], Any], assigned: Any, seen: Any) -> None:  # noqa: ANN401
        options = {"compression": "zstd", "write_statistics": False}
        with ExitStack() as stack:
            files = [
                stack.enter_context(pq.ParquetWriter(target(f"{name}.parquet"), _SPLIT, **options))
                for name in SPLITS
            ]
            self._file.seek(0)
            start = 0
            for batch in pa.ipc.open_stream(self._file):
                end = start + batch.num_rows
                batch = _drop_surplus(batch, assigned[start:end] == 0)  # noqa: PLW2901
                columns = [*batch.columns, pa.array(seen[start:end])]
                batch = pa.record_batch(columns, schema=_SPLIT)  # noqa: PLW2901
                for index, file in enumerate(files):
                    rows = batch.filter(pa.array(assigned[start:end] == index))
                    if rows.num_rows:
                        file.write_batch(rows)
                start = end

    def _count_voices(self, mask: Any) -> dict[str, int]:  # noqa: ANN401  numpy array
        numbers = np.frombuffer(self._voices, np.int32)[mask]
        counts = np.bincount(numbers, minlength=len(self._names))
        return {name: int(counts[number]) for name, number in self._names.items()}

    def _hash_content(self, assigned: Any) -> str:  # noqa: ANN401  numpy array
        total = hashlib.sha256()
        for index, name in enumerate(SPLITS):
            total.update(name.encode())
            self._digests.seek(0)
            for start in range(0, len(assigned), _BATCH):
                digests = np.frombuffer(self._digests.read(_BATCH * _DIGEST), np.uint8)
                mask = assigned[start : start + _BATCH] == index
                total.update(digests.reshape(-1, _DIGEST)[mask].tobytes())
        return total.hexdigest()


def encode_conversation(conversation: Sequence[LineFacts]) -> bytes:
    """Encode a conversation for `ConversationWriter.add`."""
    return orjson.dumps([_line_to_json(line) for line in conversation])


class ConversationWriter:
    """Collects conversations in an unnamed temporary file, then writes those in a split."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  see close

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()

    def add(self, conversations: Iterable[tuple[int, bytes]], first_session: int) -> None:
        """Add conversations, each with its session, counted from this one."""
        with place_in_errors(Path(tempfile.gettempdir())):
            for session, lines in conversations:
                self._file.write(b"%d %b\n" % (first_session + session, lines))

    def write(self, target: IO[bytes], splits: "array[int]") -> None:
        """Write the conversations that are in a split; `splits` has an entry for each session."""
        self._file.seek(0)
        for row in self._file:
            session, _, lines = row.partition(b" ")
            if (index := splits[int(session)]) != GAP:
                split = SPLITS[index].encode()
                target.write(b'{"split":"%b","said":%b}\n' % (split, lines.rstrip()))


def encode_lines(lines: Sequence[SessionLine]) -> pa.RecordBatch:
    """Encode lines for `LineWriter.add`."""
    return _to_batch(lines, _LINES)


class LineWriter:
    """Collects sessions' lines in a temporary file, then writes those of the training split."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  see close
        self._stream = pa.ipc.new_stream(
            self._file, _LINES, options=pa.ipc.IpcWriteOptions(compression="lz4")
        )
        self._pending = pa.Table.from_batches([], _LINES)

    def close(self) -> None:
        """Delete the temporary file."""
        self._stream.close()
        self._file.close()

    def add(self, lines: pa.RecordBatch, sizes: Iterable[int], first_session: int) -> None:
        """Add the lines of sessions of these sizes, counted from the first one."""
        rows = _shift(lines, first_session, "session")
        table = pa.concat_tables([self._pending, pa.Table.from_batches([rows])])
        count = len(self._pending)
        for size in sizes:
            count += size
            if count >= _BATCH:  # a session is never divided
                _write_batch(self._stream, table.slice(0, count))
                table, count = table.slice(count), 0
        self._pending = table

    def write(self, target: IO[bytes], splits: "array[int]") -> None:
        """Write the lines of training sessions; `splits` has an entry for each session."""
        _write_batch(self._stream, self._pending)
        self._stream.close()
        is_training = np.frombuffer(splits, np.int8) == 0
        self._file.seek(0)
        with pq.ParquetWriter(target, _LINES, compression="zstd", write_statistics=False) as file:
            for batch in pa.ipc.open_stream(self._file):
                rows = batch.filter(pa.array(is_training[batch.column("session").to_numpy()]))
                if rows.num_rows:
                    file.write_batch(rows)


def _shift(rows: pa.RecordBatch, by: int, *columns: str) -> pa.RecordBatch:
    """Return rows with a number added to columns of int32."""
    for name in columns:
        moved = pa.array(rows.column(name).to_numpy() + np.int32(by))
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), moved)
    return rows


def _write_batch(stream: Any, rows: pa.Table) -> None:  # noqa: ANN401  pyarrow has no types
    """Write rows to a temporary file as one batch, if there are any."""
    if len(rows):
        [batch] = rows.combine_chunks().to_batches()
        with place_in_errors(Path(tempfile.gettempdir())):
            stream.write_batch(batch)


def _digest(text: bytes, size: int) -> bytes:
    return hashlib.blake2b(text, digest_size=size).digest()


def _drop_surplus(batch: pa.RecordBatch, is_training: Any) -> pa.RecordBatch:  # noqa: ANN401  numpy array
    """Return a batch without the column `surplus`, and without surplus texts in training rows."""
    surplus = batch.column("surplus")
    if not len(surplus.flatten()):
        return batch.drop_columns(["surplus"])
    targets = [
        [text for index, text in enumerate(target) if not (training and index in left_out)]
        for target, left_out, training in zip(
            batch.column("target").to_pylist(), surplus.to_pylist(), is_training, strict=True
        )
    ]
    column = batch.schema.get_field_index("target")
    kept = batch.set_column(column, "target", pa.array(targets, FIELDS["target"]))
    return kept.drop_columns(["surplus"])


def _to_batch(rows: Sequence[Pair | SessionLine], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in schema]
    return pa.record_batch(columns, schema=schema)


def _read_table(folder: Path, split: SplitName) -> pa.Table:
    file = folder / PAIRS / f"{split}.parquet"
    try:
        return pq.read_table(file)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise _unreadable(file, error) from error


def _read_pairs(folder: Path, split: SplitName) -> tuple[Pair, ...]:
    rows = _read_table(folder, split).to_pylist()
    try:
        return tuple(map(_to_pair, rows))
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder / PAIRS / f"{split}.parquet", error) from error


def _to_pair(row: Mapping[str, Any]) -> Pair:
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in row.items() if key != "id"}
    return Pair(**{**values, "sent_at": row["sent_at"].astimezone(UTC)})


def _unreadable(file: Path, error: Exception) -> DatasetError:
    return DatasetError(f"{file} cannot be read ({describe_error(error)}): build the dataset again")


def _roster_changed(folder: Path) -> DatasetError:
    return DatasetError(
        f"{folder / ROSTER_FILE} has changed who may be learned from or what they are called: "
        f"build again, with --roster {folder / ROSTER_FILE}"
    )


def _line_to_json(line: LineFacts) -> dict[str, Any]:
    """Return a line's facts, without default values."""
    values = {
        name: getattr(line, name)
        for name, default in _DEFAULTS.items()
        if getattr(line, name) != default
    }
    return {"at": line.at, "by": line.by, **values}


def _parse_line(value: Mapping[str, Any]) -> LineFacts:
    values = {**value, "named": tuple(value.get("named", ()))}
    return LineFacts(**{**values, "at": datetime.fromisoformat(value["at"])})


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
