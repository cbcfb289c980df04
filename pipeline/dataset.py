"""A dataset on disk: pairs/ for the datasets library, roster.toml, summary.json."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from model.artifact import Chat
from model.conversation import Window
from model.errors import DatasetError, UnderstudyError
from model.files import make_folder, make_private
from model.roster import Roster
from pipeline.pairs import Pair
from pipeline.roster_file import read_roster, write_roster
from pipeline.split import SPLITS, Splits
from pipeline.summary import Summary, is_summary, read_summary, write_summary

PAIRS = "pairs"
ROSTER = "roster.toml"
SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's pairs, in order of time in each split, and what training must know of them."""

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


def content_hash(splits: Splits) -> str:
    """Return the sha256, in hex, of every pair and the split it is in."""
    total = hashlib.sha256()
    for part in splits:
        for pair in part.pairs:
            row = [part.name, pair.id, pair.voice, pair.context, pair.target]
            total.update(json.dumps(row).encode() + b"\n")
    return total.hexdigest()


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


def write_dataset(folder: Path, splits: Splits, roster: Roster, summary: Summary) -> None:
    """Write a dataset beside its place, readable by its owner alone, then put it there.

    An older dataset there is replaced.

    Raises:
        DatasetError: Something else is there.
    """
    check_place(folder)
    place = folder.resolve()
    make_folder(place.parent)
    beside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        fresh = make_folder(beside / "new")
        _write_pairs(fresh / PAIRS, splits)
        write_roster(roster, fresh / ROSTER)
        write_summary(summary, fresh / SUMMARY)
        make_private(fresh)
        _put(fresh, place, beside / "old")
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load_dataset(folder: Path) -> Dataset:
    """Read a dataset.

    Raises:
        DatasetError: There is none, it is damaged, or its roster no longer fits.
        RosterError: Its roster.toml says something impossible.
    """
    summary = read_summary(folder / SUMMARY)
    roster = read_roster(folder / ROSTER)
    with _library() as datasets:
        try:
            stored = datasets.DatasetDict.load_from_disk(str(folder / PAIRS))
            splits = {name: tuple(map(_pair, stored[name].to_list())) for name in SPLITS}
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{folder / PAIRS} cannot be read ({error}): build the dataset again"
            ) from error
    dataset = Dataset(folder, roster=roster, summary=summary, **splits)
    _check_roster(dataset)
    return dataset


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


@contextmanager
def _library() -> Iterator[Any]:
    """Import the datasets library and keep its progress bars, which know no step's name, quiet."""
    try:
        import datasets
    except ImportError as error:
        raise UnderstudyError("datasets need the training extra: pip install '.[train]'") from error
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield datasets
    finally:
        if shown:
            datasets.enable_progress_bars()


def _write_pairs(folder: Path, splits: Splits) -> None:
    """Save the pairs from memory: what goes through files leaves plain text in a cache."""
    with _library() as datasets:
        features = datasets.Features(
            {
                "id": datasets.Value("string"),
                "chat_id": datasets.Value("int64"),
                "message_ids": datasets.List(datasets.Value("int64")),
                "context_ids": datasets.List(datasets.Value("int64")),
                "voice": datasets.Value("string"),
                "context": datasets.List(datasets.Value("string")),
                "target": datasets.List(datasets.Value("string")),
                "sent_at": datasets.Value("timestamp[s, tz=UTC]"),
            }
        )
        stored = {
            part.name: datasets.Dataset.from_dict(_columns(part.pairs, features), features)
            for part in splits
        }
        datasets.DatasetDict(stored).save_to_disk(str(folder))


def _columns(pairs: Iterable[Pair], names: Iterable[str]) -> dict[str, list[Any]]:
    rows = [{"id": pair.id, **asdict(pair)} for pair in pairs]
    return {name: [row[name] for row in rows] for name in names}


def _pair(row: Mapping[str, Any]) -> Pair:
    fields = {key: tuple(v) if isinstance(v, list) else v for key, v in row.items() if key != "id"}
    return Pair(**{**fields, "sent_at": row["sent_at"].astimezone(UTC)})


def _put(fresh: Path, place: Path, old: Path) -> None:
    """Move a folder into its place; what is there goes out of the way, and back on failure."""
    if place.exists():
        place.rename(old)
    try:
        fresh.rename(place)
    finally:
        if old.exists() and not place.exists():
            old.rename(place)
