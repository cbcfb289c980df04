"""What a model that travels is made of: the files that may be in it, and the hash of each."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from model.artifact import CARD, ROSTER
from model.errors import ArtifactError, describe_error

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

Told = Callable[[int], None]
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


def file_names(folder: Path, *, with_weights: bool) -> list[str]:
    """Return the names of an artifact's files, without hidden ones, in order.

    Raises:
        ArtifactError: There is one that no model may travel with.
    """
    paths = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    if strange := [name for name in names if not may_travel(name)]:
        raise ArtifactError(
            f"{folder / strange[0]} is no file that a model may travel with: move it away"
        )
    return [name for name in names if with_weights or not name.startswith(WEIGHTS)]


def may_travel(name: str) -> bool:
    """Whether a file of this name may be in a model: none that could be a pickle, none outside.

    CTranslate2's model.bin is no pickle, and is told by its place.
    """
    return _NAME.fullmatch(name) is not None and (name == _ENGINE or Path(name).suffix in _SUFFIXES)


def manifest_of(folder: Path, version: str, names: Iterable[str], told: Told) -> Manifest:
    """Return the manifest of these files of a folder."""
    files = {}
    for name in names:
        with (folder / name).open("rb") as source:
            files[name] = copied(source, None, told)
    return Manifest(version, files)


def copied(source: IO[bytes], target: IO[bytes] | None, told: Told) -> Entry:
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
    if strange := [name for name in files if name == MANIFEST or not may_travel(name)]:
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
