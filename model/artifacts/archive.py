"""Export a version to one checked file and import it again."""

import hashlib
import io
import json
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeAlias

from model.artifacts.artifact import (
    CARD,
    ROSTER,
    SCORECARD,
    Artifact,
    load_artifact,
    render_roster,
    save_roster,
)
from model.artifacts.consent import store_imported
from model.artifacts.registry import Registry
from model.chat.names import make_json_printable, make_printable
from model.chat.roster import merge_stricter
from model.errors import ArtifactError, describe_error
from model.files import PRIVATE_FILE, locked, make_folder, temporary_folder

MANIFEST = "manifest.json"
WEIGHTS = "weights/"
CHUNK = 1 << 20  # bytes
MAX_FILES = 200

_LOCK = "import.lock"
_FORMAT = 1
_ENGINE = "engine/model.bin"
_REQUIRED = (CARD, ROSTER, "tokenizer.json", _ENGINE)
_NAME = re.compile(r"(?:engine/|weights/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SUFFIXES = {".json", ".txt", ".jinja", ".safetensors", ".index"}
_SHA256 = re.compile(r"[0-9a-f]{64}")

_COMPRESSION = 1  # saves 15 % of int8 and 20 % of bf16 weights, at 25 MB/s; level 6 saves 1 % more
_MAX_MANIFEST = 1 << 20  # bytes
_MAX_RATIO = 100  # a vocabulary shrinks to a quarter; a higher ratio than this is a zip bomb
_ZIP64_SIZE = (1 << 31) - 1  # a larger file needs zip64

OnBytes: TypeAlias = Callable[[int], None]
"""Called with the number of bytes that were processed since the last call."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file's size in bytes, and its sha256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """An exported model's files by name, and the version's name where it was trained."""

    version: str
    files: Mapping[str, Entry]

    @property
    def size(self) -> int:
        """Return the total size of the files in bytes."""
        return sum(entry.size for entry in self.files.values())

    @property
    def sha256(self) -> str:
        """Return the hash over every file's name, size and hash."""
        lines = (f"{name}\0{e.size}\0{e.sha256}\n" for name, e in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def to_text(self) -> str:
        """Return the manifest as JSON; identical files give identical text."""
        files = {n: {"size": e.size, "sha256": e.sha256} for n, e in sorted(self.files.items())}
        value = {"format": _FORMAT, "version": self.version, "sha256": self.sha256, "files": files}
        return json.dumps(value, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_text(cls, text: str | bytes) -> Self:
        """Read the result of `to_text`.

        Raises:
            ValueError: It is damaged, or lists a file that is not allowed.
        """
        try:
            value = make_json_printable(json.loads(text))
            manifest = cls(str(value["version"]), _parse_entries(value["files"]))
            is_intact = value["format"] == _FORMAT and value["sha256"] == manifest.sha256
        except (AttributeError, KeyError, RecursionError, TypeError) as error:
            raise ValueError(f"no manifest: {describe_error(error)}") from error
        if not is_intact:
            raise ValueError("the manifest's own hash does not match")
        return manifest


def _parse_entries(value: Mapping[str, Any]) -> dict[str, Entry]:
    files = {name: Entry(**entry) for name, entry in value.items()}
    if strange := [name for name in files if name == MANIFEST or not is_allowed_name(name)]:
        raise ValueError(f"a file that is not part of a model: {strange[0]!r}")
    if missing := [name for name in _REQUIRED if name not in files]:
        raise ValueError(f"{missing[0]} is missing")
    if len(files) > MAX_FILES or len({name.casefold() for name in files}) < len(files):
        raise ValueError("too many files, or two with the same name")
    for name, entry in files.items():
        is_size = type(entry.size) is int and entry.size >= 0
        if not is_size or not _SHA256.fullmatch(entry.sha256):
            raise ValueError(f"the size or hash of {name} is missing or not valid")
    return files


def is_allowed_name(name: str) -> bool:
    """Whether a model may contain a file of this name: no pickles, nothing outside its folder.

    The only allowed .bin file is CTranslate2's model.bin, which is not a pickle.
    """
    return _NAME.fullmatch(name) is not None and (name == _ENGINE or Path(name).suffix in _SUFFIXES)


def list_file_names(folder: Path, *, with_weights: bool) -> list[str]:
    """Return the names of an artifact's files, without hidden ones, in order.

    Raises:
        ArtifactError: A file may not be exported.
    """
    paths = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    if strange := [name for name in names if not is_allowed_name(name)]:
        raise ArtifactError(
            f"{folder / strange[0]} is not part of a model, so it cannot be exported: move it "
            "elsewhere"
        )
    return [name for name in names if with_weights or not name.startswith(WEIGHTS)]


def build_manifest(folder: Path, version: str, names: Iterable[str], on_bytes: OnBytes) -> Manifest:
    """Return the manifest of these files in a folder."""
    files = {}
    for name in names:
        with (folder / name).open("rb") as source:
            files[name] = copy_and_hash(source, None, on_bytes)
    return Manifest(version, files)


def copy_and_hash(source: IO[bytes], target: IO[bytes] | None, on_bytes: OnBytes) -> Entry:
    """Read a file, copy it to `target` if there is one, and return its size and hash."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if target is not None:
            target.write(chunk)
        on_bytes(len(chunk))
    return Entry(size, digest.hexdigest())


def write_bundle(
    artifact: Artifact,
    file: Path,
    *,
    with_weights: bool = False,
    on_bytes: OnBytes = lambda _: None,
) -> Manifest:
    """Write an artifact as a bundle that only its owner can read; same files, same bytes.

    The bundle has the card's roster, to which consent was applied, not the file on disk.

    Raises:
        ArtifactError: The file already exists, or the artifact lacks weights or contains a file
            that must not be exported.
    """
    names = list_file_names(artifact.path, with_weights=with_weights)
    if file.exists():
        raise ArtifactError(f"{file} already exists: choose another name, or delete it")
    if with_weights and not artifact.weights.is_dir():
        raise ArtifactError(
            f"{artifact.path.name} has no weights for further training: export it without them"
        )
    files: dict[str, Entry] = {}
    with temporary_folder(file.parent, file.name) as folder:
        with zipfile.ZipFile(
            folder / "new", "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION
        ) as archive:
            for name in names:
                if name == ROSTER:
                    continue
                path = artifact.path / name
                is_large = path.stat().st_size > _ZIP64_SIZE
                # Opening by name stores neither the file's time nor its mode.
                with (
                    path.open("rb") as source,
                    archive.open(name, "w", force_zip64=is_large) as target,
                ):
                    files[name] = copy_and_hash(source, target, on_bytes)
            roster = io.BytesIO(render_roster(artifact.card.roster).encode())
            with archive.open(ROSTER, "w") as target:
                files[ROSTER] = copy_and_hash(roster, target, on_bytes)
            manifest = Manifest(artifact.path.name, files)
            with archive.open(MANIFEST, "w") as target:
                target.write(manifest.to_text().encode())
        (folder / "new").chmod(PRIVATE_FILE)
        (folder / "new").replace(file)
    return manifest


@dataclass(frozen=True, slots=True)
class Bundle:
    """An open bundle with a valid manifest."""

    file: Path
    archive: zipfile.ZipFile
    manifest: Manifest

    def unpack(self, folder: Path, on_bytes: OnBytes) -> None:
        """Write the files into a new folder, and check them against the manifest.

        Raises:
            ArtifactError: The bundle is damaged, or the disk is too small.
        """
        free = shutil.disk_usage(folder).free
        if self.manifest.size > free:
            raise ArtifactError(
                f"{self.file} unpacks to {self.manifest.size:,} bytes, but only {free:,} are "
                "available: free some space first"
            )
        with _translate_errors(self.file):
            for name, expected in self.manifest.files.items():
                path = folder / name
                make_folder(path.parent)
                with self.archive.open(name) as source, path.open("xb") as target:
                    if copy_and_hash(source, target, on_bytes) != expected:
                        raise ValueError(f"{name} does not match the manifest")


@contextmanager
def open_bundle(file: Path) -> Iterator[Bundle]:
    """Open a bundle; refuse a harmful one before anything is written.

    Raises:
        ArtifactError: It is damaged or not a bundle.
    """
    with _translate_errors(file):
        archive = zipfile.ZipFile(file)
    with archive:
        with _translate_errors(file):
            sizes = _check_entries(archive)
            if sizes.pop(MANIFEST, _MAX_MANIFEST) >= _MAX_MANIFEST:
                raise ValueError("it has no manifest")
            manifest = Manifest.from_text(archive.read(MANIFEST))
            if sizes != {name: entry.size for name, entry in manifest.files.items()}:
                raise ValueError("its files do not match its manifest")
            if manifest.size > _MAX_RATIO * file.stat().st_size:
                raise ValueError(f"it would unpack to {manifest.size:,} bytes")
        yield Bundle(file, archive, manifest)


def _check_entries(archive: zipfile.ZipFile) -> dict[str, int]:
    """Return the sizes of a bundle's entries by name.

    Raises:
        ValueError: One is not a plain file of a model, or two have the same name.
    """
    entries = archive.infolist()
    for entry in entries[: MAX_FILES + 2]:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        is_encrypted = entry.flag_bits & 1
        is_plain = kind in (0, stat.S_IFREG) and not is_encrypted and entry.header_offset >= 0
        is_supported = entry.compress_type in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)
        if not (is_plain and is_supported and is_allowed_name(entry.orig_filename)):
            raise ValueError(f"an entry that is not part of a model: {entry.orig_filename!r}")
    sizes = {entry.orig_filename: entry.file_size for entry in entries}
    if len(sizes) < len(entries) or len(entries) > MAX_FILES + 1:
        raise ValueError("too many files, or two with the same name")
    return sizes


@contextmanager
def _translate_errors(file: Path) -> Iterator[None]:
    """Raise the errors of a damaged bundle as an ArtifactError of one line."""
    try:
        yield
    except (
        EOFError, KeyError, NotImplementedError, OverflowError, RuntimeError, ValueError,
        struct.error, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        reason = make_printable(str(error)) or type(error).__name__
        raise ArtifactError(
            f"{file} is damaged, or not from `understudy models export` ({reason}): copy it again"
        ) from error


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The imported version; if not `is_new`, the registry had it already."""

    name: str
    is_new: bool = True


def import_artifact(registry: Registry, source: str, fill: Callable[[Path], None]) -> ImportResult:
    """Add a version from the files that `fill` writes into a given folder.

    If the registry has the same version already, only its roster is updated, and every "no" in it
    stays. The imported `/optout`s apply to all versions. A refused import leaves nothing.

    Raises:
        ArtifactError: This version of the program cannot use it.
    """
    with temporary_folder(make_folder(registry.root), "import") as temporary:
        folder = make_folder(temporary / "artifact")
        fill(folder)
        try:
            roster = load_artifact(folder).card.roster
        except ArtifactError as error:
            raise ArtifactError(str(error).replace(str(folder), source)) from error
        store_imported(registry.root, roster, source)
        with locked(registry.root / _LOCK, wait=True):  # of two imports of one file, one adds it
            if twin := _find_same_version(registry, folder):
                existing = load_artifact(registry.root / "versions" / twin).card.roster
                registry.change_roster(twin, merge_stricter(existing, roster))
                return ImportResult(twin, is_new=False)
            save_roster(roster, folder)
            return ImportResult(registry.add(folder, "imported"))


def _find_same_version(registry: Registry, folder: Path) -> str | None:
    """Return the version with the same files, except those that change after training; or None.

    The version may have weights that were not exported.
    """
    own = _list_sizes(folder)
    for name in reversed(registry.names):
        other = registry.root / "versions" / name
        sizes = _list_sizes(other)
        has_same_sizes = own.items() <= sizes.items()
        if has_same_sizes and all(n.startswith(WEIGHTS) for n in sizes.keys() - own.keys()):
            manifests = [build_manifest(one, "", own, lambda _: None) for one in (folder, other)]
            if manifests[0] == manifests[1]:
                return name
    return None


def _list_sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of an artifact's files, except those that change after training."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
        and path not in {folder / ROSTER, folder / SCORECARD}
        and not path.name.startswith(".")
    }
