"""Versions of a trained model: list, promote, roll back, remove."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Literal

from model.artifacts.artifact import (
    CARD,
    ROSTER,
    Artifact,
    compute_content_hash,
    load_artifact,
    save_roster,
)
from model.artifacts.commands import DEFAULT_MODELS, models_option, promote_command
from model.artifacts.consent import read_facts
from model.artifacts.database import read_database, stamp_database, write_database
from model.chat.names import make_printable
from model.chat.permissions import apply_facts
from model.chat.roster import Roster, apply_new_roster
from model.errors import ArtifactError, TrainingError
from model.files import locked, make_folder, make_private, write_text

GROUPS = "groups"
"""Folder, inside a models folder, of the folders of single groups."""
LOCK = "lock"
"""The file, in a models folder, that training, retraining, purging and rebuilding lock."""
NEW_PREFIX = ".new-"
"""Prefix of a temporary folder in which training creates a version."""

Origin = Literal["trained", "imported", "rebuilt", "copied"]
"""How a version came into a folder; "rebuilt" means that this is unknown."""

_REMOVED = ".gone-"  # before the name of a version that is being deleted
_MAX_DIGITS = 10
_WATCHED = (CARD, ROSTER, "engine/model.bin")  # files of a version whose changes are noticed
_NAME = re.compile(r"(\d{4,})-[0-9a-f]{8}")


def is_version_name(name: str) -> bool:
    """Whether this is a possible name of a version."""
    return _NAME.fullmatch(name) is not None


def _number(name: str) -> int:
    return int(name.split("-", maxsplit=1)[0])


def explain_no_model(root: Path) -> str:
    """Return the message for a folder without a model."""
    demo = " or `make demo`" if root == DEFAULT_MODELS else ""
    command = f"`understudy start{models_option(root)}`"
    return f"there is no model in {root}: train one with {command}{demo}"


def read_receipt_json(root: Path, version: str) -> dict[str, Any]:
    """Return a version's receipt, which remains when it is removed; {} if none can be read.

    A receipt names people. It is not in the version's folder, so that no export includes it.

    Raises:
        ArtifactError: The database is damaged.
    """
    with read_database(root) as database:
        query = "SELECT content FROM receipts WHERE version = ?"
        row = database.execute(query, (version,)).fetchone()
    try:
        value = json.loads(row[0]) if row else {}
    except (RecursionError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def store_receipt(database: Connection, version: str, content: str) -> None:
    """Store a version's receipt, in JSON."""
    database.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?)", (version, content))


def list_receipts(root: Path) -> frozenset[str]:
    """Return the versions that have a receipt, removed ones too.

    Raises:
        ArtifactError: The database is damaged.
    """
    with read_database(root) as database:
        return frozenset(name for (name,) in database.execute("SELECT version FROM receipts"))


def list_unfinished(root: Path) -> frozenset[str]:
    """Return the versions that were trained here, but have no receipt and were never current.

    Raises:
        ArtifactError: The database is damaged.
    """
    query = """
    SELECT name FROM versions WHERE origin = 'trained'
    EXCEPT SELECT version FROM receipts EXCEPT SELECT version FROM promotions
    """
    with read_database(root) as database:
        return frozenset(name for (name,) in database.execute(query))


def _may_have_current(folder: Path) -> bool:
    try:
        return not folder.name.startswith(".") and (folder / "current").is_file()
    except PermissionError:
        return True
    except OSError:  # not a folder
        return False


