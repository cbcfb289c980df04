"""Versions of a trained model: list, promote, roll back, remove."""

import re
import shlex
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from model.artifacts.artifact import Artifact, compute_content_hash, load_artifact, save_roster
from model.artifacts.consent import read_facts
from model.artifacts.database import stamp_database
from model.chat.names import make_printable
from model.chat.permissions import apply_facts
from model.chat.roster import Roster, apply_new_roster
from model.errors import ArtifactError
from model.files import locked, make_folder, make_private, write_text

GROUPS = "groups"
"""Folder, inside a folder of models, of the folders of single groups."""
DEFAULT_MODELS = Path("artifacts")
"""The folder of trained models unless --models names another."""
NEW_PREFIX = ".new-"
"""Prefix of a temporary folder in which a version is made."""

_MAX_DIGITS = 10
_REMOVED = ".gone-"
_NAME = re.compile(r"(\d{4,})-[0-9a-f]{8}")


def is_version_name(name: str) -> bool:
    """Whether this is a possible name of a version."""
    return _NAME.fullmatch(name) is not None


def _models_option(root: Path) -> str:
    """Return the end of a printed command, ` --models PATH`; "" for the default folder."""
    return "" if root == DEFAULT_MODELS else f" --models {shlex.quote(str(root))}"


def explain_no_model(root: Path) -> str:
    """Return the message for a folder without a model."""
    demo = " or `make demo`" if root == DEFAULT_MODELS else ""
    command = f"`understudy start{_models_option(root)}`"
    return f"there is no model in {root}: make one with {command}{demo}"


