"""Write and load a dataset: Parquet files on disk, pairs in memory."""

import hashlib
import os
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from model.artifacts.artifact import Chat
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
from pipeline.dataset.pairs import Pair
from pipeline.dataset.roster_file import ROSTER_FILE, read_roster
from pipeline.dataset.split import GAP, SPLITS, SplitName, WrittenPairs
from pipeline.dataset.summary import Summary, is_summary, read_summary

if TYPE_CHECKING:
    import datasets

_BATCH = 2_048  # pairs
_DIGEST = 16  # bytes

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
_DRAFT = pa.schema(list(FIELDS.items()))
_FINAL = pa.schema([*FIELDS.items(), ("seen", pa.bool_())])


class PairWriter:
    """Takes in pairs one by one, then writes those of each split into a file of its own."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed with the draft
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._stream = pa.ipc.new_stream(self._file, _DRAFT, options=options)
        self._waiting: list[Pair] = []
        self._sessions, self._since = array("i"), array("i")
        self._voices, self._names = array("i"), dict[str, int]()
        self._targets = array("q")
        self._digests = tempfile.TemporaryFile()  # noqa: SIM115  closed with the draft

    def close(self) -> None:
        """Let the pairs go."""
        self._stream.close()
        self._file.close()
        self._digests.close()

    def __len__(self) -> int:
        """Return how many pairs were taken in."""
        return len(self._sessions)

    def add(self, pair: Pair) -> None:
        """Take in a pair."""
        self._sessions.append(pair.session)
        self._since.append(pair.since)
        self._voices.append(self._names.setdefault(pair.voice, len(self._names)))
        said = "\n".join(pair.target).casefold()
        self._targets.append(int.from_bytes(_digest(said.encode(), 8), signed=True))
        row = orjson.dumps([pair.id, pair.voice, pair.context, pair.target])
        self._digests.write(_digest(row, _DIGEST))
        self._waiting.append(pair)
        if len(self._waiting) >= _BATCH:
            self._flush()

    def write(self, target: Callable[[str], Any], splits: "array[int]") -> WrittenPairs:
        """Write one Parquet file for each split; `splits` has an entry for each session.

        `target` returns a file's path, or the open file, for its name.
        """
        self._flush()
        self._stream.close()
        by_session = np.frombuffer(splits, np.int8)
        places = by_session[np.frombuffer(self._sessions, np.int32)]
        since = by_session[np.frombuffer(self._since, np.int32)]
        places = np.where(places == since, places, np.int8(-1))
        seen = self._seen(places)
        self._write_files(target, places, seen)
        return WrittenPairs(
            voices=tuple(self._by_voice(places == place) for place in range(len(SPLITS))),
            seen=tuple(int(seen[places == place].sum()) for place in range(len(SPLITS))),
            dropped=int((places < 0).sum()),
            content_hash=self._content_hash(places),
        )

    def _seen(self, places: Any) -> Any:  # noqa: ANN401  numpy's border
        """Return which pairs outside training have a target that also occurs in training.

        Sorts in place: np.unique and np.isin would hold several copies of all targets.
        """
        targets = np.frombuffer(self._targets, np.int64)
        trained = targets[places == 0]
        trained.sort()
        seen = np.zeros(len(places), bool)
        judging = np.flatnonzero(places > 0)
        if len(trained):
            wanted = targets[judging]
            found = np.searchsorted(trained, wanted)
            seen[judging] = trained[np.minimum(found, len(trained) - 1)] == wanted
        return seen

    def _flush(self) -> None:
        if self._waiting:
            with place_in_errors(Path(tempfile.gettempdir())):
                self._stream.write_batch(_batch(self._waiting))
            self._waiting = []

    def _write_files(self, target: Callable[[str], Any], places: Any, seen: Any) -> None:  # noqa: ANN401
        with ExitStack() as stack:
            files = [
                stack.enter_context(
                    pq.ParquetWriter(
                        target(f"{name}.parquet"),
                        _FINAL,
                        compression="zstd",
                        write_statistics=False,
                    )
                )
                for name in SPLITS
            ]
            start = 0
            for batch in self._batches():
                end = start + batch.num_rows
                whole = pa.record_batch([*batch.columns, pa.array(seen[start:end])], schema=_FINAL)
                for place, file in enumerate(files):
                    own = whole.filter(pa.array(places[start:end] == place))
                    if own.num_rows:
                        file.write_batch(own)
                start = end

    def _batches(self) -> Iterator[Any]:
        self._file.seek(0)
        yield from pa.ipc.open_stream(self._file)

    def _by_voice(self, mask: Any) -> dict[str, int]:  # noqa: ANN401
        counts = np.bincount(
            np.frombuffer(self._voices, np.int32)[mask], minlength=len(self._names)
        )
        return {name: int(counts[number]) for name, number in self._names.items()}

    def _content_hash(self, places: Any) -> str:  # noqa: ANN401
        total = hashlib.sha256()
        for place, name in enumerate(SPLITS):
            total.update(name.encode())
            self._digests.seek(0)
            for start in range(0, len(places), _BATCH):
                rows = np.frombuffer(self._digests.read(_BATCH * _DIGEST), np.uint8)
                own = places[start : start + _BATCH] == place
                total.update(rows.reshape(-1, _DIGEST)[own].tobytes())
        return total.hexdigest()


def _batch(pairs: Sequence[Pair]) -> Any:  # noqa: ANN401  pyarrow ships no types
    columns = [
        pa.array([getattr(pair, name) for pair in pairs], kind) for name, kind in FIELDS.items()
    ]
    return pa.record_batch(columns, schema=_DRAFT)


def _digest(text: bytes, size: int) -> bytes:
    return hashlib.blake2b(text, digest_size=size).digest()


CONVERSATIONS = "conversations.jsonl"

Conversations = Mapping[SplitName, tuple[tuple[LineFacts, ...], ...]]
"""The conversations of each split, in order of their beginning."""

_DEFAULTS = {
    field.name: field.default for field in fields(LineFacts) if field.default is not MISSING
}


class ConversationWriter:
    """Takes in conversations until all sessions are known and can be split.

    They wait in a temporary file without a name, as the pairs do.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed with the draft

    def close(self) -> None:
        """Let the conversations go."""
        self._file.close()

    def add(self, session: int, conversations: Iterable[Sequence[LineFacts]]) -> None:
        """Take in the conversations of a session of this number."""
        for conversation in conversations:
            said = orjson.dumps([_to_json(one) for one in conversation])
            with place_in_errors(Path(tempfile.gettempdir())):
                self._file.write(b"%d %b\n" % (session, said))

    def write(self, target: IO[bytes], splits: "array[int]") -> None:
        """Write those of the splits; `splits` has a place for each session."""
        self._file.seek(0)
        for row in self._file:
            session, _, said = row.partition(b" ")
            if (place := splits[int(session)]) != GAP:
                split = SPLITS[place].encode()
                target.write(b'{"split":"%b","said":%b}\n' % (split, said.rstrip()))


