"""Find which versions were trained on whose words, and apply the roster to all of them."""

import shutil
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from model.artifacts.artifact import Artifact, load_artifact
from model.artifacts.consent import add_refusals, load_people, store_people
from model.artifacts.database import read_database, write_database
from model.artifacts.registry import Registry, is_version_name
from model.chat.names import fold
from model.chat.person import Person
from model.errors import ArtifactError
from pipeline.dataset.roster_file import ROSTER_FILE, read_roster
from pipeline.versions.ledger import Ledger, load_withdrawn
from pipeline.versions.receipt import read_receipt

DATASETS = "datasets"


def find_withdrawn_by_version(registry: Registry) -> dict[str, list[str]]:
    """Return the names of people who withdrew, by version that was trained on their words.

    The oldest version comes first.

    Raises:
        ArtifactError: The database is damaged.
    """
    names: dict[str, list[str]] = {}
    for person in load_withdrawn(registry):
        for version in find_versions_trained_on(registry, person.ids, person.name):
            names.setdefault(version, []).append(person.name)
    return {version: names[version] for version in registry.names if version in names}


def find_versions_trained_on(registry: Registry, ids: Collection[int], name: str) -> list[str]:
    """Return the versions whose weights have learned a person's words, oldest first."""
    return [one for one in registry.names if _has_learned(registry, one, ids, name)]


def explain_withdrawn_words(registry: Registry, version: str, ledger: Ledger) -> str | None:
    """Return which withdrawn words a version has learned, as a predicate; None if there are none.

    Receipts do not say which messages a version was trained on. So every message that was forgotten
    since counts as learned.
    """
    names = [
        person.name
        for person in ledger.withdrawn
        if _has_learned(registry, version, person.ids, person.name)
    ]
    if names:
        return f"was trained on words of {', '.join(names)}, who withdrew"
    record = read_receipt(registry.root, version)
    if len(ledger.forgotten_words) > (record.forgotten_words if record else 0):
        return "was trained on messages that must be forgotten"
    return None


def explain_why_not_continue(registry: Registry, version: str, ledger: Ledger) -> str | None:
    """Return why training must not continue from a version, or None if it may.

    Every message that was deleted or forgotten since counts as learned, even the bot's own.
    """
    if reason := explain_withdrawn_words(registry, version, ledger):
        return reason
    record = read_receipt(registry.root, version)
    if len(ledger.forgotten) > (record.forgotten if record else 0):
        return "was trained on messages that must be forgotten"
    if ledger.deleted > (record.deleted if record else 0):
        return "was trained on messages that have been deleted since"
    return None


def find_person(registry: Registry, name: str) -> Person:
    """Return the person with this name in the ledgers and rosters, with all their ids.

    Raises:
        ArtifactError: There is no such person.
    """
    people = [Person(one.name, one.ids) for one in load_withdrawn(registry)]
    for artifact in load_usable_versions(registry):
        people += artifact.card.roster.people
    people = [person for person in people if fold(person.name) == fold(name)]
    if not people:
        raise ArtifactError(f"nobody is called {name!r} in the models of {registry.root}")
    return Person(people[0].name, tuple({number for person in people for number in person.ids}))


def load_usable_versions(registry: Registry) -> Iterator[Artifact]:
    """Yield the versions that can be loaded, with their rosters as stored."""
    for name in registry.names:
        try:
            yield load_artifact(registry.root / "versions" / name)
        except ArtifactError:
            continue  # damaged, or of another prompt format


def remove_version(registry: Registry, wanted: str) -> str:
    """Delete a version and its TensorBoard logs, keep its receipt, and return its name.

    Raises:
        ArtifactError: There is no such version, or it is the current one.
    """
    name = registry.remove(wanted)
    shutil.rmtree(registry.root / "tensorboard" / name, ignore_errors=True)
    return name


def apply_roster_file(registry: Registry) -> None:
    """Disable the people whom roster.toml in the models folder excludes, if the file exists.

    Raises:
        RosterError: The roster cannot be read.
    """
    people = read_folder_people(registry)
    if any(one.has_no for one in people):
        with write_database(registry.root) as connection:
            store_people(connection, add_refusals(load_people(connection), people))


def read_folder_people(registry: Registry) -> tuple[Person, ...]:
    """Return the people in roster.toml in the models folder, none if the file does not exist.

    Raises:
        RosterError: The roster cannot be read.
    """
    file = registry.root / ROSTER_FILE
    return read_roster(file).people if file.is_file() else ()


def find_dataset(artifact: Artifact) -> str | None:
    """Return the folder of a version's dataset: below the models folder, or as recorded."""
    folder: str | None = artifact.card.provenance.get("dataset", {}).get("folder")
    if folder is None:
        return None
    beside = artifact.path.parents[1] / DATASETS / Path(folder).name
    return str(beside) if beside.is_dir() else folder


def record_erasure(root: Path, folders: Iterable[Path], reason: str) -> None:
    """Record when and why datasets were erased, for messages about a missing dataset."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with write_database(root) as database:
        insert = "INSERT OR REPLACE INTO erasures VALUES (?, ?, ?)"
        database.executemany(insert, [(folder.name, at, reason) for folder in folders])


def explain_missing_dataset(artifact: Artifact) -> str:
    """Return why a version's dataset is missing, as a sentence without a full stop."""
    folder, name = find_dataset(artifact), artifact.path.name
    with read_database(artifact.path.parents[1]) as database:
        query = "SELECT at, reason FROM erasures WHERE dataset = ?"
        found = database.execute(query, (Path(folder or "").name,)).fetchone()
    if found:
        return f"the dataset of {name} was erased on {found[0][:10]}: {found[1]}"
    return f"the dataset of {name} is missing{f' (expected in {folder})' if folder else ''}"


def _has_learned(registry: Registry, version: str, ids: Collection[int], name: str) -> bool:
    """Whether a version, or one that its training continued from, learned a person's words.

    The receipt decides. Without a receipt, the person counts as learned if the version has a voice
    of this name, or if its roster allows learning from one of the ids. A version that cannot be
    loaded counts too: deleting it is safer than keeping it by mistake.
    """
    if record := read_receipt(registry.root, version):
        if not record.learned_from.isdisjoint(ids):
            return True
        earlier = record.started_from
        return is_version_name(earlier) and _has_learned(registry, earlier, ids, name)
    try:
        card = load_artifact(registry.root / "versions" / version).card
    except ArtifactError:
        return True
    own = [person for person in card.roster.people if not set(ids).isdisjoint(person.ids)]
    names = {name, *(person.name for person in own)}
    return not names.isdisjoint(card.learned) or any(person.learn == "yes" for person in own)