def receipt_path(root: Path, version: str) -> Path:
    """Return the path of a version's receipt, which need not exist.

    A receipt names people. It is not in the version's folder, so that no export includes it.
    """
    return root / "receipts" / version / "receipt.json"


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
    """The versions in one folder of models; the first `add` creates the folder.

    The folder may contain others, `groups/NAME`, of groups that have models of their own.
    """

    root: Path

    @property
    def _promote_command(self) -> str:
        return f"understudy models promote VERSION{_models_option(self.root)}"

    def group_folders(self) -> "dict[str, Registry]":
        """Return the folders of groups with models of their own, by name.

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
            f"no version in {self.root} is current yet: choose one with `{self._promote_command}`"
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
        return sorted(found, key=lambda name: int(name.split("-")[0]))

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
                f"{self.root / 'current'} names no version ({name!r}): "
                f"choose one with `{self._promote_command}`"
            )
        return name

    def fingerprint(self) -> str:
        """Return a text that changes when the current version, its files or the consent change."""
        try:
            name = (self.root / "current").read_text("utf-8", errors="replace").strip()
        except OSError:
            return ""
        if not is_version_name(name):
            return f"no version: {name!r}"
        folder = self.root / "versions" / name
        try:
            found = sorted((str(path), path.stat()) for path in folder.rglob("*"))
        except OSError:  # a file is being replaced
            return name
        stamps = [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in found]
        return "\n".join((name, *stamps, str(stamp_database(self.root))))

    def is_current(self, name: str) -> bool:
        """Whether this version is the current one; false if the file `current` is damaged."""
        try:
            return name == self.current
        except ArtifactError:
            return False

    def find(self, version: str) -> str:
        """Return the full name of a version given as `current`, `7`, `0007` or its full name.

        Raises:
            ArtifactError: There is none.
        """
        if version == "current":
            if name := self.current:
                return name
            if not self.names:
                raise ArtifactError(explain_no_model(self.root))
            raise ArtifactError(self.explain_no_current())
        known = self.names
        if version in known:
            return version
        if version.isdecimal() and len(version) < _MAX_DIGITS:
            numbered = [name for name in known if int(name.split("-")[0]) == int(version)]
            if len(numbered) == 1:
                return numbered[0]
            if numbered:
                raise ArtifactError(
                    f"several versions in {self.root} have the number {version}: give the whole "
                    f"name of one of {', '.join(numbered)}"
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

    def add(self, finished: Path) -> str:
        """Move a finished artifact on the same disk here as the newest version; return its name."""
        versions = make_folder(self.root / "versions")
        make_private(finished)
        digest = compute_content_hash(finished)[:8]
        with locked(self.root / "lock", wait=True):
            taken = [*self.names, *self._read_names("removed")]  # no number is used twice
            newest = max((int(name.split("-")[0]) for name in taken), default=0)
            name = f"{newest + 1:04d}-{digest}"
            finished.rename(versions / name)
        return name

    def promote(self, version: str) -> str:
        """Make a version current after checking its files; return its name.

        Raises:
            ArtifactError: There is none, its files have changed, or it was trained with canaries.
        """
        self.find(version)  # if there is none, do not create the lock
        with locked(self.root / "lock", wait=True):
            name = self.find(version)
            self._check_may_be_current(name)
            if not self.is_current(name):
                self._set_current([*self.promotions, name])
        return name

    def rollback(self) -> str:
        """Make the previously current version current again; return its name.

        Raises:
            ArtifactError: It no longer exists, its files have changed, or it was trained with
                canaries.
        """
        current = self.find("current")
        with locked(self.root / "lock", wait=True):
            earlier = [name for name in self.promotions if name in self.names]
            while earlier and earlier[-1] == current:
                earlier.pop()
            if not earlier:
                raise ArtifactError(
                    f"no version was current before {current}: there is nothing to roll back to"
                )
            self._check_may_be_current(earlier[-1])
            self._set_current(earlier)
        return earlier[-1]

    def remove(self, version: str) -> str:
        """Delete a version that is not current; return its name.

        Raises:
            ArtifactError: There is none, or it is current.
        """
        self.find(version)
        with locked(self.root / "lock", wait=True):
            name = self.find(version)
            if self.is_current(name):
                raise ArtifactError(
                    f"{name} is current: promote another one first with `{self._promote_command}`"
                )
            removed = "".join(f"{one}\n" for one in [*self._read_names("removed"), name])
            write_text(self.root / "removed", removed)
            self._delete_leftovers()
            with tempfile.TemporaryDirectory(dir=self.root, prefix=_REMOVED) as temporary:
                (self.root / "versions" / name).rename(Path(temporary) / name)
        return name

    def delete_leftovers(self) -> None:
        """Delete the files of versions whose removal was killed."""
        if self.root.is_dir():
            with locked(self.root / "lock", wait=True):
                self._delete_leftovers()

    def _delete_leftovers(self) -> None:
        for stale in self.root.glob(f"{_REMOVED}*"):
            shutil.rmtree(stale)

    def change_roster(self, version: str, roster: Roster) -> str:
        """Give a version a newer roster, without training; return its name.

        Raises:
            ArtifactError: There is no such version, or it cannot be used.
            RosterError: Somebody is missing, or has another name than in the weights.
        """
        name = self.find(version)
        with locked(self.root / "lock", wait=True):
            artifact = self._load(name)
            card = artifact.card
            save_roster(apply_new_roster(card.roster, roster, card.learned), artifact.path)
        return name

    def _apply_consent(self, artifact: Artifact) -> Artifact:
        """Apply the consent of this folder, and of the version's folder if that is another one."""
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
                f"{self.root / 'current'} names {name}, which no longer exists: "
                f"choose another with `{self._promote_command}`"
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
                "train again without --canaries"
            )

    @property
    def promotions(self) -> list[str]:
        """Return the versions that have been current, oldest first, up to the current one.

        A kill between writing `served` and `current` leaves an additional name, which is cut.
        """
        names = self._read_names("served")
        held = [number for number, name in enumerate(names) if self.is_current(name)]
        return names[: held[-1] + 1] if held else names

    def _set_current(self, promotions: list[str]) -> None:
        """Write the versions that have been current, and make the last one current."""
        write_text(self.root / "served", "".join(f"{name}\n" for name in promotions))
        write_text(self.root / "current", f"{promotions[-1]}\n")

    def _read_names(self, file: str) -> list[str]:
        try:
            return (self.root / file).read_text("utf-8", errors="replace").split()
        except FileNotFoundError:
            return []