def read_conversations(folder: Path, roster: Roster) -> Conversations | None:
    """Read a dataset's conversations; None where an earlier version built it without.

    Raises:
        DatasetError: They cannot be read, or the roster has changed since.
    """
    path = folder / CONVERSATIONS
    found: dict[SplitName, list[tuple[LineFacts, ...]]] = {name: [] for name in SPLITS}
    try:
        with path.open("rb") as file:
            for row in file:
                value = orjson.loads(row)
                first, *rest = map(_from_json, value["said"])
                found[value["split"]].append((first, *rest))
    except FileNotFoundError:
        return None
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read ({describe_error(error)}): build the dataset again"
        ) from error
    _occasions_check_roster(path, found.values(), roster)
    return {
        name: tuple(sorted(several, key=lambda conversation: conversation[0].at))
        for name, several in found.items()
    }


def _occasions_check_roster(
    path: Path, found: Iterable[Iterable[Iterable[LineFacts]]], roster: Roster
) -> None:
    """Make sure that all who are in the file may be learned from, under these names."""
    said = (one for split in found for conversation in split for one in conversation)
    names = {name for one in said for name in (one.by, one.to, *one.named) if name is not None}
    if names - {person.name for person in roster.people if person.learn == "yes"}:
        raise DatasetError(
            f"{path.with_name('roster.toml')} has changed who may be learned from or what they "
            f"are called: build again, with --roster {path.with_name('roster.toml')}"
        )


