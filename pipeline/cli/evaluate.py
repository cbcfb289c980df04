"""The `evaluate` command."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.artifacts.artifact import SCORECARD
from model.artifacts.registry import Registry
from pipeline.cli import options
from pipeline.cli.options import (
    redrawn,
    require_training,
)
from pipeline.dataset.split import (
    HeldOutSplit,
)


def evaluate(
    context: typer.Context,
    artifact: Annotated[
        str, typer.Argument(help="current, a number such as 7, a full name, or a folder")
    ] = "current",
    data: options.Data = None,
    split: Annotated[
        HeldOutSplit,
        typer.Option(help="the held-out talk to judge by; tune on validation, with --out"),
    ] = HeldOutSplit.TEST,
    quick: Annotated[
        bool, typer.Option("--quick", help="fewer lines, wider intervals, the same figures")
    ] = False,
    lines: Annotated[
        int | None,
        typer.Option(min=1, help="replies that each voice gives; the rest in proportion"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(readable=False, help="write the scorecard into this file, not the version's"),
    ] = None,
    models_dir: options.ModelsDir = options.MODELS,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="the same seed gives the same scorecard")
    ] = 0,
    temperature: Annotated[float | None, redrawn("temperature")] = None,
    top_k: Annotated[int | None, redrawn("top_k")] = None,
    top_p: Annotated[float | None, redrawn("top_p")] = None,
    repetition_penalty: Annotated[float | None, redrawn("repetition_penalty")] = None,
    candidates: Annotated[int | None, redrawn("candidates")] = None,
    voice_weight: Annotated[float | None, redrawn("voice_weight")] = None,
    context_weight: Annotated[float | None, redrawn("context_weight")] = None,
    length_power: Annotated[float | None, redrawn("length_power")] = None,
) -> None:
    """Judge a version on held-out talk: scorecard.json into its folder, and a table."""
    require_training()
    _check_place(out, own=split is HeldOutSplit.TEST and not options.drawing(context.params))
    from pipeline.cli.tables import print_scorecard
    from pipeline.evaluation import evaluate as judging

    console = Console(highlight=False, markup=False)
    found = Registry(models_dir).open(artifact)
    decoding = options.decoding(found.card.decoding, context.params)
    judged = replace(found, card=replace(found.card, decoding=decoding))
    dataset = judging.dataset_for(judged, data)
    size = judging.QUICK if quick else judging.FULL
    if lines:
        size = size.with_lines(lines)
    elif not quick:
        size = size.with_replies(judging.SPOKEN, len(judged.card.learned))
    place = out or judged.path / SCORECARD
    card = judging.evaluate(
        judged, dataset, models_dir / "bases", size, seed, console, split=split, place=place
    )
    print_scorecard(card, console)
    print(f"\nwrote {place}")


def _check_place(out: Path | None, *, own: bool) -> None:
    """Refuse, before any work, a place that a scorecard cannot or must not be written to."""
    if out is None and not own:
        raise typer.BadParameter(
            "other settings than the version's own, and validation talk, are for trying: name a "
            "file with --out, so that the version's scorecard stays as it is"
        )
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise typer.BadParameter(f"--out {out}: name a file in a folder that exists")