def _is_readable_folder(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except PermissionError:
        return False


def describe_group_folder(name: str) -> str:
    """Return the printable name of a group's folder, such as groups/climbers."""
    return make_printable(f"{GROUPS}/{name}")


@dataclass(frozen=True, slots=True)
class Registry:
    """The versions in one models folder; the first `add` creates the folder.

    The folder itself shows which versions there are and which is current: it can be copied without
    its database, which knows when they were added, promoted and removed. The folder may contain
    others, `groups/NAME`, of groups that have their own models.
    """

    root: Path

    def group_folders(self) -> "dict[str, Registry]":
        """Return the folders of groups that have their own models, by name.

        Folders without a current version are left out. Those that cannot be read are not, so that
        opening them reports why.

        Raises:
            ArtifactError: The folders cannot be listed.
        """
        folder = self.root / GROUPS
        try:
            found = [one for one in folder.iterdir() if _may_have_current(one)]
        except FileNotFoundError:
            found = []
        except OSError as error:
            raise ArtifactError(f"{folder} cannot be read: {error.strerror}") from error
        return {name: Registry(folder / name) for name in sorted(one.name for one in found)}

    def explain_no_current(self) -> str:
        """Return the message for a folder in which no version is current."""
        return (
            f"no version in {self.root} is current yet: choose one with "
            f"`{promote_command(self.root)}`"
        )

    def list_unpromoted_groups(self) -> "list[Registry]":
        """Return the folders of groups that have versions, but no current one."""
        folder = self.root / GROUPS
        found = [one for one in folder.glob("[!.]*/versions") if one.is_dir()]
        registries = (Registry(one.parent) for one in sorted(found))
        return [one for one in registries if one.names and not _may_have_current(one.root)]

    def find_version_folder(self, name: str) -> Path | None:
        """Return the folder of a version by its full name, here or in the folder of a group.

        Raises:
            ArtifactError: The folders of groups cannot be listed.
        """
        if not is_version_name(name):
            return None
        path = self.root / "versions" / name
        if path.is_dir():
            return path
        paths = (one.root / "versions" / name for one in self.group_folders().values())
        return next((path for path in paths if _is_readable_folder(path)), None)

    @property
    def names(self) -> list[str]:
        """Return the names of the versions, oldest first."""
        folder = self.root / "versions"
        entries = folder.iterdir() if folder.is_dir() else ()
        found = [entry.name for entry in entries if is_version_name(entry.name)]
        return sorted(found, key=_number)

    @property
    def current(self) -> str | None:
        """Return the name of the current version, or None.

        Raises:
            ArtifactError: The file `current` is damaged.
        """
        try:
            name = (self.root / "current").read_text("utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        if not is_version_name(name):
            raise ArtifactError(
                f"{self.root / 'current'} does not contain the name of a version ({name!r}): "
                f"choose one with `{promote_command(self.root)}`"
            )
        return name

    def fingerprint(self) -> str:
        """Return a text that changes with the current version, the database or the consent.

        It also changes with the version's card, roster and weights, but not with its other files.
        """
        try:
            folder = self.root / "versions" / (self.current or "")
            stamps = [(folder / file).stat().st_mtime_ns for file in _WATCHED]
        except (ArtifactError, OSError) as error:
            return str(error)
        return f"{folder.name} {stamps} {stamp_database(self.root)}"

    def is_current(self, name: str) -> bool:
        """Whether this version is the current one; false if the file `current` is damaged."""
        try:
            return name == self.current
        except ArtifactError:
            return False

    def find(self, version: str, removed: Iterable[str] = ()) -> str:
        """Return the full name of a version named as `current`, `7`, `0007` or its full name.

        It may also be one of those in `removed`.

        Raises:
            ArtifactError: There is none.
        """
        if version == "current":
            if name := self.current:
                return name
            if not self.names:
                raise ArtifactError(explain_no_model(self.root))
            raise ArtifactError(self.explain_no_current())
        known = sorted({*self.names, *removed}, key=_number)
        if version in known:
            return version
        if version.isdecimal() and len(version) < _MAX_DIGITS:
            numbered = [name for name in known if _number(name) == int(version)]
            if len(numbered) == 1:
                return numbered[0]
            if numbered:
                raise ArtifactError(
                    f"several versions in {self.root} have the number {version}: use one of the "
                    f"full names {', '.join(numbered)}"
                )
        names = ", ".join(known) or "none"
        raise ArtifactError(
            f"there is no version {version!r} in {self.root}; the versions: {names}"
        )

    def open(self, version: str = "current") -> Artifact:
        """Load a version by any of its names or its folder, and apply the stored consent.

        Raises:
            ArtifactError: There is none, it cannot be used, or the stored consent is damaged.
        """
        as_path = Path(version)
        if version != "current" and (as_path / "model.json").is_file():
            return self._apply_consent(load_artifact(as_path))
        return self._apply_consent(self._load(self.find(version)))

    def open_verified(self, version: str) -> Artifact:
        """Load a version after checking that its files have not changed since it was added.

        Raises:
            ArtifactError: There is none, or its files have changed.
        """
        return self._apply_consent(self._load_verified(self.find(version)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for training, retraining or purging; clean up after killed processes.

        Raises:
            TrainingError: Another of them is running.
        """
        with locked(self.root / LOCK, wait=False) as is_alone:
            if not is_alone:
                raise TrainingError(
                    f"training or retraining is running in {self.root}: wait until it finishes"
                )
            for unfinished in self.root.glob(f"{NEW_PREFIX}*"):
                shutil.rmtree(unfinished)
            self._delete_removed()
            self._finish_promotion()
            yield

    def add(self, finished: Path, origin: Origin = "trained") -> str:
        """Move a finished artifact on the same disk here as the newest version; return its name."""
        versions = make_folder(self.root / "versions")
        make_private(finished)
        digest = compute_content_hash(finished)[:8]
        with write_database(self.root) as database:
            recorded = (name for (name,) in database.execute("SELECT name FROM versions"))
            newest = max(map(_number, [*self.names, *recorded]), default=0)  # none is used twice
            name = f"{newest + 1:04d}-{digest}"
            insert = "INSERT INTO versions VALUES (?, ?, ?, NULL)"
            database.execute(insert, (name, origin, _now()))
            finished.rename(versions / name)
        return name

    def promote(self, version: str, receipt: str | None = None) -> str:
        """Make a version current after checking its files; return its name.

        A receipt, in JSON, is stored in the same transaction.

        Raises:
            ArtifactError: There is none, its files have changed, or it was trained with canaries.
        """
        name = self.find(version)
        self._check_may_be_current(name)
        with write_database(self.root) as database:
            database.execute("DELETE FROM promotions WHERE NOT is_done")  # a killed command's
            if receipt is not None:
                store_receipt(database, name, receipt)
            if not self.is_current(name):
                self._store_promotions(database, [*self._read_promotions(database), (name, _now())])
        self._finish_promotion()
        return name

    def rollback(self) -> str:
        """Make the previously current version current again; return its name.

        Raises:
            ArtifactError: It no longer exists, its files have changed, or it was trained with
                canaries.
        """
        current = self.find("current")
        earlier = [name for name in self.promotions if name in self.names and name != current]
        if not earlier:
            raise ArtifactError(
                f"no version was current before {current}: there is nothing to roll back to"
            )
        self._check_may_be_current(earlier[-1])
        with write_database(self.root) as database:
            self._store_promotions(database, _cut(self._read_promotions(database), earlier[-1]))
        self._finish_promotion()
        return earlier[-1]

    def remove(self, version: str) -> str:
        """Delete a version that is not current; return its name.

        Raises:
            ArtifactError: There is none, or it is current.
        """
        name = self.find(version)
        with write_database(self.root) as database:  # its number stays in use after any kill
            insert = "INSERT OR IGNORE INTO versions VALUES (?, 'copied', '', NULL)"
            database.execute(insert, (name,))
        with write_database(self.root) as database:
            if self.is_current(self.find(name)):
                raise ArtifactError(
                    f"{name} is current: promote another one first with "
                    f"`{promote_command(self.root)}`"
                )
            database.execute("DELETE FROM promotions WHERE version = ? AND NOT is_done", (name,))
            database.execute("UPDATE versions SET removed_at = ? WHERE name = ?", (_now(), name))
            (self.root / "versions" / name).rename(self.root / f"{_REMOVED}{name}")
        self._delete_removed()
        return name

    def _delete_removed(self) -> None:
        """Delete the files of removed versions, also of those whose removal was killed."""
        if any(self.root.glob(f"{_REMOVED}*")):
            with write_database(self.root):  # one process at a time
                for folder in self.root.glob(f"{_REMOVED}*"):
                    shutil.rmtree(folder)

    def change_roster(self, version: str, roster: Roster) -> str:
        """Give a version a newer roster, without training; return its name.

        Raises:
            ArtifactError: There is no such version, or it cannot be used.
            RosterError: Somebody is missing, or has a different name from the one in the weights.
        """
        name = self.find(version)
        with write_database(self.root):  # one process at a time
            artifact = self._load(name)
            card = artifact.card
            save_roster(apply_new_roster(card.roster, roster, card.learned), artifact.path)
        return name

    def _apply_consent(self, artifact: Artifact) -> Artifact:
        """Apply the consent of this folder, and of the version's own folder if it is elsewhere."""
        roots = {self.root.resolve()}
        if (versions := artifact.path.resolve().parent).name == "versions":
            roots.add(versions.parent)
        roster = artifact.card.roster
        chats = {chat.chat_id for chat in artifact.card.chats}
        for root in sorted(roots):
            roster = apply_facts(roster, read_facts(root, chats))
        return replace(artifact, card=replace(artifact.card, roster=roster))

    def _load(self, name: str) -> Artifact:
        if name not in self.names:
            raise ArtifactError(
                f"{self.root / 'current'} names {name}, which no longer exists: choose another one "
                f"with `{promote_command(self.root)}`"
            )
        return load_artifact(self.root / "versions" / name)

    def _load_verified(self, name: str) -> Artifact:
        """Load a version and check that its files have not changed."""
        artifact = self._load(name)
        if compute_content_hash(artifact.path)[:8] != name.split("-")[1]:
            raise ArtifactError(
                f"{name} has changed since it was added: train again, or copy it again"
            )
        return artifact

    def _check_may_be_current(self, name: str) -> None:
        """Check that a version is unchanged and was trained without canaries."""
        if self._load_verified(name).card.provenance.get("canaries"):
            raise ArtifactError(
                f"{name} was trained with canaries for a measurement, so it cannot be promoted: "
                "train again without --set canaries=true"
            )

    @property
    def promotions(self) -> list[str]:
        """Return the versions that have been current, oldest first, up to the current one."""
        with read_database(self.root) as database:
            return [name for name, _ in self._read_promotions(database)]

    def _read_promotions(self, database: Connection) -> list[tuple[str, str]]:
        """Return the versions that have been current, and since when, up to the current one.

        The file `current` decides: it may have been copied here without the database.
        """
        rows = database.execute("SELECT version, at FROM promotions ORDER BY place").fetchall()
        try:
            current = self.current
        except ArtifactError:
            current = None
        return _cut(rows, current) if current else rows

    def _store_promotions(self, database: Connection, promotions: list[tuple[str, str]]) -> None:
        """Store the versions that have been current; `_finish_promotion` makes the last current.

        Raises:
            ArtifactError: It has been removed in the meantime.
        """
        self.find(promotions[-1][0])
        database.execute("DELETE FROM promotions")
        insert = "INSERT INTO promotions (version, at, is_done) VALUES (?, ?, 1)"
        database.executemany(insert, promotions)
        last = "SELECT max(place) FROM promotions"
        database.execute(f"UPDATE promotions SET is_done = 0 WHERE place = ({last})")  # noqa: S608

    def _finish_promotion(self) -> None:
        """Make the version current that was promoted last, if a kill or another process has not.

        The file `current` is written after the database, so that each promoted version is known.
        """
        with read_database(self.root) as database:
            if not _find_unfinished(database):
                return
        with write_database(self.root) as database:
            if name := _find_unfinished(database):
                write_text(self.root / "current", f"{name}\n")
                database.execute("UPDATE promotions SET is_done = 1")


def _find_unfinished(database: Connection) -> str | None:
    """Return the version that was promoted, but is not yet the one in the file `current`."""
    query = "SELECT version FROM promotions WHERE NOT is_done"
    row = database.execute(query).fetchone()
    return str(row[0]) if row else None


def _cut(promotions: list[tuple[str, str]], version: str) -> list[tuple[str, str]]:
    """Return the promotions up to the last one of a version; add it if it is missing."""
    places = [place for place, (name, _) in enumerate(promotions) if name == version]
    return promotions[: places[-1] + 1] if places else [*promotions, (version, "")]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
