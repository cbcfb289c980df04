"""The `retrain` command."""

import sys
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from model.artifacts.registry import Registry
from model.chat.names import make_printable
from model.command_line import INTERRUPTED, number
from model.errors import ArtifactError
from pipeline.cli import datasets, options
from pipeline.cli.options import require_training, training_option
from pipeline.cli.tables import print_findings, print_summary
from pipeline.retrain import KEEP, MIN_NEW_MESSAGES
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.versions.receipt import read_receipt

_PROMOTION = "Promotion"
_CURRENT = "the current version's"


def retrain(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH", readable=False, help="New exports (result.json) and dumps of the bot"
        ),
    ],
    chat: datasets.ChatName = None,
    roster: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            readable=False,
            help="People and their consent",
            show_default="roster.toml in the folder of models",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Base model, as for train", show_default=_CURRENT),
    ] = None,
    minutes: Annotated[
        float | None, training_option("minutes", panel=None, default=_CURRENT)
    ] = None,
    min_new_messages: Annotated[
        int,
        typer.Option(
            metavar="N", parser=number(int, 1), help="Do nothing if there are fewer new messages"
        ),
    ] = MIN_NEW_MESSAGES,
    force_training: Annotated[
        bool, typer.Option("--force-training", help="Train even if there are too few new messages")
    ] = False,
    no_live_bot: Annotated[
        bool, typer.Option("--no-live-bot", help="Run without a dump: there is no running bot")
    ] = False,
    models_dir: options.ModelsDir = options.MODELS,
    resume: options.Resume = False,
    restart: options.Restart = False,
    yes: Annotated[bool, typer.Option("--yes", help="Answer yes to every question")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only the result")] = False,
    verbose: options.Verbose = False,
    min_messages: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=number(int, 1),
            help="Minimum messages for a voice",
            show_default=_CURRENT,
        ),
    ] = None,
    timezone: datasets.Timezone = None,
    skip_damaged: datasets.SkipDamaged = False,
    force_promotion: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Promote even a worse version, for this reason",
            rich_help_panel=_PROMOTION,
        ),
    ] = None,
    keep: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=number(int, 1),
            help="Versions to keep",
            rich_help_panel=_PROMOTION,
        ),
    ] = KEEP,
    full_evaluation: Annotated[
        bool,
        typer.Option(
            "--full-evaluation",
            help="Evaluate more replies, for narrower intervals",
            rich_help_panel=_PROMOTION,
        ),
    ] = False,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Weights to start from: base or current",
            show_default="current, if possible",
            rich_help_panel=options.ADVANCED,
        ),
    ] = None,
    replay: Annotated[
        float,
        typer.Option(
            metavar="N",
            parser=number(float, 0),
            help="With --from current: old pairs per new pair",
            rich_help_panel=options.ADVANCED,
        ),
    ] = 1.0,
    epochs: Annotated[float | None, training_option("epochs", default=_CURRENT)] = None,
    batch_size: Annotated[int | None, training_option("batch_size", default=_CURRENT)] = None,
    learning_rate: Annotated[
        float | None, training_option("learning_rate", default=_CURRENT)
    ] = None,
    lora: Annotated[bool | None, training_option("lora", "--lora/--no-lora")] = None,
    max_prompt_tokens: Annotated[
        int | None, training_option("max_prompt_tokens", default=_CURRENT)
    ] = None,
    max_reply_tokens: Annotated[
        int | None, training_option("max_reply_tokens", default=_CURRENT)
    ] = None,
    seed: Annotated[int | None, training_option("seed", default=_CURRENT)] = None,
) -> None:
    """Train on new messages and promote the result if it is no worse.

    The first run trains the first version. Hyperparameters that you do not give keep the current
    version's values.
    """
    if start_from not in {None, "base", "current"}:
        raise typer.BadParameter(f"--from {start_from}: give base or current")
    if force_promotion is not None and not force_promotion.strip():
        raise typer.BadParameter("--force-promotion needs a reason, which the receipt keeps")
    options.check_resume(resume=resume, restart=restart)
    require_training()
    from pipeline.evaluation.evaluate import FULL, GATE
    from pipeline.export.files import find_exports
    from pipeline.retrain.intake import find_models_folder
    from pipeline.retrain.request import RetrainDependencies, RetrainRequest, StartFrom
    from pipeline.retrain.run import retrain as run
    from pipeline.terminal import Watch

    console = Console(quiet=quiet, highlight=False, markup=False)  # names may look like markup
    source = context.get_parameter_source("models_dir")
    is_given = source is not None and source.name == "COMMANDLINE"
    exports = find_exports(files)
    folder = models_dir if is_given else find_models_folder(models_dir, exports, chat)
    if folder != models_dir:
        console.print(f"Folder of models: {make_printable(str(folder))}", soft_wrap=True)
    request = RetrainRequest(
        files=tuple(exports),
        root=folder,
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
        hyperparameters=options.given_options(Hyperparameters, context.params),
        resume=resume,
        restart=restart,
        skip_damaged=skip_damaged,
    )

    def ask(question: str) -> bool:
        return yes or options.ask(question)

    watch = Watch(console, _seconds_of_last_run(folder), verbose=verbose)
    try:
        result = run(request, RetrainDependencies(watch, ask, print_findings, print_summary))
    except KeyboardInterrupt:
        print(
            "understudy: stopped; the current version is unchanged. Run the same command to start "
            "again",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    is_refused = result.version is not None and not result.promoted
    print(result.message, file=sys.stderr if is_refused else sys.stdout)  # the bot shows the reason
    if result.receipt:
        print(f"Receipt: {result.receipt}")
    if result.next_command and not quiet:
        print(f"Next: {result.next_command}")
    if is_refused:
        raise typer.Exit(1)


def _seconds_of_last_run(folder: Path) -> dict[str, float]:
    """Return the duration of each step of the current version's retraining."""
    try:
        last = read_receipt(folder, Registry(folder).current or "")
    except ArtifactError:
        return {}
    return dict(last.step_seconds) if last else {}