def _to_json(said: LineFacts) -> dict[str, Any]:
    """Return a line's facts but for those that are as usual."""
    facts = {
        name: getattr(said, name)
        for name, usual in _DEFAULTS.items()
        if getattr(said, name) != usual
    }
    return {"at": said.at, "by": said.by, **facts}


def _from_json(value: Mapping[str, Any]) -> LineFacts:
    facts = {**value, "named": tuple(value.get("named", ()))}
    return LineFacts(**{**facts, "at": datetime.fromisoformat(value["at"])})


PAIRS = "pairs"
SUMMARY = "summary.json"
REMOVED = "removed.txt"

_OURS = {PAIRS, ROSTER_FILE, SUMMARY, REMOVED, CONVERSATIONS}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's pairs, topic by topic and in order of time, and what training must know."""

    folder: Path
    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]
    roster: Roster
    summary: Summary

    @property
    def window(self) -> Window:
        """Return how far back the contexts look."""
        return self.summary.window

    @property
    def chats(self) -> tuple[Chat, ...]:
        """Return the chats that the pairs come from."""
        return self.summary.chats

    @property
    def public(self) -> bool:
        """Return whether everybody may read these messages: the demo's, not friends'."""
        return self.summary.public

    @property
    def content_hash(self) -> str:
        """Return the sha256 of pairs and splits, in hex; equal pairs have equal hashes."""
        return self.summary.content_hash

    def texts(self) -> Iterator[str]:
        """Yield what a vocabulary must hold to train on this."""
        for pair in self.train:
            yield from pair.context[-1:]
            yield from pair.target
        yield from (person.name for person in self.roster.people)


def check_output(folder: Path) -> None:
    """Make sure that a dataset may be written there.

    Raises:
        DatasetError: Something else is there.
    """
    if folder.is_dir():
        if any(folder.iterdir()) and not is_summary(folder / SUMMARY):
            raise DatasetError(
                f"{folder} holds something else than a dataset: give --out a folder of its own"
            )
    elif folder.exists():
        raise DatasetError(f"{folder} is a file: give --out a folder")


