"""`understudy models list | promote | rollback`: which trained model serves."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model.artifact import load
from model.errors import ArtifactError
from model.registry import Registry
from pipeline.options import MODELS, ModelsDir

app = typer.Typer(
    help="See the trained models and choose which one serves.",
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


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="a number such as 7, or a full name")],
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
