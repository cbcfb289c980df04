"""A dataset on disk: pairs as Parquet, one file a split, occasions, the roster, the summary."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import IO, Any, Self

from model.artifact import Chat
from model.conversation import Window
from model.errors import DatasetError, UnderstudyError, describe_error
from model.files import (
    give_name,
    is_abandoned,
    make_folder,
    make_private,
    open_unnamed,
    owned_folder,
    owned_folders,
)
from model.roster import Roster
from pipeline.occasions import OCCASIONS
from pipeline.pairs import Pair
from pipeline.roster_file import read_roster
from pipeline.split import SPLITS, SplitName
from pipeline.summary import Summary, is_summary, read_summary

PAIRS = "pairs"
ROSTER = "roster.toml"
SUMMARY = "summary.json"
STRUCK = "struck.txt"

_OURS = {PAIRS, ROSTER, SUMMARY, STRUCK, OCCASIONS}


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


def check_place(folder: Path) -> None:
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
    check_place(folder)
    place = Path(os.path.realpath(folder))
    make_folder(place.parent)
    recover(place)
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


def recover(folder: Path) -> None:
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
        recover(folder)
    summary = read_summary(folder / SUMMARY)
    roster = read_roster(folder / ROSTER)
    splits = {name: _read_pairs(folder, name) for name in SPLITS}
    dataset = Dataset(folder, roster=roster, summary=summary, **splits)
    _check_roster(dataset)
    return dataset


def parquet() -> Any:  # noqa: ANN401  pyarrow ships no types
    """Return pyarrow's Parquet module.

    Raises:
        UnderstudyError: The training extra is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UnderstudyError("datasets need the training extra: pip install '.[train]'") from error
    return pyarrow.parquet


def _read_pairs(folder: Path, name: SplitName) -> tuple[Pair, ...]:
    file = folder / PAIRS / f"{name}.parquet"
    reader = parquet()
    try:
        return tuple(map(_pair, reader.read_table(file).to_pylist()))
    except (OSError, KeyError, TypeError, ValueError) as error:  # pyarrow's own are ValueErrors
        raise DatasetError(
            f"{file} cannot be read ({describe_error(error)}): build the dataset again"
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
                f"{dataset.folder / ROSTER} has changed who may be learned from or what they are "
                f"called: build again, with --roster {dataset.folder / ROSTER}"
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
