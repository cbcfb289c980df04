"""Options that several commands share, and the values they stand for."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from model.artifacts.artifact import Decoding
from model.artifacts.registry import DEFAULT_MODELS, Registry
from model.chat.conversation import Window
from model.chat.names import make_printable_name
from model.command_line import number
from model.errors import ArtifactError, TrainingError
from pipeline.training.hyperparameters import RECIPES, Hyperparameters

MODELS = DEFAULT_MODELS
DECODING = Decoding()
WINDOW = Window()
SESSION_MINUTES = WINDOW.gap / timedelta(minutes=1)

# The panels of a command's help, after its common options.
SAMPLING = "Sampling"
ADVANCED = "Advanced training"
HUB = "Hugging Face hub"

_INSTALL_TRAINING = "pip install '.[train]'"

ModelsDir = Annotated[
    Path,
    typer.Option("--models", metavar="PATH", readable=False, help="Folder of trained models"),
]


def complete_version(context: typer.Context, incomplete: str) -> list[str]:
    """Return the versions that an incomplete word may mean, for the shell's completion."""
    names = ["current", *Registry(context.params.get("models_dir") or MODELS).names]
    return [name for name in names if name.startswith(incomplete)]


def complete_voice(context: typer.Context, incomplete: str) -> list[str]:
    """Return the voices that an incomplete word may mean; a name of several words by its first."""
    try:
        artifact = Registry(context.params.get("models_dir") or MODELS).open(
            context.params.get("model") or "current"
        )
    except ArtifactError:
        return []
    names = (person.name.split(" ")[0] for person in artifact.card.roster.voices)
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


Version = Annotated[
    str,
    typer.Argument(
        metavar="VERSION",
        help="current, a number such as 7, or a full name",
        autocompletion=complete_version,
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Also print losses, speeds and the settings chosen")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue a stopped training")]
Restart = Annotated[
    bool, typer.Option("--restart", help="Discard the checkpoint of a stopped training")
]
Data = Annotated[
    str | None, typer.Option(metavar="PATH", help="Dataset, if it has moved since training")
]
Base = Annotated[
    str,
    typer.Option(metavar="NAME", help="Base model: a hub id, a folder or smollm2 (no download)"),
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", parser=number(int, 0, 2**32 - 1), help="Random seed"),
]

_SAMPLING_HELP = {
    "temperature": "Temperature (0.1 = cautious, 1 = as trained)",
    "top_k": "Sample from the N likeliest tokens; 0 = all",
    "top_p": "Sample from the likeliest tokens up to this share",
    "repetition_penalty": "Penalty for repeated words; 1 = none",
    "candidates": "Replies to generate; the best is used",
    "voice_weight": "Weight of how typical of the voice a reply is",
    "context_weight": "Weight of how well a reply fits the context",
    "length_power": "Length normalisation: 0 = none, 1 = per token",
    "length_weight": "Weight of how usual the length is for the voice",
}

Choice = TypeVar("Choice", bound=Enum)


def sampling_option(name: str, *, from_model: bool = False) -> Any:  # noqa: ANN401  typer's own type
    """Return the option of a decoding setting; with `from_model` the default is the model's."""
    (kind,) = (field.type for field in fields(Decoding) if field.name == name)
    return typer.Option(
        metavar="N",
        parser=number(int if kind is int else float),
        help=_SAMPLING_HELP[name],
        show_default="the model's" if from_model else True,
        rich_help_panel=SAMPLING,
    )


# Sampling settings for a trained model; None means the model's own value.
Temperature = Annotated[float | None, sampling_option("temperature", from_model=True)]
TopK = Annotated[int | None, sampling_option("top_k", from_model=True)]
TopP = Annotated[float | None, sampling_option("top_p", from_model=True)]
RepetitionPenalty = Annotated[float | None, sampling_option("repetition_penalty", from_model=True)]
Candidates = Annotated[int | None, sampling_option("candidates", from_model=True)]
VoiceWeight = Annotated[float | None, sampling_option("voice_weight", from_model=True)]
ContextWeight = Annotated[float | None, sampling_option("context_weight", from_model=True)]
LengthPower = Annotated[float | None, sampling_option("length_power", from_model=True)]
LengthWeight = Annotated[float | None, sampling_option("length_weight", from_model=True)]


def training_option(
    name: str, *flags: str, panel: str | None = ADVANCED, default: bool | str = False
) -> Any:  # noqa: ANN401
    """Return the option of a hyperparameter, whose help shows `default` or that of each recipe.

    The option's own default is None: if it is not given, the recipe's value is used.
    """
    (field,) = (field for field in fields(Hyperparameters) if field.name == name)
    if field.type is not bool and not default:
        values = {recipe: own.get(name, field.default) for recipe, own in RECIPES.items()}
        others = [f"{r}: {_shown(v)}" for r, v in values.items() if v != field.default]
        default = "; ".join([_shown(field.default), *others])
    is_number = field.type in {int, float}
    return typer.Option(
        *flags,
        metavar="MINUTES" if name == "minutes" else "N" if is_number else "NAME",
        parser=number(int if field.type is int else float) if is_number else None,
        help=field.metadata["help"],
        show_default=default,
        rich_help_panel=panel,
    )


def _shown(value: Any) -> str:  # noqa: ANN401
    return f"{value:g}" if isinstance(value, float) else str(value)


def choice(kind: type[Choice]) -> Callable[[str], Choice]:
    """Return a parser of an enumeration's values, for an option's `parser`."""

    def parse(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            values = " or ".join(str(member.value) for member in kind)
            shown = make_printable_name(str(text))
            raise typer.BadParameter(f"{shown} is not {values}") from None

    return parse


def given_options(
    kind: type[Decoding | Hyperparameters], params: Mapping[str, Any]
) -> dict[str, Any]:
    """Return those of a command's options that are fields of `kind` and were given."""
    names = {field.name for field in fields(kind)}
    return {k: v for k, v in params.items() if k in names and v is not None}


def decoding(default: Decoding, params: Mapping[str, Any]) -> Decoding:
    """Return decoding settings, replaced by those of a command's options that were given.

    Raises:
        ArtifactError: One is out of range.
    """
    try:
        return replace(default, **given_options(Decoding, params))
    except ValueError as error:
        raise ArtifactError(str(error)) from error


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


def window(size: int, session_minutes: float) -> Window:
    """Return the window of these options, or raise a usage error."""
    try:
        return Window(size=size, gap=timedelta(minutes=session_minutes))
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error)) from error


def since(date: str | None, timezone: tzinfo | None) -> datetime | None:
    """Return the beginning of the day that `--since` names, or raise a usage error."""
    if date is None:
        return None
    try:
        moment = datetime.fromisoformat(date)
    except ValueError as error:
        raise typer.BadParameter(f"--since {date}: give a day such as 2024-03-31") from error
    return moment.replace(tzinfo=timezone or UTC) if moment.tzinfo is None else moment


def zone(name: str | None) -> tzinfo | None:
    """Return the time zone with this name, or raise a usage error."""
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
