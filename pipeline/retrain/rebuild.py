"""Rebuild `models.db` from the folders of versions and the bot's dumps."""

import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from tempfile import TemporaryDirectory

from model.artifacts.consent import (
    add_refusals,
    list_optouts,
    load_facts,
    load_people,
    name_source,
    store_facts,
    store_people,
)
from model.artifacts.database import (
    DAMAGED,
    DATABASE,
    DamagedDatabaseError,
    read_database,
    write_database,
)
from model.artifacts.registry import LOCK, NEW_PREFIX, Registry
from model.chat.roster import remove_decisions
from model.errors import ArtifactError, ExportError, TrainingError
from model.files import PRIVATE_FILE, locked
from pipeline.export.files import ExportFile
from pipeline.retrain.people import read_dump_notes
from pipeline.versions.ledger import DumpNotes, Ledger, load_ledger
from pipeline.versions.lineage import load_usable_versions, read_folder_people


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuilt database knows; `kept` is the damaged one, if there was one."""

    versions: int
    decisions: int
    refusals: tuple[str, ...]
    kept: Path | None


def rebuild_database(registry: Registry, dumps: Iterable[ExportFile]) -> Rebuilt:
    """Replace a missing or damaged database with one created from what is left.

    It has the versions, the decisions in the dumps and in imported versions, and each "no"
    in roster.toml or in a version's roster: it may stand for an `/optout` that no dump has.

    Raises:
        ArtifactError: The database is not damaged, or there are no versions.
        ExportError: A file is not a dump.
        RosterError: roster.toml cannot be read.
        TrainingError: Training or retraining is running.
    """
    _check_is_damaged(registry.root)
    with locked(registry.root / LOCK, wait=False) as is_alone:
        if not is_alone:
            raise TrainingError(f"another command is using {registry.root}: wait until it finishes")
        versions = sorted(load_usable_versions(registry), key=lambda one: one.path.name)
        if not versions:
            raise ArtifactError(f"there is no version in {registry.root} to rebuild from")
        facts = Ledger().add_dumps(map(_read_dump, dumps)).facts
        people = read_folder_people(registry)
        for version in versions:
            roster, told = version.card.roster, list_optouts(version.card.roster)
            facts = facts.with_source(name_source(f"version {version.path.name}", told), told)
            people = add_refusals(people or roster.people, remove_decisions(roster).people)
        with TemporaryDirectory(dir=registry.root, prefix=NEW_PREFIX) as folder:
            with write_database(Path(folder)) as database:
                _store_versions(database, registry)
                store_facts(database, facts)
                store_people(database, people)
            kept = _replace_database(registry.root, Path(folder) / DATABASE)
    return Rebuilt(
        len(registry.names),
        len({one for told in facts.sources.values() for one in told}),
        tuple(person.name for person in people if person.has_no),
        kept,
    )


def _store_versions(database: Connection, registry: Registry) -> None:
    for name in registry.names:
        added = (registry.root / "versions" / name).stat().st_mtime
        at = datetime.fromtimestamp(added, UTC).isoformat(timespec="seconds")
        database.execute("INSERT INTO versions VALUES (?, 'rebuilt', ?, NULL)", (name, at))


def _replace_database(root: Path, new: Path) -> Path | None:
    """Give a new database its name; return the new name of the damaged one, if there was one.

    At no moment is a damaged database missing: without one, nobody's `/optout` would count. What a
    killed process left of a transaction belongs to the old database.

    Raises:
        ArtifactError: Another command has created a database in the meantime.
    """
    path = root / DATABASE
    if not path.exists():
        path.with_name(f"{DATABASE}-journal").unlink(missing_ok=True)
        try:
            os.link(new, path)
        except FileExistsError:
            raise ArtifactError(
                f"{path} was created in the meantime: nothing was rebuilt"
            ) from None
        except OSError:  # the file system has no links
            new.replace(path)
        return None
    kept = path.with_name(f"{DAMAGED}-{secrets.token_hex(4)}")
    shutil.copyfile(path, kept)
    kept.chmod(PRIVATE_FILE)
    path.with_name(f"{DATABASE}-journal").unlink(missing_ok=True)
    new.replace(path)
    return kept


def _check_is_damaged(root: Path) -> None:
    """Refuse to replace a database that can be read."""
    if not (root / DATABASE).exists():
        return
    try:
        with read_database(root) as database:
            (state,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            for (chat,) in database.execute("SELECT chat_id FROM chats").fetchall():
                load_ledger(database, chat)
            load_facts(database, (), load_people(database))
    except DamagedDatabaseError:
        return
    if state == "ok":
        raise ArtifactError(f"{root / DATABASE} is not damaged: nothing was rebuilt")


def _read_dump(file: ExportFile) -> DumpNotes:
    if (notes := read_dump_notes(file)) is None:
        raise ExportError(f"{file} was not written by `understudy-bot dump`")
    return notes
