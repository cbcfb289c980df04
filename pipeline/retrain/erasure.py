"""What was made of somebody's words: found, marked, and deleted where it must go."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model.errors import ArtifactError, RosterError, TrainingError
from model.files import locked
from model.registry import Registry
from model.roster import Roster
from pipeline.dataset import PAIRS, ROSTER, STRUCK, SUMMARY, parquet
from pipeline.retrain.earlier import forgotten_now, number_now
from pipeline.retrain.known import (
    DATASETS,
    artifacts,
    dataset_of,
    holders,
    note_erased,
    person_called,
    remove_version,
)
from pipeline.retrain.whole import Merged
from pipeline.roster_file import read_roster
from pipeline.split import SPLITS
from pipeline.summary import is_summary

BUILDING = "new"
"""Where in it a retraining builds, before the dataset has its name."""

_OURS = re.compile(r"[0-9a-f]{12}|new|\.new\.understudy-.*")


@dataclass(frozen=True, slots=True)
class Erased:
    """The datasets that were deleted, whether checkpoints were too, and why."""

    datasets: tuple[Path, ...] = ()
    checkpoints: bool = False
    why: str = ""


def erase(root: Path, roster: Roster, whole: Merged) -> Erased:
    """Delete datasets and checkpoints with forgotten messages or words of people who withdrew.

    Checkpoints are deleted if anything must be erased that was not erased before. The reasons are
    recorded in the folder of models.

    Raises:
        TrainingError: A training is running, possibly on these words.
    """
    forgotten = forgotten_now(whole)
    gone: dict[Path, str] = {}
    for folder in datasets(root):
        if _holds(folder, set()):
            gone[folder] = "it was incomplete"
        elif held := [one for one in whole.ledger.withdrawn if _holds(folder, set(one.ids))]:
            gone[folder] = "; ".join(one.why for one in held)
        elif forgotten and not forgotten.isdisjoint(_ids(folder, whole)):
            gone[folder] = "it held messages that were to be forgotten"
    for folder, why in gone.items():
        note_erased(
            root, [folder], why
        )  # before deleting: a kill in between must not lose the reason
        _delete(folder)
    why = "; ".join(dict.fromkeys(gone.values()))
    before = whole.history.ledger
    out = {number for person in roster.people if person.learn == "no" for number in person.ids}
    was_out = {number for one in before.withdrawn for number in one.ids}
    if whole.ledger.forgotten <= before.forgotten and out <= was_out:
        return Erased(tuple(gone), why=why)
    with locked(root / "training.lock", wait=False) as is_alone:
        if not is_alone:
            raise TrainingError(f"a training goes on in {root}: wait for its end")
        has_checkpoints = (root / "training").is_dir()
        shutil.rmtree(root / "training", ignore_errors=True)
    if has_checkpoints and not why:
        new = [one.why for one in whole.ledger.withdrawn if not was_out.issuperset(one.ids)]
        why = "; ".join(new) or "messages were to be forgotten"
    return Erased(tuple(gone), has_checkpoints, why)


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
    registry.finish_removals()
    person = person_called(registry, name)
    found = holders(registry, person.ids, person.name)
    if serving := [one for one in found if registry.serves(one)]:
        raise ArtifactError(
            f"{serving[0]} serves, and was made of words of {person.name}: retrain without them "
            "first, then purge"
        )
    for folder in datasets(registry.root):
        if _holds(folder, set(person.ids)):
            note_erased(registry.root, [folder], f"purged with the words of {person.name}")
            _delete(folder)
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


def _delete(folder: Path) -> None:
    """Delete a dataset, its pairs first: half of one that a kill left is still known for one.

    Ids of pairs that a person struck out stay: they are no words, and the next version needs them.
    """
    struck = folder / STRUCK
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


def _holds(folder: Path, out: set[int]) -> bool:
    """Whether a dataset has words of these people.

    Whom its own roster withheld has none in it.
    """
    try:
        known = read_roster(folder / ROSTER)
    except RosterError:
        return True  # half of one
    if any(person.learn == "yes" and not out.isdisjoint(person.ids) for person in known.people):
        return True
    return not (folder / PAIRS).is_dir()  # half of one


def _ids(folder: Path, whole: Merged) -> set[int]:
    """Return today's ids of all messages in a dataset."""
    found: set[tuple[int, int]] = set()
    for split in SPLITS:
        columns = ["chat_id", "message_ids", "context_ids"]
        table = parquet().read_table(folder / PAIRS / f"{split}.parquet", columns=columns)
        for chat, own, before in zip(*(table[name].to_pylist() for name in columns), strict=True):
            found.update((chat, number) for number in (*own, *before))
    return {number_now(whole, chat, number) for chat, number in found}
