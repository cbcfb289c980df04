"""Make `models.db` again, from the folders of versions and the bot's dumps."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from tempfile import TemporaryDirectory

from model.artifacts.consent import add_refusals, name_source, store_facts, store_people
from model.artifacts.database import DATABASE, read_database, write_database
from model.artifacts.registry import NEW_PREFIX, Registry, store_receipt
from model.chat.roster import remove_decisions
from model.errors import ArtifactError, ExportError
from pipeline.dataset.roster_file import ROSTER_FILE, read_roster
from pipeline.export.files import ExportFile
from pipeline.retrain.people import read_dump_notes
from pipeline.versions.ledger import DumpNotes, Ledger
from pipeline.versions.lineage import load_usable_versions

DAMAGED = f"{DATABASE}.damaged"
"""What a damaged database is renamed to."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuilt database knows; `kept` is the damaged one, if there was one."""

    versions: int
    decisions: int
    refusals: tuple[str, ...]
    kept: Path | None


def rebuild_database(registry: Registry, dumps: Iterable[ExportFile]) -> Rebuilt:
    """Replace a missing or damaged database by one made from what is left.

    Known again are the versions, the decisions in the dumps and in imported versions, and each "no"
    in roster.toml or in the newest version's roster: it may stand for an `/optout` that no dump
    has.

    Raises:
        ArtifactError: The database is not damaged, or there are no versions.
        ExportError: A file is not a dump.
        RosterError: roster.toml cannot be read.
        TrainingError: A training or retraining is running.
    """
    with registry.locked():
        _check_is_damaged(registry.root)
        versions = sorted(load_usable_versions(registry), key=lambda one: one.path.name)
        if not versions:
            raise ArtifactError(f"there is no version in {registry.root} to rebuild from")
        facts = Ledger().add_dumps(map(_read_dump, dumps)).facts
        for version in versions:
            told = [one for person in version.card.roster.people for one in person.opted_out]
            facts = facts.with_source(name_source(f"version {version.path.name}", told), told)
        file = registry.root / ROSTER_FILE
        newest = remove_decisions(versions[-1].card.roster).people
        people = add_refusals(read_roster(file).people if file.is_file() else newest, newest)
        with TemporaryDirectory(dir=registry.root, prefix=NEW_PREFIX) as folder:
            with write_database(Path(folder)) as database:
                _store_versions(database, registry)
                store_facts(database, facts)
                store_people(database, people)
            path, kept = registry.root / DATABASE, registry.root / DAMAGED
            has_old = path.exists()
            if has_old:
                path.replace(kept)
            (Path(folder) / DATABASE).replace(path)
    return Rebuilt(
        len(registry.names),
        sum(map(len, facts.sources.values())),
        tuple(person.name for person in people if person.has_no),
        kept if has_old else None,
    )


def _store_versions(database: Connection, registry: Registry) -> None:
    """Store the versions and the current one.

    Each gets an empty receipt: one without a receipt would be taken for a killed retraining's, and
    deleted.
    """
    for name in registry.names:
        added = (registry.root / "versions" / name).stat().st_mtime
        at = datetime.fromtimestamp(added, UTC).isoformat(timespec="seconds")
        database.execute("INSERT INTO versions VALUES (?, ?, NULL)", (name, at))
        store_receipt(database, name, "{}")


def _check_is_damaged(root: Path) -> None:
    """Refuse to replace a database that can be read."""
    if not (root / DATABASE).exists():
        return
    try:
        with read_database(root) as database:
            (state,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    except ArtifactError:
        return
    if state == "ok":
        raise ArtifactError(f"{root / DATABASE} is not damaged: nothing is rebuilt")


def _read_dump(file: ExportFile) -> DumpNotes:
    if (notes := read_dump_notes(file)) is None:
        raise ExportError(f"{file} is not a dump of `understudy-bot dump`")
    return notes