@contextmanager
def new_dataset(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside the dataset's place, which takes that place at the end.

    It can be read by its owner alone; an older dataset is replaced; on an error all stays as it is.

    Raises:
        DatasetError: Something else is there.
    """
    check_output(folder)
    place = Path(os.path.realpath(folder))
    make_folder(place.parent)
    recover_dataset(place)
    with owned_folder(place.parent, place.name) as beside:
        fresh = make_folder(beside / "new")
        make_folder(fresh / PAIRS)
        yield fresh
        make_private(fresh)
        _put(fresh, place, beside / "old")


class UnnamedFiles:
    """A dataset's large files while they are written: unnamed, so that a kill leaves nothing."""

    def __init__(self, place: Path) -> None:
        self._folder = make_folder(Path(os.path.realpath(place)).parent)
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


def recover_dataset(folder: Path) -> None:
    """Clean up after killed builds; restore an older dataset that one of them had moved."""
    place = Path(os.path.realpath(folder))
    if not place.exists():
        every = owned_folders(place.parent, place.name)
        kept = [beside / "old" for beside in every if (beside / "old").is_dir()]
        if kept:
            max(kept, key=lambda old: old.parent.stat().st_mtime).rename(place)
    for beside in owned_folders(place.parent, place.name):
        if is_abandoned(beside):
            _keep_foreign(beside / "old", place)
            shutil.rmtree(beside, ignore_errors=True)


def load_dataset(folder: Path) -> Dataset:
    """Read a dataset.

    Raises:
        DatasetError: There is none, it is damaged, or its roster no longer fits.
        RosterError: Its roster.toml says something impossible.
    """
    with suppress(OSError):  # a folder that this user may not write
        recover_dataset(folder)
    summary = read_summary(folder / SUMMARY)
    roster = read_roster(folder / ROSTER_FILE)
    splits = {name: _read_pairs(folder, name) for name in SPLITS}
    dataset = Dataset(folder, roster=roster, summary=summary, **splits)
    _check_roster(dataset)
    return dataset


def read_pair_table(folder: Path, split: SplitName) -> "datasets.Dataset":
    """Read one split's pairs as a `datasets.Dataset` in memory, the form that feeds the Trainer.

    Columns, one row per pair:

    id, voice          string
    context, target    list of strings: rendered lines, oldest first; the texts of the reply
    sent_at            timestamp in seconds, UTC: when the reply began
    chat_id            int64
    message_ids        list of int64: the reply's messages
    context_ids        list of int64: the context's messages
    session, since     int32: session of the reply, session of the oldest context line
    marks              list of strings: why the target is doubtful
    seen               bool: held-out target that also occurs in training

    Nothing is written to disk, neither here nor by `map` and `filter` on the result, while
    `datasets.load_dataset` and `from_parquet` leave the chat as plain text in a cache.

    Raises:
        DatasetError: The file cannot be read.
    """
    import datasets

    return datasets.Dataset(_read_table(folder, split))


def pair_table(pairs: Sequence[Pair]) -> "datasets.Dataset":
    """Return these pairs with the columns of `read_pair_table`, for pairs that are in no file."""
    import datasets

    columns = [[getattr(pair, name) for pair in pairs] for name in _FINAL.names]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, _FINAL.types, strict=True)]
    return datasets.Dataset(pa.table(arrays, schema=_FINAL))


def _read_table(folder: Path, split: SplitName) -> pa.Table:
    file = folder / PAIRS / f"{split}.parquet"
    try:
        return pq.read_table(file)
    except (OSError, ValueError) as error:  # pyarrow's own are ValueErrors
        raise DatasetError(
            f"{file} cannot be read ({describe_error(error)}): build the dataset again"
        ) from error


def _read_pairs(folder: Path, split: SplitName) -> tuple[Pair, ...]:
    rows = _read_table(folder, split).to_pylist()
    try:
        return tuple(map(_pair, rows))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{folder / PAIRS / split}.parquet cannot be read ({describe_error(error)}): "
            "build the dataset again"
        ) from error


def _pair(row: Mapping[str, Any]) -> Pair:
    fields = {key: tuple(v) if isinstance(v, list) else v for key, v in row.items() if key != "id"}
    return Pair(**{**fields, "sent_at": row["sent_at"].astimezone(UTC)})


def _check_roster(dataset: Dataset) -> None:
    """Make sure that nobody said no, or got another name, since the pairs were made."""
    voices = {person.name for person in dataset.roster.voices}
    withheld = tuple(f"{p.name}:" for p in dataset.roster.people if p.learn == "no")
    for pair in (*dataset.train, *dataset.validation, *dataset.test):
        if pair.voice not in voices or any(line.startswith(withheld) for line in pair.context):
            raise DatasetError(
                f"{dataset.folder / ROSTER_FILE} has changed who may be learned from or what they "
                f"are called: build again, with --roster {dataset.folder / ROSTER_FILE}"
            )


def _put(fresh: Path, place: Path, old: Path) -> None:
    """Move a folder into its place; what is there goes out of the way, and back on failure.

    What a person put into the older dataset's folder stays in it.
    """
    if place.exists():
        place.rename(old)
    try:
        fresh.rename(place)
    finally:
        if old.exists() and not place.exists():
            old.rename(place)
    _keep_foreign(old, place)


def _keep_foreign(old: Path, place: Path) -> None:
    """Move files that the user added to an older dataset's folder into the new one."""
    for entry in old.iterdir() if old.exists() else ():
        if entry.name not in _OURS and not (place / entry.name).exists():
            entry.rename(place / entry.name)
