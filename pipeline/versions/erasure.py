"""Delete versions and datasets: of a person, of killed runs, and old ones."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model.artifacts.registry import Registry, receipt_path
from model.errors import ArtifactError, RosterError, TrainingError
from model.files import locked
from pipeline.dataset.roster_file import ROSTER_FILE, read_roster
from pipeline.dataset.storage import PAIRS, REMOVED, SUMMARY
from pipeline.dataset.summary import is_summary
from pipeline.versions.lineage import (
    DATASETS,
    artifacts,
    dataset_of,
    holders,
    note_erased,
    person_called,
    remove_version,
)

BUILDING = "new"
"""Where in it a retraining builds, before the dataset has its name."""

_OURS = re.compile(r"[0-9a-f]{12}|new|\.new\.understudy-.*")


@dataclass(frozen=True, slots=True)
class Erased:
    """The datasets that were deleted, whether checkpoints were too, and why."""

    datasets: tuple[Path, ...] = ()
    checkpoints: bool = False
    why: str = ""


def datasets(root: Path) -> Iterator[Path]:
    """Yield the datasets that retrainings made."""
    for folder in sorted((root / DATASETS).glob("*")):
        if is_summary(folder / SUMMARY):
            yield folder


def purge(registry: Registry, name: str) -> list[str]:
    """Delete every version that was made of a person's words; return their names.

    Raises:
        ArtifactError: Nobody is called so, or the version that serves is one of them.
        TrainingError: A retraining goes on, which might make one more.
    """
    with locked(registry.root / "retrain.lock", wait=False) as is_alone:
        if not is_alone:
            raise TrainingError(f"a retraining goes on in {registry.root}: wait for its end")
        return _purge(registry, name)


def _purge(registry: Registry, name: str) -> list[str]:
    registry.delete_leftovers()
    person = person_called(registry, name)
    found = holders(registry, person.ids, person.name)
    if serving := [one for one in found if registry.is_current(one)]:
        raise ArtifactError(
            f"{serving[0]} serves, and was made of words of {person.name}: retrain without them "
            "first, then purge"
        )
    for folder in datasets(registry.root):
        if holds_words_of(folder, set(person.ids)):
            note_erased(registry.root, [folder], f"purged with the words of {person.name}")
            delete_dataset(folder)
    for one in found:
        remove_version(registry, one)
    return found


def prune(registry: Registry) -> None:
    """Delete the datasets of retrainings that no version was made of."""
    places = map(dataset_of, artifacts(registry))
    used = {Path(place).name for place in places if place}
    for folder in (registry.root / DATASETS).glob("*"):
        if folder.name not in used and _OURS.fullmatch(folder.name):
            shutil.rmtree(folder)


def delete_dataset(folder: Path) -> None:
    """Delete a dataset, its pairs first: half of one that a kill left is still known for one.

    Ids of pairs that a person struck out stay: they are no words, and the next version needs them.
    """
    struck = folder / REMOVED
    shutil.rmtree(folder / PAIRS, ignore_errors=True)
    if not struck.is_file() or not struck.stat().st_size:
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in {struck, folder / SUMMARY}:
            path.unlink()
    (folder / SUMMARY).unlink(missing_ok=True)  # by which it is known for a dataset


def holds_words_of(folder: Path, out: set[int]) -> bool:
    """Whether a dataset has words of these people.

    Whom its own roster withheld has none in it.
    """
    try:
        known = read_roster(folder / ROSTER_FILE)
    except RosterError:
        return True  # half of one
    if any(person.learn == "yes" and not out.isdisjoint(person.ids) for person in known.people):
        return True
    return not (folder / PAIRS).is_dir()  # half of one


def clear(registry: Registry) -> None:
    """Remove what a run that was killed has left: versions without a receipt, and datasets."""
    registry.delete_leftovers()
    place = (registry.root / DATASETS).resolve()
    for name in registry.names:
        if registry.is_current(name) or receipt_path(registry.root, name).is_file():
            continue
        if _is_made_of(registry, name, place):
            remove_version(registry, name)
    prune(registry)


def tidy(registry: Registry, keep: int, started: float) -> None:
    """Remove versions beyond the newest, and whatever only they or nobody needs."""
    for name in registry.names[:-keep]:
        if not registry.is_current(name):
            remove_version(registry, name)
    prune(registry)
    for folder in (registry.root / "bases" / "converted").glob("*"):
        if folder.stat().st_mtime < started:  # an untuned base of an older dataset
            shutil.rmtree(folder)


def _is_made_of(registry: Registry, name: str, place: Path) -> bool:
    try:
        told = json.loads((registry.root / "versions" / name / "model.json").read_text("utf-8"))
        return Path(told["provenance"]["dataset"]["folder"]).parent == place
    except (OSError, ValueError, LookupError, TypeError):
        return False
