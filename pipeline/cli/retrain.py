"""The `retrain` command."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich_click import UsageError

from model.artifacts.registry import Registry
from model.chat.names import make_printable
from model.command_line import INTERRUPTED, Fields
from model.errors import ArtifactError
from model.options import Given, Option
from pipeline.cli import options
from pipeline.cli.options import require_training
from pipeline.cli.tables import print_findings, print_summary
from pipeline.export.files import find_exports
from pipeline.retrain.request import CURRENT, RetrainDependencies, RetrainRequest, RetrainResult
from pipeline.terminal import Progress, Watch
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.versions.receipt import read_receipt


def retrain(
    files: Annotated[
        list[Path], Option("New exports (result.json) and dumps of the bot", is_argument=True)
    ],
    chosen: Annotated[Given, Fields(RetrainRequest)],
    training: Annotated[
        Given,
        Fields(
            Hyperparameters,
            (
                "minutes", "epochs", "lora", "batch_size", "learning_rate", "max_prompt_tokens",
                "max_reply_tokens", "seed",
            ),
            default_text=CURRENT,
        ),
    ],
    models_dir: Annotated[
        Path | None,
        Option("Folder of trained models", default_text=f"{options.MODELS}, or the group's"),
    ] = None,
    accept_terms: options.AcceptTerms = False,
    yes: Annotated[bool, Option("Answer yes to all other questions")] = False,
    quiet: Annotated[bool, Option("Print only the result")] = False,
    verbose: options.Verbose = False,
) -> None:  # fmt: skip
    """Train on new messages and promote the result if it is no worse.

    The first run trains the first version. Hyperparameters that you do not set keep the current
    version's values.
    """
    reason = chosen.get("force_promotion")
    if reason is not None and not reason.strip():
        raise UsageError("--force-promotion needs a reason, which is saved in the receipt")
    options.check_resume(resume=chosen.get("resume", False), restart=chosen.get("restart", False))
    require_training()
    from pipeline.retrain.intake import find_models_folder

    console = Console(quiet=quiet, highlight=False, markup=False)  # names may look like markup
    progress = Progress(console)
    exports = find_exports(files, progress)
    folder = models_dir or find_models_folder(options.MODELS, exports, chosen.get("chat"), progress)
    if folder != (models_dir or options.MODELS):
        console.print(f"Models folder: {make_printable(str(folder))}", soft_wrap=True)
    options.confirm_terms(chosen.get("base"), folder, accepted=accept_terms)
    request = RetrainRequest(files=tuple(exports), root=folder, hyperparameters=training, **chosen)

    def ask(question: str) -> bool:
        return yes or options.ask(question)

    watch = Watch(console, _seconds_of_last_run(folder), verbose=verbose)
    try:
        result = run_retraining(request, ask, watch)
    except KeyboardInterrupt:
        print(
            "understudy: stopped; the current version is unchanged. Run the same command to start "
            "again",
            file=sys.stderr,
        )
        sys.exit(INTERRUPTED)
    is_refused = result.version is not None and not result.promoted
    print(result.message, file=sys.stderr if is_refused else sys.stdout)  # the bot shows the reason
    if result.receipt:
        print(f"Receipt: {result.receipt}")
    if result.next_command and not quiet:
        print(f"Next: {result.next_command}")
    if is_refused:
        sys.exit(1)


def run_retraining(
    request: RetrainRequest, ask: Callable[[str], bool], watch: Watch
) -> RetrainResult:
    """Retrain with the real trainer and evaluator; their modules are imported here.

    Raises:
        UnderstudyError: See `pipeline.retrain.run.retrain`.
    """
    from pipeline.evaluation.evaluate import evaluate
    from pipeline.retrain import run
    from pipeline.training.run import make_version

    dependencies = RetrainDependencies(
        watch, ask, print_findings, print_summary, make_version, evaluate
    )
    return run.retrain(request, dependencies)


def _seconds_of_last_run(folder: Path) -> dict[str, float]:
    """Return the duration of each step of the current version's retraining."""
    try:
        last = read_receipt(folder, Registry(folder).current or "")
    except ArtifactError:
        return {}
    return dict(last.step_seconds) if last else {}
