"""Find which versions were trained on whose words."""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from model.artifacts.artifact import Artifact, load_artifact
from model.artifacts.consent import HISTORY_INDEX
from model.artifacts.registry import Registry, is_version_name
from model.chat.names import fold
from model.chat.roster import Person, Roster, exclude_voices
from model.errors import ArtifactError, DatasetError, describe_error
from model.files import write_text
from pipeline.dataset.roster_file import ROSTER_FILE, read_roster
from pipeline.versions import consent as ledger
from pipeline.versions import receipt
from pipeline.versions.consent import Ledger, Withdrawn

DATASETS = "datasets"
_ERASED = "erased.json"


def withdrawn(root: Path) -> list[Withdrawn]:
    """Return everybody who may not be learned from, in any chat of these models.

    Raises:
        DatasetError: A ledger is damaged.
    """
    return [one for ledger in ledgers(root) for one in ledger.withdrawn]


def ledgers(root: Path) -> list[Ledger]:
    """Return the ledgers of all chats of these models.

    Raises:
        DatasetError: One is damaged.
    """
    indices = sorted((root / "history").glob(f"*/{HISTORY_INDEX}"))
    return [read_index(index)[1] for index in indices]


def read_index(path: Path) -> tuple[str, Ledger]:
    """Return the name of a chat's history file, and the ledger.

    Raises:
        FileNotFoundError: Nothing was kept yet.
        DatasetError: It is damaged.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
        return str(value["history"]), ledger.from_json(value["ledger"])
    except FileNotFoundError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(damaged(path, error)) from error


def damaged(path: Path, error: Exception) -> str:
    """Return what to say, and to do, about a file of a history that is damaged."""
    return (
        f"{path} is damaged ({describe_error(error)}): restore it from a backup, or move "
        f"{path.parent} away and give all exports and dumps again"
    )


def still_known(registry: Registry) -> dict[str, list[str]]:
    """Return by version, oldest first, those who withdrew and of whose words it was made."""
    known: dict[str, list[str]] = {}
    for one in withdrawn(registry.root):
        for name in holders(registry, one.ids, one.name):
            known.setdefault(name, []).append(one.name)
    return {name: known[name] for name in registry.names if name in known}


def holders(registry: Registry, ids: Collection[int], name: str) -> list[str]:
    """Return the versions whose weights know a person's words, oldest first."""
    return [one for one in registry.names if _knows(registry, one, ids, name)]


def to_unlearn(registry: Registry, version: str, ledger: Ledger) -> str | None:
    """Return what a version's weights know and must not be built upon, in words; None if nothing.

    Which messages it was trained on no receipt tells: any that went since counts.
    """
    for one in ledger.withdrawn:
        if _knows(registry, version, one.ids, one.name):
            return f"knows words of {one.name}, who withdrew"
    told = receipt.read(registry.root, version)
    if len(ledger.forgotten) > (told.forgotten if told else 0):
        return "knows messages that are to be forgotten"
    if ledger.deleted > (told.deleted if told else 0):
        return "knows messages that were deleted since"
    return None


def remove_version(registry: Registry, wanted: str) -> str:
    """Delete a version and its training's records; its receipt stays. Return its name.

    Raises:
        ArtifactError: There is none, or it serves.
    """
    name = registry.remove(wanted)
    shutil.rmtree(registry.root / "tensorboard" / name, ignore_errors=True)
    return name


def dataset_of(artifact: Artifact) -> str | None:
    """Return where a version's dataset is beside it, else where it was when it was trained."""
    folder: str | None = artifact.card.provenance.get("dataset", {}).get("folder")
    if folder is None:
        return None
    beside = artifact.path.parents[1] / DATASETS / Path(folder).name
    return str(beside) if beside.is_dir() else folder


def note_erased(root: Path, folders: Iterable[Path], why: str) -> None:
    """Record when and why datasets were erased, for messages about a missing one."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    noted = {**_erased(root), **{one.name: {"at": at, "why": why} for one in folders}}
    write_text(root / _ERASED, json.dumps(noted, ensure_ascii=False, indent=1) + "\n")


def missing_dataset(artifact: Artifact) -> str:
    """Return why a version's dataset is missing, as a sentence without a full stop."""
    where, name = dataset_of(artifact), artifact.path.name
    try:
        told = _erased(artifact.path.parents[1])[Path(where or "").name]
        return f"the dataset of {name} was erased on {told['at'][:10]}: {told['why']}"
    except (LookupError, TypeError):
        return f"the dataset of {name} is not here{f' ({where})' if where else ''}"


def _erased(root: Path) -> dict[str, dict[str, str]]:
    """Return the records of erased datasets by folder name."""
    try:
        value = json.loads((root / _ERASED).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def artifacts(registry: Registry) -> Iterator[Artifact]:
    """Yield the versions that can be used, their rosters as they were stored."""
    for name in registry.names:
        try:
            yield load_artifact(registry.root / "versions" / name)
        except ArtifactError:
            continue  # one of another prompt, or damaged: it can be judged by nobody


def _knows(registry: Registry, version: str, ids: Collection[int], name: str) -> bool:
    """Whether a version was made of a person's words, as far as can be told.

    A receipt tells it, of the version that training began with too. Without one a voice that it
    learned is known by name, and whoever its roster lets it learn from counts.
    """
    if told := receipt.read(registry.root, version):
        if not told.learned_from.isdisjoint(ids):
            return True
        return is_version_name(told.began_with) and _knows(registry, told.began_with, ids, name)
    try:
        card = load_artifact(registry.root / "versions" / version).card
    except ArtifactError:
        return True  # better deleted than kept by mistake
    own = [person for person in card.roster.people if not set(ids).isdisjoint(person.ids)]
    named = {name, *(person.name for person in own)}
    return not named.isdisjoint(card.learned) or any(person.learn == "yes" for person in own)


def person_called(registry: Registry, name: str) -> Person:
    """Return the person of this name in the ledgers and in the versions' rosters, all ids.

    Raises:
        ArtifactError: There is none.
    """
    out = (Person(one.name, one.ids) for one in withdrawn(registry.root))
    known = (person for artifact in artifacts(registry) for person in artifact.card.roster.people)
    people = [one for one in (*out, *known) if fold(one.name) == fold(name)]
    if not people:
        raise ArtifactError(f"nobody is called {name!r} in the models of {registry.root}")
    return Person(people[0].name, tuple({number for one in people for number in one.ids}))


def silence_known(registry: Registry) -> None:
    """Silence in all versions whom the folder's own roster says no of, where there is one.

    Raises:
        RosterError: The roster cannot be read.
    """
    file = registry.root / ROSTER_FILE
    if file.is_file():
        silence(registry, read_roster(file))


def silence(registry: Registry, roster: Roster) -> None:
    """Disable people with a "no" in the roster in every version, also after a rollback.

    `roster` is as the admin wrote it: each `/optout` is in the ledger, which applies to every
    version that is opened, and an `/optin` cancels it without retraining.
    """
    out = {
        number
        for person in roster.people
        if "no" in {person.learn, person.imitate}
        for number in person.ids
    }
    for artifact in artifacts(registry):
        known = artifact.card.roster
        now = exclude_voices(known, out)
        if now != known:
            registry.change_roster(artifact.path.name, now)
