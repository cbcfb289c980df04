"""The `retrain` command."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from model.artifacts.registry import Registry
from model.errors import ArtifactError
from pipeline.cli import datasets, options
from pipeline.cli.options import hyper, require_training
from pipeline.cli.tables import print_findings, print_summary
from pipeline.retrain import KEEP, MIN_NEW_MESSAGES
from pipeline.versions import receipt

_INTERRUPTED = 130  # as a shell says of Ctrl-C


def retrain(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(readable=False, help="fresh result.json files, and the dumps of the bot"),
    ],
    models_dir: options.ModelsDir = options.MODELS,
    chat: datasets.ChatName = None,
    roster: Annotated[
        Path | None,
        typer.Option(readable=False, help="who is who; else roster.toml in the folder of models"),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="base: train anew; current: go on from what serves, as is done where it may be",
            show_default=False,
        ),
    ] = None,
    replay: Annotated[
        float, typer.Option(min=0, help="--from current: so many old pairs beside each new one")
    ] = 1.0,
    base: Annotated[
        str | None, typer.Option(help="as for train; else the current version's")
    ] = None,
    min_new_messages: Annotated[
        int,
        typer.Option(
            "--min-new-messages", min=1, help="with fewer new messages there is nothing to do"
        ),
    ] = MIN_NEW_MESSAGES,
    force_training: Annotated[
        bool, typer.Option("--force-training", help="even if little is new")
    ] = False,
    no_live_bot: Annotated[
        bool, typer.Option("--no-live-bot", help="no bot runs that people told yes or no")
    ] = False,
    force_promotion: Annotated[
        str | None,
        typer.Option("--force-promotion", help="promote in spite of the gate, for this reason"),
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="so many versions stay")] = KEEP,
    full_evaluation: Annotated[
        bool, typer.Option("--full-evaluation", help="more lines and narrower intervals, slower")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="agree to what would be asked")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="one line at the end")] = False,
    resume: options.Resume = False,
    restart: options.Restart = False,
    min_messages: Annotated[
        int | None,
        typer.Option(min=1, help="as for build; else the current version's", show_default=False),
    ] = None,
    timezone: datasets.Timezone = None,
    skip_damaged: datasets.SkipDamaged = False,
    epochs: Annotated[float | None, hyper("epochs")] = None,
    minutes: Annotated[float | None, hyper("minutes")] = None,
    batch_size: Annotated[int | None, hyper("batch_size")] = None,
    learning_rate: Annotated[float | None, hyper("learning_rate")] = None,
    lora: Annotated[bool | None, hyper("lora", "--lora")] = None,
    max_prompt_tokens: Annotated[int | None, hyper("max_prompt_tokens")] = None,
    max_reply_tokens: Annotated[int | None, hyper("max_reply_tokens")] = None,
    seed: Annotated[int | None, hyper("seed")] = None,
) -> None:
    """Train on what was said since, compare, and let the new version serve if it is no worse.

    The first time it trains the first version. Hyperparameters that are not given are the current
    version's.
    """
    if start_from not in {None, "base", "current"}:
        raise typer.BadParameter(f"--from {start_from}: give base or current")
    if force_promotion is not None and not force_promotion.strip():
        raise typer.BadParameter("--force-promotion needs a reason, which the receipt keeps")
    options.check_resume(resume=resume, restart=restart)
    require_training()
    from pipeline.evaluation.evaluate import FULL, GATE
    from pipeline.retrain.request import Dependencies, RetrainRequest, StartFrom
    from pipeline.retrain.run import retrain as run
    from pipeline.terminal import Watch

    request = RetrainRequest(
        files=tuple(files),
        root=models_dir,
        chat=chat,
        roster=roster,
        timezone=options.zone(timezone),
        base=base,
        start_from=cast("StartFrom | None", start_from),
        replay=replay,
        min_new_messages=min_new_messages,
        min_messages=min_messages or 0,
        force_training=force_training,
        no_live_bot=no_live_bot,
        force_promotion=force_promotion,
        keep=keep,
        evaluation_size=FULL if full_evaluation else GATE,
        hyperparameters=options.given_of(context.params),
        resume=resume,
        restart=restart,
        skip_damaged=skip_damaged,
    )
    console = Console(quiet=quiet, highlight=False, markup=False)  # of names nothing is markup
    watch = Watch(console, _lasted(models_dir))
    try:
        result = run(request, Dependencies(watch, _asker(yes=yes), print_findings, print_summary))
    except KeyboardInterrupt:
        print(
            "understudy: stopped; what serves stays as it was, and the same command begins again",
            file=sys.stderr,
        )
        raise typer.Exit(_INTERRUPTED) from None
    is_refused = result.version is not None and not result.promoted
    print(result.message, file=sys.stderr if is_refused else sys.stdout)  # the bot tells why
    if result.receipt:
        print(f"receipt: {result.receipt}")
    if result.next_command and not quiet:
        print(f"next: {result.next_command}")
    if is_refused:
        raise typer.Exit(1)


def _asker(*, yes: bool) -> Callable[[str], bool]:
    """Return what asks a person in a terminal; elsewhere nobody agrees unless --yes does."""

    def ask(question: str) -> bool:
        return yes or options.ask(question)

    return ask


def _lasted(models_dir: Path) -> dict[str, float]:
    """Return how long each step of the current version's retraining took."""
    try:
        told = receipt.read(models_dir, Registry(models_dir).current or "")
    except ArtifactError:
        return {}
    return dict(told.seconds) if told else {}
