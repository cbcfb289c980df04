"""Options that several commands share."""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from model.artifacts.artifact import Decoding
from model.chat.conversation import Window
from model.errors import ArtifactError, TrainingError
from pipeline.training.hyperparameters import RECIPES, Hyperparameters, by_recipe

MODELS = Path("artifacts")
DECODING = Decoding()
WINDOW = Window()
SESSION_MINUTES = WINDOW.gap / timedelta(minutes=1)

ModelsDir = Annotated[
    Path, typer.Option("--models", readable=False, help="the folder of trained models")
]

Resume = Annotated[bool, typer.Option("--resume", help="Continue the training that was stopped.")]
Restart = Annotated[
    bool, typer.Option("--restart", help="Discard the checkpoint of a stopped training.")
]

Data = Annotated[
    str | None, typer.Option(help="the dataset, if it is no longer where the model was trained")
]


_DRAWING = {
    "temperature": "how bold replies are: 0.1 the likeliest words, 1 as the model thinks",
    "top_k": "draw from so many likeliest pieces; 0: all",
    "top_p": "draw from the likeliest pieces that make up this share",
    "repetition_penalty": "above 1: avoid words already said",
    "candidates": "draw so many replies, speak the best of them",
    "voice_weight": "how much the best is what this voice says and others do not",
    "context_weight": "how much the best is what fits here and not everywhere",
    "length_power": "0: the best may be long; 1: it is the best word for word",
}


def drawn(name: str) -> Any:  # noqa: ANN401  typer's own type
    """Return the option of a decoding setting."""
    return typer.Option(help=_DRAWING[name])


def redrawn(name: str) -> Any:  # noqa: ANN401
    """Return the option of a decoding setting that a model has one of its own of."""
    return typer.Option(help=f"{_DRAWING[name]}; unless given, the model's own")


def drawing(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a command's options are decoding settings, those alone that were given."""
    names = {field.name for field in fields(Decoding)}
    return {k: v for k, v in given.items() if k in names and v is not None}


def decoding(own: Decoding, given: Mapping[str, Any]) -> Decoding:
    """Return decoding settings with those of a command's options that were given in their place.

    Raises:
        ArtifactError: One is out of range.
    """
    try:
        return replace(own, **drawing(given))
    except ValueError as error:
        raise ArtifactError(str(error)) from error


def require_training() -> None:
    """Say in one line what to install where the training extra is missing.

    Raises:
        TrainingError: It is.
    """
    if any(importlib.util.find_spec(name) is None for name in ("torch", "pyarrow")):
        raise TrainingError("this needs the training extra: pip install '.[train]'")


def hyper(name: str, *flags: str) -> Any:  # noqa: ANN401  typer's own type
    """Return the option of a hyperparameter; its help says what each recipe has for it.

    Its own default is None: what is not given is the recipe's to say.
    """
    field = next(field for field in fields(Hyperparameters) if field.name == name)
    text = field.metadata["help"]
    if field.type is not bool:
        others = [
            f"; {r}: {own[name]:g}" if isinstance(own[name], float) else f"; {r}: {own[name]}"
            for r, own in RECIPES.items()
            if own.get(name, field.default) != field.default
        ]
        default = f"{field.default:g}" if isinstance(field.default, float) else field.default
        text = f"{text} (default {default}{''.join(others)})"
    return typer.Option(*flags, help=text, show_default=False)


def hyperparameters(recipe: str, given: Mapping[str, Any]) -> Hyperparameters:
    """Return a recipe's hyperparameters, with those of a command's options that were given.

    Raises:
        TrainingError: There is no such recipe, or a value is out of range.
    """
    return by_recipe(recipe, given_of(given))


def given_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a command's options that are hyperparameters and were given."""
    names = {field.name for field in fields(Hyperparameters)}
    return {k: v for k, v in options.items() if k in names and v is not None}


def window(size: int, session_minutes: float) -> Window:
    """Return the window of these options, as a usage error where they make none."""
    try:
        return Window(size=size, gap=timedelta(minutes=session_minutes))
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error)) from error


def since(date: str | None, timezone: tzinfo | None) -> datetime | None:
    """Return the time that `--since` names, a day's beginning, as a usage error where none."""
    if date is None:
        return None
    try:
        moment = datetime.fromisoformat(date)
    except ValueError as error:
        raise typer.BadParameter(f"--since {date}: give a day such as 2024-03-31") from error
    return moment.replace(tzinfo=timezone or UTC) if moment.tzinfo is None else moment


def zone(name: str | None) -> tzinfo | None:
    """Return the time zone of this name, as a usage error where there is none."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise typer.BadParameter(f"--timezone {name}: give one such as Europe/Lisbon") from error


def ask(question: str) -> bool:
    """Ask a yes-or-no question; without a terminal return False."""
    return sys.stdin.isatty() and typer.confirm(question)


def check_resume(*, resume: bool, restart: bool) -> None:
    """Refuse --resume together with --restart."""
    if resume and restart:
        raise typer.BadParameter("give either --resume or --restart, not both")
