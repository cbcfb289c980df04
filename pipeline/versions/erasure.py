"""Delete versions and datasets: those with a person's words, old ones, and leftovers."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from model.artifacts.database import erase_deleted
from model.artifacts.registry import Registry, list_unfinished
from model.errors import ArtifactError, RosterError
from pipeline.dataset.roster_file import ROSTER_FILE, read_roster
from pipeline.dataset.storage import LINES, REMOVED, SUMMARY
from pipeline.dataset.summary import is_summary
from pipeline.versions.lineage import (
    DATASETS,
    find_dataset,
    find_person,
    find_versions_trained_on,
    load_usable_versions,
    record_erasure,
    remove_version,
)

BUILDING = "new"
"""The folder below `DATASETS` in which `retrain` builds a dataset before it has its name."""

_DATASET_NAME = re.compile(r"[0-9a-f]{12}|new|\.new\.understudy-.*")


def list_datasets(root: Path) -> Iterator[Path]:
    """Yield the datasets that `retrain` built."""
    for folder in sorted((root / DATASETS).glob("*")):
        if is_summary(folder / SUMMARY):
            yield folder


def purge_person(registry: Registry, name: str) -> list[str]:
    """Delete every version and dataset with a person's words; return the versions' names.

    Raises:
        ArtifactError: Nobody has this name, or the current version has learned their words.
        TrainingError: Training or retraining is running, and may add another version.
    """
    with registry.locked():
        person = find_person(registry, name)
        versions = find_versions_trained_on(registry, person.ids, person.name)
        if current := [one for one in versions if registry.is_current(one)]:
            raise ArtifactError(
                f"{current[0]} is the current version and was trained on words of {person.name}: "
                "retrain without them first, then purge"
            )
        for folder in list_datasets(registry.root):
            if contains_words_of(folder, set(person.ids)):
                reason = f"purged with the words of {person.name}"
                record_erasure(registry.root, [folder], reason)
                delete_dataset(folder)
        for version in versions:
            remove_version(registry, version)
        erase_deleted(registry.root)
        return versions


def contains_words_of(folder: Path, ids: set[int]) -> bool:
    """Whether a dataset contains words of people with these ids; an incomplete one always does.

    A dataset contains no words of people whom its own roster excludes.
    """
    try:
        roster = read_roster(folder / ROSTER_FILE)
    except RosterError:
        return True
    if any(person.learn == "yes" and not ids.isdisjoint(person.ids) for person in roster.people):
        return True
    return not (folder / LINES).is_file()


def delete_dataset(folder: Path) -> None:
    """Delete a dataset except the ids of the pairs that a person removed from it.

    These ids contain no words, and the next version needs them. The lines go first and the summary
    last, so that a kill leaves a folder that is still recognised as a dataset.
    """
    removed = folder / REMOVED
    (folder / LINES).unlink(missing_ok=True)
    if not removed.is_file() or not removed.stat().st_size:
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in {removed, folder / SUMMARY}:
            path.unlink()
    (folder / SUMMARY).unlink(missing_ok=True)


def delete_killed_versions(registry: Registry, kept: str) -> None:
    """Delete the versions of killed retraining runs, except the one called `kept`."""
    for name in list_killed_versions(registry):
        if name != kept:
            remove_version(registry, name)
    delete_unused_datasets(registry)


def list_killed_versions(registry: Registry) -> list[str]:
    """Return the versions of killed retraining runs, oldest first: they have no receipt."""
    datasets, killed = (registry.root / DATASETS).resolve(), []
    unfinished = list_unfinished(registry.root)
    for name in registry.names:
        if registry.is_current(name) or name not in unfinished:
            continue
        try:
            text = (registry.root / "versions" / name / "model.json").read_text("utf-8")
            dataset = Path(json.loads(text)["provenance"]["dataset"]["folder"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if dataset.parent == datasets:
            killed.append(name)
    return killed


def delete_old_versions(registry: Registry, keep: int, started: float) -> None:
    """Delete all but the newest `keep` versions and the current one, and their datasets.

    Converted base models from before `started`, in seconds since 1970, go too: they belong to older
    datasets.
    """
    for name in registry.names[:-keep]:
        if not registry.is_current(name):
            remove_version(registry, name)
    delete_unused_datasets(registry)
    for folder in (registry.root / "bases" / "converted").glob("*"):
        if folder.stat().st_mtime < started:
            shutil.rmtree(folder)


def delete_unused_datasets(registry: Registry) -> None:
    """Delete the datasets that `retrain` built for versions that no longer exist."""
    folders = map(find_dataset, load_usable_versions(registry))
    used = {Path(folder).name for folder in folders if folder}
    for folder in (registry.root / DATASETS).glob("*"):
        if folder.name not in used and _DATASET_NAME.fullmatch(folder.name):
            shutil.rmtree(folder)
