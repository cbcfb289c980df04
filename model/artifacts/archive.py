"""Export a version to one checked file and import it again."""

import hashlib
import io
import json
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from model.artifacts.artifact import CARD, ROSTER, SCORECARD, Artifact, load_artifact, render_roster
from model.artifacts.consent import store_imported
from model.artifacts.registry import Registry
from model.chat.names import make_printable
from model.chat.roster import merge_stricter
from model.errors import ArtifactError, describe_error
from model.files import PRIVATE_FILE, locked, make_folder, temporary_folder

MANIFEST = "manifest.json"
CHUNK = 1 << 20
MOST_FILES = 200

_FORMAT = 1
_ENGINE = "engine/model.bin"
_NEEDED = (CARD, ROSTER, "tokenizer.json", _ENGINE)
WEIGHTS = "weights/"
_NAME = re.compile(r"(?:engine/|weights/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SUFFIXES = {".json", ".txt", ".jinja", ".safetensors", ".index"}
_SHA256 = re.compile(r"[0-9a-f]{64}")

OnBytes = Callable[[int], None]
"""Hears of so many bytes more that are done."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file's size in bytes, and its sha256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A travelling model's files by name, and what the version was called where it was made."""

    version: str
    files: Mapping[str, Entry]

    @property
    def size(self) -> int:
        """Return how many bytes the files are together."""
        return sum(entry.size for entry in self.files.values())

    @property
    def sha256(self) -> str:
        """Return the hash of the whole: of every file's name, size and hash."""
        lines = (f"{name}\0{e.size}\0{e.sha256}\n" for name, e in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def has_weights(self) -> bool:
        """Whether training can go on from it."""
        return any(name.startswith(WEIGHTS) for name in self.files)

    def to_text(self) -> str:
        """Return it as JSON, the same for the same files."""
        files = {n: {"size": e.size, "sha256": e.sha256} for n, e in sorted(self.files.items())}
        value = {"format": _FORMAT, "version": self.version, "sha256": self.sha256, "files": files}
        return json.dumps(value, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_text(cls, text: str | bytes) -> Self:
        """Read what `to_text` wrote.

        Raises:
            ValueError: It is damaged, or names a file that no model has.
        """
        try:
            value = json.loads(text)
            manifest = cls(str(value["version"]), _entries(value["files"]))
            right = value["format"] == _FORMAT and value["sha256"] == manifest.sha256
        except (AttributeError, KeyError, RecursionError, TypeError) as error:
            raise ValueError(f"no manifest: {describe_error(error)}") from error
        if not right:
            raise ValueError("the manifest's own hash is another")
        return manifest


def list_file_names(folder: Path, *, with_weights: bool) -> list[str]:
    """Return the names of an artifact's files, without hidden ones, in order.

    Raises:
        ArtifactError: There is one that no model may travel with.
    """
    paths = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    if strange := [name for name in names if not is_allowed_name(name)]:
        raise ArtifactError(
            f"{folder / strange[0]} is no file that a model may travel with: move it away"
        )
    return [name for name in names if with_weights or not name.startswith(WEIGHTS)]


def is_allowed_name(name: str) -> bool:
    """Whether a file of this name may be in a model: none that could be a pickle, none outside.

    CTranslate2's model.bin is no pickle, and is told by its place.
    """
    return _NAME.fullmatch(name) is not None and (name == _ENGINE or Path(name).suffix in _SUFFIXES)


def build_manifest(folder: Path, version: str, names: Iterable[str], told: OnBytes) -> Manifest:
    """Return the manifest of these files of a folder."""
    files = {}
    for name in names:
        with (folder / name).open("rb") as source:
            files[name] = copy_and_hash(source, None, told)
    return Manifest(version, files)


def copy_and_hash(source: IO[bytes], target: IO[bytes] | None, told: OnBytes) -> Entry:
    """Copy a file to another, if there is one, and return what it was."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if target is not None:
            target.write(chunk)
        told(len(chunk))
    return Entry(size, digest.hexdigest())


def _entries(value: Mapping[str, Any]) -> dict[str, Entry]:
    files = {name: Entry(**entry) for name, entry in value.items()}
    if strange := [name for name in files if name == MANIFEST or not is_allowed_name(name)]:
        raise ValueError(f"a file that no model has, {strange[0]!r}")
    if missing := [name for name in _NEEDED if name not in files]:
        raise ValueError(f"{missing[0]} is missing")
    if len(files) > MOST_FILES or len({name.casefold() for name in files}) < len(files):
        raise ValueError("too many files, or two of one name")
    for name, entry in files.items():
        whole = type(entry.size) is int and entry.size >= 0
        if not whole or not _SHA256.fullmatch(entry.sha256):
            raise ValueError(f"no size and hash of {name}")
    return files


_LEVEL = 1  # 15 % off int8 and 20 % off bf16 weights, at 25 MB/s; level 6 takes 1 % more off
_MOST_MANIFEST = 1 << 20
_MOST_TIMES = 100  # a vocabulary shrinks to a quarter; what unpacks to more than this is a bomb
_BIG = (1 << 31) - 1  # above it an entry needs zip64
_INCOMING = ".import-"


def write_bundle(
    artifact: Artifact, file: Path, *, with_weights: bool = False, told: OnBytes = lambda _: None
) -> Manifest:
    """Write an artifact as a bundle that only its owner can read; equal files give equal bytes.

    The bundle has the card's roster, to which consent was applied, not the file on disk.

    Raises:
        ArtifactError: The file exists already, or the artifact lacks weights or contains a file
            that must not be exported.
    """
    names = list_file_names(artifact.path, with_weights=with_weights)
    if file.exists():
        raise ArtifactError(f"{file} is there already: choose another name, or remove it")
    if with_weights and not artifact.weights.is_dir():
        raise ArtifactError(
            f"{artifact.path.name} has no weights to train on from: it came without"
        )
    with (
        _beside(file) as beside,
        zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive,
    ):
        roster = io.BytesIO(render_roster(artifact.card.roster).encode())
        stored = (name for name in names if name != ROSTER)
        files = {name: _stored(archive, artifact.path, name, told) for name in stored}
        with archive.open(ROSTER, "w") as target:
            files[ROSTER] = copy_and_hash(roster, target, told)
        manifest = Manifest(artifact.path.name, files)
        with archive.open(MANIFEST, "w") as target:
            target.write(manifest.to_text().encode())
    return manifest


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that is open, what its manifest says seen to be possible."""

    file: Path
    archive: zipfile.ZipFile
    manifest: Manifest

    def unpack(self, folder: Path, told: OnBytes) -> None:
        """Write the files into a new folder, each of the size and hash that the manifest says.

        Raises:
            ArtifactError: The bundle is damaged, or the disk too small.
        """
        free = shutil.disk_usage(folder).free
        if self.manifest.size > free:
            raise ArtifactError(
                f"{self.file} unpacks to {self.manifest.size:,} bytes, and {free:,} are free: "
                "make room first"
            )
        with _told_in_one_line(self.file):
            for name, wanted in self.manifest.files.items():
                path = folder / name
                make_folder(path.parent)
                with self.archive.open(name) as source, path.open("xb") as target:
                    if copy_and_hash(source, target, told) != wanted:
                        raise ValueError(f"{name} is not what was packed")


@contextmanager
def open_bundle(file: Path) -> Iterator[Bundle]:
    """Open a bundle, and refuse one that could do harm before anything is written.

    Raises:
        ArtifactError: It is damaged, or no bundle.
    """
    with _told_in_one_line(file):
        archive = zipfile.ZipFile(file)
    with archive:
        with _told_in_one_line(file):
            sizes = _sizes(archive)
            if sizes.pop(MANIFEST, _MOST_MANIFEST) >= _MOST_MANIFEST:
                raise ValueError("it has no manifest")
            manifest = Manifest.from_text(archive.read(MANIFEST))
            if sizes != {name: entry.size for name, entry in manifest.files.items()}:
                raise ValueError("its files are not those of its manifest")
            if manifest.size > _MOST_TIMES * file.stat().st_size:
                raise ValueError(f"it would unpack to {manifest.size:,} bytes")
        yield Bundle(file, archive, manifest)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The imported version; if not `is_new`, the folder had it already."""

    name: str
    is_new: bool = True


def import_artifact(registry: Registry, source: str, fill: Callable[[Path], None]) -> ImportResult:
    """Let `fill` write an artifact's files into the folder of models; add it as a version.

    If the folder has the same version already, only its roster is updated, and every "no" in it
    stays. The imported `/optout`s apply to all versions. A refused import leaves nothing.

    Raises:
        ArtifactError: This version of the program cannot use it.
    """
    with locked(registry.root / "import.lock", wait=True):
        for stale in registry.root.glob(f"{_INCOMING}*"):  # of an import that was killed
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(dir=registry.root, prefix=_INCOMING) as temporary:
            folder = make_folder(Path(temporary) / "artifact")
            fill(folder)
            try:
                roster = load_artifact(folder).card.roster
            except ArtifactError as error:
                raise ArtifactError(str(error).replace(str(folder), source)) from error
            store_imported(registry.root, roster)
            if twin := _find_same_version(registry, folder):
                known = load_artifact(registry.root / "versions" / twin).card.roster
                registry.change_roster(twin, merge_stricter(known, roster))
                return ImportResult(twin, is_new=False)
            return ImportResult(registry.add(folder))


def _find_same_version(registry: Registry, folder: Path) -> str | None:
    """Return the version with the same files, except those that change after training; or None.

    The version may have weights that were not exported.
    """
    own = _contents(folder)
    for name in reversed(registry.names):
        there = registry.root / "versions" / name
        known = _contents(there)
        is_same = own.items() <= known.items()
        if (
            is_same
            and all(one.startswith(WEIGHTS) for one in known.keys() - own.keys())
            and _hashes(folder, own) == _hashes(there, own)
        ):
            return name
    return None


def _contents(folder: Path) -> dict[str, int]:
    """Return the sizes of an artifact's files, except those that change after training."""
    files = (path for path in folder.rglob("*") if path.is_file())
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    return {
        name: size
        for name, size in sizes.items()
        if name not in {ROSTER, SCORECARD} and not Path(name).name.startswith(".")
    }


def _hashes(folder: Path, names: Iterable[str]) -> Mapping[str, Entry]:
    return build_manifest(folder, "", names, lambda _: None).files


def _stored(archive: zipfile.ZipFile, folder: Path, name: str, told: OnBytes) -> Entry:
    """Store a file with neither its time nor its mode, and return what was stored."""
    path = folder / name
    big = path.stat().st_size > _BIG
    with path.open("rb") as source, archive.open(name, "w", force_zip64=big) as target:
        return copy_and_hash(source, target, told)


def _sizes(archive: zipfile.ZipFile) -> dict[str, int]:
    """Return the entries' sizes by name.

    Raises:
        ValueError: One is no plain file of a model, or there are two of a name.
    """
    entries = archive.infolist()
    for entry in entries[: MOST_FILES + 2]:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG) and not entry.flag_bits & 1 and entry.header_offset >= 0
        known = entry.compress_type in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)
        if not (plain and known and is_allowed_name(entry.orig_filename)):
            raise ValueError(f"it holds what no model has, {entry.orig_filename!r}")
    sizes = {entry.orig_filename: entry.file_size for entry in entries}
    if len(sizes) < len(entries) or len(entries) > MOST_FILES + 1:
        raise ValueError("too many files, or two of one name")
    return sizes


@contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """Give a private file beside a place, and put it there once it is whole."""
    with temporary_folder(file.parent, file.name) as folder:
        beside = folder / "new"
        yield beside
        beside.chmod(PRIVATE_FILE)
        beside.replace(file)


@contextmanager
def _told_in_one_line(file: Path) -> Iterator[None]:
    try:
        yield
    except (
        EOFError, KeyError, NotImplementedError, OverflowError, RuntimeError, ValueError,
        struct.error, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        why = make_printable(str(error)) or type(error).__name__
        raise ArtifactError(
            f"{file} is damaged, or no model that `understudy models export` wrote ({why}): "
            "copy it anew"
        ) from error
