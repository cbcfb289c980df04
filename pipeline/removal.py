"""`understudy models remove | purge`: deleting versions, and those that know somebody's words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.registry import Registry, receipt_file
from pipeline.options import MODELS, ModelsDir, require_training
from pipeline.retrain.known import remove_version, still_known

Version = Annotated[str, typer.Argument(help="current, a number such as 7, or a full name")]


def print_still_known(
    still: Mapping[str, Sequence[str]], console: Console, models_dir: Path = MODELS
) -> None:
    """Say which versions know words of people who withdrew, and how to delete them."""
    for name, people in still.items():
        console.print(f"! {name} was made of words of {', '.join(people)}, who withdrew")
    where = "" if models_dir == MODELS else f" --models {models_dir}"
    for person in dict.fromkeys(one for people in still.values() for one in people):
        console.print(
            "To delete such versions, once none of them serves: "
            f'understudy models purge --person "{person}"{where}'
        )


def print_serving_known(registry: Registry) -> None:
    """Say of whom that withdrew the version that serves knows words."""
    still = {one: who for one, who in still_known(registry).items() if registry.serves(one)}
    print_still_known(still, Console(highlight=False, markup=False), registry.root)


def remove(version: Version, models_dir: ModelsDir = MODELS) -> None:
    """Delete a version that does not serve."""
    registry = Registry(models_dir)
    name = remove_version(registry, version)
    has_receipt = receipt_file(registry.root, name).is_file()
    print(f"{name} is deleted{'; its receipt stays' if has_receipt else ''}")


def purge(
    person: Annotated[str, typer.Option(help="the name of somebody who withdrew")],
    models_dir: ModelsDir = MODELS,
) -> None:
    """Delete all versions that were made of a person's words, once none of them serves."""
    require_training()
    from pipeline.retrain.erasure import purge as purge_versions

    gone = purge_versions(Registry(models_dir), person)
    if not gone:
        print(f"no version knows words of {person}")
    for name in gone:
        print(f"{name} is gone")
