"""Options that several commands share, and the values they stand for."""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import rich_click as click
from rich_click import UsageError

from model.artifacts.artifact import Decoding
from model.artifacts.commands import DEFAULT_MODELS
from model.artifacts.registry import Registry
from model.command_line import Fields
from model.errors import ArtifactError, TrainingError
from model.options import Given, Option
from pipeline.training.wheels import accept_terms, find_open_terms

MODELS = DEFAULT_MODELS

_INSTALL_TRAINING = "pip install '.[train]'"

ModelsDir = Annotated[Path, Option("Folder of trained models")]


def complete_version(given: Given, incomplete: str) -> list[str]:
    """Return the versions that an incomplete word may mean, for the shell's completion."""
    names = ["current", *Registry(given.get("models_dir") or MODELS).names]
    return [name for name in names if name.startswith(incomplete)]


def complete_voice(given: Given, incomplete: str) -> list[str]:
    """Return the voices that an incomplete word may mean; a name of several words by its first."""
    try:
        artifact = Registry(given.get("models_dir") or MODELS).open(given.get("model") or "current")
    except ArtifactError:
        return []
    names = (person.name.split(" ")[0] for person in artifact.card.roster.voices)
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


Version = Annotated[
    str,
    Option(
        "current, a number such as 7, or a full name",
        "VERSION",
        complete=complete_version,
        is_argument=True,
    ),
]
Verbose = Annotated[bool, Option("Also print losses, speeds and the settings chosen")]
Resume = Annotated[bool, Option("Continue an interrupted training run")]
Restart = Annotated[bool, Option("Discard the checkpoint of an interrupted run")]
Data = Annotated[str | None, Option("Dataset, if it has moved since training", "PATH")]
Base = Annotated[str, Option("A hub id, a folder, smollm2 or gemma3-270m")]
AcceptTerms = Annotated[bool, Option("Accept the terms of the base, such as Gemma's")]
Seed = Annotated[int | None, Option("Random seed", least=0, most=2**32 - 1)]
Json = Annotated[bool, Option("Print JSON", name="json")]
ModelDecoding = Annotated[Given, Fields(Decoding, default_text="the model's")]
TalkDecoding = Annotated[
    Given, Fields(Decoding, shown=("temperature",), default_text="the model's")
]


def has_training_extra() -> bool:
    """Whether the packages of the training extra are installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "pyarrow"))


def training_panel() -> str | None:
    """Return the title in the help above commands that cannot run without the training extra."""
    return None if has_training_extra() else f"After {_INSTALL_TRAINING}"


def require_training() -> None:
    """Check that the packages of the training extra are installed.

    Raises:
        TrainingError: They are not.
    """
    if not has_training_extra():
        raise TrainingError(f"this needs the training extra: {_INSTALL_TRAINING}")


def ask(question: str) -> bool:
    """Ask a yes-or-no question; without a terminal return False."""
    return sys.stdin.isatty() and click.confirm(question)


def confirm_terms(base: str | None, models_dir: Path, *, accepted: bool) -> None:
    """Ask a user at a terminal to accept the terms of a base, once; record the acceptance."""
    cache = models_dir / "bases"
    terms = find_open_terms(base or "", cache)
    if terms and (accepted or ask(f"{base} may only be used under {terms}. Do you accept them?")):
        accept_terms(base or "", cache)


def check_resume(*, resume: bool, restart: bool) -> None:
    """Refuse --resume together with --restart."""
    if resume and restart:
        raise UsageError("use either --resume or --restart, not both")
