"""`understudy models list | show | promote | rollback | roster`: the trained models."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model.artifact import load
from model.errors import ArtifactError
from model.registry import Registry
from pipeline import show
from pipeline.options import MODELS, ModelsDir
from pipeline.roster_file import read_roster

Version = Annotated[str, typer.Argument(help="current, a number such as 7, or a full name")]

app = typer.Typer(
    help="See the trained models, choose which one serves, and whom it may speak as.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_models(models_dir: ModelsDir = MODELS) -> None:
    """List the versions, the newest last; the star marks the one that serves."""
    registry = Registry(models_dir)
    if not registry.names:
        print(f"no models in {models_dir}: make one with `understudy train`")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "version", "trained", "base", "nats/char", "voices"):
        table.add_column(heading, overflow="fold")
    for name in registry.names:
        table.add_row("*" if registry.serves(name) else "", name, *_facts(registry, name))
    Console(highlight=False).print(table)


@app.command("show")
def show_model(version: Version = "current", models_dir: ModelsDir = MODELS) -> None:
    """Show where a version comes from, what it was trained on and how well it foresees replies."""
    registry = Registry(models_dir)
    artifact = registry.open(version)
    show.print_artifact(
        artifact, Console(highlight=False, markup=False), serves=registry.serves(artifact.path.name)
    )


@app.command()
def roster(
    version: Version,
    file: Annotated[Path, typer.Argument(help="a roster.toml, such as the dataset's")],
    models_dir: ModelsDir = MODELS,
) -> None:
    """Give a version, without training, what people agreed to since.

    Names cannot change: they are what the model knows people by.
    """
    registry, wanted = Registry(models_dir), read_roster(file)
    before = registry.open(registry.find(version)).card
    name = registry.change_roster(version, wanted)
    after = registry.open(name).card
    show.print_changes(before, after, Console(highlight=False, markup=False))


@app.command()
def promote(
    version: Version,
    models_dir: ModelsDir = MODELS,
) -> None:
    """Let a version serve."""
    print(f"{Registry(models_dir).promote(version)} serves now")


@app.command()
def rollback(models_dir: ModelsDir = MODELS) -> None:
    """Let the version serve that did before the current one."""
    print(f"{Registry(models_dir).rollback()} serves again")


def _facts(registry: Registry, name: str) -> list[str]:
    try:
        card = load(registry.root / "versions" / name).card
    except ArtifactError as error:
        return ["", "", "", f"cannot be used: {error}"]
    trained = str(card.provenance.get("trained_at", ""))[:10]
    after = card.scores.get("nats_per_character", {}).get("whole", {}).get("tuned")
    voices = ", ".join(person.name for person in card.roster.voices)
    return [trained, card.base, "" if after is None else f"{after:.2f}", voices]
