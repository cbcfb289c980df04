"""The `understudy` command line, with the commands `train`, `evaluate` and `demo`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.artifacts.artifact import SCORECARD, Decoding
from model.artifacts.registry import Registry
from model.command_line import add_commands, make_app, number, run_app
from model.errors import TrainingError
from pipeline.cli import (
    datasets,
    doctor,
    models,
    options,
    people,
    report,
    retrain,
    start,
    tables,
    talk,
)
from pipeline.cli.options import (
    DECODING,
    HUB,
    MODELS,
    ModelsDir,
    require_training,
    sampling_option,
    training_option,
    training_panel,
)
from pipeline.dataset.split import HeldOutSplit
from pipeline.terminal import Progress
from pipeline.training.bases import DEFAULT
from pipeline.training.hyperparameters import Hyperparameters, by_recipe
from pipeline.training.processes import count_processes


def train(
    context: typer.Context,
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", readable=False, help="Folder that `understudy build` made"
        ),
    ],
    base: options.Base = DEFAULT,
    epochs: Annotated[float | None, training_option("epochs", panel=None)] = None,
    minutes: Annotated[float | None, training_option("minutes", panel=None)] = None,
    lora: Annotated[bool | None, training_option("lora", "--lora/--no-lora", panel=None)] = None,
    models_dir: ModelsDir = MODELS,
    resume: options.Resume = False,
    restart: options.Restart = False,
    verbose: options.Verbose = False,
    temperature: Annotated[float, sampling_option("temperature")] = DECODING.temperature,
    top_k: Annotated[int, sampling_option("top_k")] = DECODING.top_k,
    top_p: Annotated[float, sampling_option("top_p")] = DECODING.top_p,
    repetition_penalty: Annotated[
        float, sampling_option("repetition_penalty")
    ] = DECODING.repetition_penalty,
    candidates: Annotated[int, sampling_option("candidates")] = DECODING.candidates,
    voice_weight: Annotated[float, sampling_option("voice_weight")] = DECODING.voice_weight,
    context_weight: Annotated[float, sampling_option("context_weight")] = DECODING.context_weight,
    length_power: Annotated[float, sampling_option("length_power")] = DECODING.length_power,
    length_weight: Annotated[float, sampling_option("length_weight")] = DECODING.length_weight,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Preset: understudy or notebook (plain baseline)",
            rich_help_panel=options.ADVANCED,
        ),
    ] = "understudy",
    examples: Annotated[str | None, training_option("examples")] = None,
    hidden: Annotated[float | None, training_option("hidden")] = None,
    name_loss: Annotated[float | None, training_option("name_loss")] = None,
    batch_size: Annotated[int | None, training_option("batch_size")] = None,
    batches: Annotated[str | None, training_option("batches")] = None,
    precision: Annotated[str | None, training_option("precision")] = None,
    learning_rate: Annotated[float | None, training_option("learning_rate")] = None,
    schedule: Annotated[str | None, training_option("schedule")] = None,
    warmup: Annotated[float | None, training_option("warmup")] = None,
    weight_decay: Annotated[float | None, training_option("weight_decay")] = None,
    lora_rank: Annotated[int | None, training_option("lora_rank")] = None,
    lora_alpha: Annotated[int | None, training_option("lora_alpha")] = None,
    evaluations: Annotated[int | None, training_option("evaluations")] = None,
    patience: Annotated[int | None, training_option("patience")] = None,
    validation_pairs: Annotated[int | None, training_option("validation_pairs")] = None,
    canaries: Annotated[bool | None, training_option("canaries", "--canaries")] = None,
    canary_count: Annotated[int | None, training_option("canary_count")] = None,
    reserve_judge_sessions: Annotated[
        bool | None, training_option("reserve_judge_sessions", "--reserve-half")
    ] = None,
    max_prompt_tokens: Annotated[int | None, training_option("max_prompt_tokens")] = None,
    max_reply_tokens: Annotated[int | None, training_option("max_reply_tokens")] = None,
    seed: Annotated[int | None, training_option("seed")] = None,
    shard: Annotated[
        bool,
        typer.Option(
            "--shard",
            help="Divide the model among processes (FSDP)",
            rich_help_panel=options.ADVANCED,
        ),
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Push the version to this repository: you/model",
            rich_help_panel=HUB,
        ),
    ] = None,
    public: models.Public = False,
    yes: models.Yes = False,
) -> None:
    """Fine-tune a base model on a dataset.

    The first version becomes the current one; promote later ones yourself.
    """
    options.check_resume(resume=resume, restart=restart)
    given = options.given_options(Hyperparameters, context.params)
    settings = by_recipe(recipe, given)
    decoding = options.decoding(DECODING, context.params)
    require_training()
    from pipeline.dataset.storage import load_dataset
    from pipeline.training import run
    from pipeline.training.processes import join_processes

    with join_processes(shards=shard) as processes:
        progress = Progress(Console(quiet=not processes.is_main), verbose=verbose)
        registry = Registry(models_dir)
        pairs = load_dataset(dataset)

        def ask() -> bool:  # before training, while somebody is there
            checkpoint = run.checkpoint_of(pairs, run.Start(base), registry)
            resumes = run.may_resume(checkpoint, options.ask, resume=resume, restart=restart)
            if push_to_hub:
                models.confirm_push(
                    push_to_hub, pairs.roster, is_open=pairs.public, public=public, yes=yes
                )
            return resumes

        resumes = processes.broadcast_from_main(ask)
        trained = run.train(
            pairs, base, registry, settings, decoding, progress,
            resume=resumes, processes=processes,
        )  # fmt: skip
        tables.print_outcome(trained, models_dir, progress)
        if push_to_hub and processes.is_main:
            models.push_version(registry, trained.name, push_to_hub, public=public)


def evaluate(
    context: typer.Context,
    artifact: Annotated[
        str,
        typer.Argument(
            metavar="VERSION", help="current, a number such as 7, a full name, or a folder"
        ),
    ] = "current",
    data: options.Data = None,
    split: Annotated[
        HeldOutSplit,
        typer.Option(
            metavar="NAME",
            parser=options.choice(HeldOutSplit),
            help="Held-out split: test, or validation to tune settings",
        ),
    ] = HeldOutSplit.TEST,
    quick: Annotated[
        bool, typer.Option("--quick", help="Evaluate fewer replies; the intervals are wider")
    ] = False,
    replies: Annotated[
        int | None, typer.Option(metavar="N", parser=number(int, 1), help="Replies per voice")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", readable=False, help="Write the scorecard to this file"),
    ] = None,
    models_dir: ModelsDir = MODELS,
    seed: options.Seed = 0,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    candidates: options.Candidates = None,
    voice_weight: options.VoiceWeight = None,
    context_weight: options.ContextWeight = None,
    length_power: options.LengthPower = None,
    length_weight: options.LengthWeight = None,
) -> None:
    """Evaluate a version on held-out conversations.

    Prints the scorecard and writes it to scorecard.json in the version's folder. If you change the
    sampling settings or the split, --out is required.
    """
    require_training()
    changed = options.given_options(Decoding, context.params)
    if out is None and (changed or split is not HeldOutSplit.TEST):
        raise typer.BadParameter(
            "with sampling options or --split validation, name a file with --out: the version's "
            "own scorecard stays as it is"
        )
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise typer.BadParameter(f"--out {out}: name a file in a folder that exists")
    from pipeline.evaluation import evaluate as evaluation
    from pipeline.report.version import read_scorecard

    console = Console(highlight=False, markup=False)
    found = Registry(models_dir).open(artifact)
    if quick and out is None and (earlier := read_scorecard(found)) and not earlier["quick"]:
        raise typer.BadParameter(
            f"--quick: {found.path.name} has a full scorecard, which stays as it is: name another "
            "file with --out"
        )
    decoding = options.decoding(found.card.decoding, context.params)
    version = replace(found, card=replace(found.card, decoding=decoding))
    dataset = evaluation.load_evaluation_dataset(version, data)
    size = evaluation.QUICK if quick else evaluation.FULL
    if replies:
        size = size.with_replies(replies)
    elif not quick:
        size = size.with_spoken_lines(evaluation.MIN_LINES, len(version.card.learned))
    file = out or version.path / SCORECARD
    card = evaluation.evaluate(
        version, dataset, models_dir / "bases", size, seed or 0, console, split=split, file=file
    )
    tables.print_scorecard(card, console)
    print(f"\nWrote {file}")


def demo(
    folder: Annotated[
        Path,
        typer.Option(metavar="PATH", readable=False, help="Folder for the sample and its dataset"),
    ] = Path("demo"),
    base: options.Base = "smollm2",
    minutes: Annotated[
        float, typer.Option(metavar="MINUTES", parser=number(float, 0), help="Training time")
    ] = 5,
    models_dir: ModelsDir = MODELS,
    resume: options.Resume = False,
    restart: options.Restart = False,
    verbose: options.Verbose = False,
) -> None:
    """Build, train, evaluate and promote a model from a sample chat."""
    options.check_resume(resume=resume, restart=restart)
    require_training()
    from pipeline.cli.demo import run_demo
    from pipeline.training.run import may_resume

    def should_resume(checkpoint: Path | None) -> bool:
        return may_resume(checkpoint, options.ask, resume=resume, restart=restart)

    progress = Progress(Console(), verbose=verbose)
    run_demo(folder, base, minutes, Registry(models_dir), progress, should_resume)


def check_processes(command: str) -> None:
    """Refuse commands that a launcher started in several processes, except `train`.

    Raises:
        TrainingError: Another command was started so.
    """
    if command != "train" and (count := count_processes()) > 1:
        raise TrainingError(
            f"only `train` can run in several processes, not {count} times `{command}`: start it "
            "without torchrun"
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
        (datasets.sample, "understudy sample demo/export"),
        (demo, "understudy demo --minutes 5"),
    ),
    training_panel(),
)
add_commands(
    app,
    (
        (talk.chat, "understudy chat --as Hugo"),
        (talk.simulate, "understudy simulate --turns 10"),
        (people.people, "understudy people"),
        (doctor.doctor, "understudy doctor"),
    ),
)
app.add_typer(models.app, name="models")


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
