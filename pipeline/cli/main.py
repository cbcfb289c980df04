"""The `understudy` command line, with the commands `train`, `evaluate` and `demo`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from rich_click import UsageError

from model.artifacts.artifact import SCORECARD, Decoding
from model.artifacts.registry import Registry
from model.command_line import Fields, add_commands, make_app, run_app
from model.errors import TrainingError
from model.options import Given, Option
from pipeline.cli import (
    datasets,
    doctor,
    models,
    options,
    people,
    report,
    retrain,
    settings,
    start,
    tables,
    talk,
)
from pipeline.cli.options import require_training, training_panel
from pipeline.dataset.split import HeldOutSplit
from pipeline.terminal import Progress
from pipeline.training.bases import DEFAULT
from pipeline.training.hyperparameters import Hyperparameters, by_recipe
from pipeline.training.processes import count_processes


def train(
    dataset: Annotated[
        Path, Option("Dataset folder created by `understudy build`", "DATASET", is_argument=True)
    ],
    base: options.Base = DEFAULT,
    *,
    training: Annotated[Given, Fields(Hyperparameters)],
    models_dir: options.ModelsDir = options.MODELS,
    accept_terms: options.AcceptTerms = False,
    resume: options.Resume = False,
    restart: options.Restart = False,
    verbose: options.Verbose = False,
    push_to_hub: Annotated[
        str | None, Option("Push the version to this repository: you/model")
    ] = None,
    public_repo: models.PublicRepo = False,
    yes: models.Yes = False,
    recipe: Annotated[
        Literal["understudy", "notebook"],
        Option("Preset; notebook is a plain baseline", panel="Advanced training"),
    ] = "understudy",
    shard: Annotated[
        bool, Option("Divide the model among processes (FSDP)", panel="Advanced training")
    ] = False,
    sampling: Annotated[Given, Fields(Decoding)],
) -> None:
    """Fine-tune a base model on a dataset.

    The first version becomes the current one; promote later ones yourself.
    """
    options.check_resume(resume=resume, restart=restart)
    hyperparameters, decoding = by_recipe(recipe, training), Decoding(**sampling)
    require_training()
    from pipeline.dataset.storage import load_dataset
    from pipeline.training import run
    from pipeline.training.processes import join_processes

    with join_processes(shards=shard) as processes:
        progress = Progress(Console(quiet=not processes.is_main), verbose=verbose)
        registry = Registry(models_dir)
        pairs = load_dataset(dataset)

        def ask() -> bool:  # before training, while somebody is there
            options.confirm_terms(base, models_dir, accepted=accept_terms)
            resumes = run.choose_resume(
                pairs, run.Start(base), registry, options.ask, resume=resume, restart=restart
            )
            if push_to_hub:
                models.confirm_push(
                    push_to_hub,
                    pairs.roster,
                    public_chat=pairs.public,
                    public_repo=public_repo,
                    yes=yes,
                )
            return resumes

        resumes = processes.broadcast_from_main(ask)
        trained = run.train(
            pairs, base, registry, hyperparameters, decoding, progress,
            resume=resumes, processes=processes,
        )  # fmt: skip
        tables.print_outcome(trained, models_dir, progress)
        if push_to_hub and processes.is_main:
            models.push_version(registry, trained.name, push_to_hub, public_repo=public_repo)


def evaluate(
    *,
    artifact: Annotated[
        str,
        Option(
            "current, a number such as 7, a full name, or a folder", "VERSION", is_argument=True
        ),
    ] = "current",
    data: options.Data = None,
    split: Annotated[
        HeldOutSplit, Option("Held-out split: test, or validation to tune settings")
    ] = HeldOutSplit.TEST,
    judge: Annotated[
        Path | None,
        Option("Lines from other chats to train the judge on", "FILE"),
    ] = None,
    quick: Annotated[bool, Option("Evaluate fewer replies; the intervals are wider")] = False,
    replies: Annotated[int | None, Option("Replies per voice", least=1)] = None,
    out: Annotated[Path | None, Option("Write the scorecard to this file")] = None,
    models_dir: options.ModelsDir = options.MODELS,
    seed: options.Seed = 0,
    sampling: options.ModelDecoding,
) -> None:
    """Evaluate a version on held-out conversations.

    Prints the scorecard and writes it to scorecard.json in the version's folder. If you change the
    sampling settings or the split, --out is required.
    """
    require_training()
    if out is None and (sampling or split is not HeldOutSplit.TEST):
        raise UsageError(
            "sampling settings and --split validation need --out FILE: they do not replace the "
            "version's own scorecard"
        )
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise UsageError(f"--out {out} cannot be written: choose a file in an existing folder")
    from pipeline.evaluation import evaluate as evaluation
    from pipeline.report.version import read_scorecard

    console = Console(highlight=False, markup=False)
    found = Registry(models_dir).open(artifact)
    if quick and out is None and (earlier := read_scorecard(found)) and not earlier["quick"]:
        raise UsageError(
            f"--quick: {found.path.name} has a full scorecard, which is not replaced: choose "
            "another file with --out"
        )
    decoding = replace(found.card.decoding, **sampling)
    version = replace(found, card=replace(found.card, decoding=decoding))
    dataset = evaluation.load_evaluation_dataset(version, data)
    size = evaluation.QUICK if quick else evaluation.FULL
    if replies:
        size = size.with_replies(replies)
    file = out or version.path / SCORECARD
    card = evaluation.evaluate(
        version, dataset, models_dir / "bases", size, seed or 0, Progress(console),
        split=split, judge=judge,
    ).card  # fmt: skip
    evaluation.write_scorecard(card, file)
    tables.print_scorecard(card, console)
    print(f"\nWrote {file}")


def demo(
    folder: Annotated[Path, Option("Folder for the chat and its dataset")] = Path("demo"),
    base: options.Base = "smollm2",
    minutes: Annotated[float, Option("Training time", "MINUTES", least=0)] = 5,
    models_dir: options.ModelsDir = options.MODELS,
    accept_terms: options.AcceptTerms = False,
    resume: options.Resume = False,
    restart: options.Restart = False,
    verbose: options.Verbose = False,
) -> None:
    """Build, train, evaluate and promote a model from a sample chat."""
    options.check_resume(resume=resume, restart=restart)
    require_training()
    from pipeline.cli.demo import run_demo

    options.confirm_terms(base, models_dir, accepted=accept_terms)
    progress = Progress(Console(), verbose=verbose)
    run_demo(
        folder, base, minutes, Registry(models_dir), progress, options.ask,
        resume=resume, restart=restart,
    )  # fmt: skip


def check_processes(command: str) -> None:
    """Refuse commands that a launcher started in several processes, except `train`.

    Raises:
        TrainingError: Another command was started that way.
    """
    if command != "train" and (count := count_processes()) > 1:
        raise TrainingError(
            f"only `train` can run in several processes, but {count} are running `{command}`: "
            "start it without torchrun"
        )


app = make_app(
    "Train a model on a Telegram group's chat, and talk with it. `understudy-bot` runs the bot.",
    program="understudy",
    check=check_processes,
)
add_commands(
    app,
    (
        (start.start, "understudy start"),
        (retrain.retrain, "understudy retrain ChatExport_2024-03-31/result.json live.json"),
        (datasets.inspect, "understudy inspect ChatExport_2024-03-31/result.json"),
        (datasets.build, "understudy build ChatExport_2024-03-31/result.json --out dataset"),
        (train, "understudy train dataset --minutes 60"),
        (evaluate, "understudy evaluate current --quick"),
        (report.report, "understudy report current --out report.html"),
        (datasets.demo_chat, "understudy demo-chat demo/export"),
        (demo, "understudy demo --minutes 5"),
    ),
    training_panel(),
    demo_chat="demo-chat",
)
add_commands(
    app,
    (
        (talk.chat, "understudy chat --as Hugo"),
        (talk.simulate, "understudy simulate --turns 10"),
        (people.people, "understudy people"),
        (doctor.doctor, "understudy doctor"),
        (settings.settings, "understudy settings train"),
    ),
)
app.add_command(models.app, "models")


def main() -> None:
    """Run the command line."""
    # GNU OpenMP's threads spin for milliseconds at each of torch's barriers. Where other programs
    # want the cores, that costs most of the time: on two cores with a load of 10, thirty layers'
    # products ran 0.2 times per second instead of 0.55 (2026-12-02).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    run_app(app, "understudy", exit_at_signals=True)
