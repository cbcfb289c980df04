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
from pipeline.retrain.request import KEEP, LEAST_NEW
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
    begin: Annotated[
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
    least_new: Annotated[
        int, typer.Option(min=1, help="with fewer new messages there is nothing to do")
    ] = LEAST_NEW,
    anyway: Annotated[bool, typer.Option("--anyway", help="even if little is new")] = False,
    no_live_bot: Annotated[
        bool, typer.Option("--no-live-bot", help="no bot runs that people told yes or no")
    ] = False,
    force: Annotated[
        str | None, typer.Option(help="promote in spite of the gate, for this reason")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="so many versions stay")] = KEEP,
    full_score: Annotated[
        bool, typer.Option("--full-score", help="more lines and narrower intervals, slower")
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
    if begin not in {None, "base", "current"}:
        raise typer.BadParameter(f"--from {begin}: give base or current")
    if force is not None and not force.strip():
        raise typer.BadParameter("--force needs a reason, which the receipt keeps")
    options.check_resume(resume=resume, restart=restart)
    require_training()
    from pipeline.evaluation.evaluate import FULL, GATE
    from pipeline.retrain.request import Begin, RetrainRequest, Tools
    from pipeline.retrain.run import retrain as run
    from pipeline.terminal import Watch

    request = RetrainRequest(
        files=tuple(files),
        root=models_dir,
        chat=chat,
        roster=roster,
        zone=options.zone(timezone),
        base=base,
        begin=cast("Begin | None", begin),
        replay=replay,
        least_new=least_new,
        min_messages=min_messages or 0,
        anyway=anyway,
        no_live_bot=no_live_bot,
        force=force,
        keep=keep,
        size=FULL if full_score else GATE,
        settings=options.given_of(context.params),
        resume=resume,
        restart=restart,
        skip_damaged=skip_damaged,
    )
    console = Console(quiet=quiet, highlight=False, markup=False)  # of names nothing is markup
    watch = Watch(console, _lasted(models_dir))
    try:
        result = run(request, Tools(watch, _asker(yes=yes), print_findings, print_summary))
    except KeyboardInterrupt:
        print(
            "understudy: stopped; what serves stays as it was, and the same command begins again",
            file=sys.stderr,
        )
        raise typer.Exit(_INTERRUPTED) from None
    is_refused = result.version is not None and not result.promoted
    print(result.says, file=sys.stderr if is_refused else sys.stdout)  # the bot tells why
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
