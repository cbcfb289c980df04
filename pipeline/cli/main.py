"""The `understudy` command line."""

import io
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from model.artifacts.registry import Registry
from model.chat.names import make_printable_lines
from model.errors import UnderstudyError, describe_error, traceback_without_text
from model.speaking.speaker import open_speaker
from pipeline.cli import datasets, evaluate, models, options, retrain, tables, talk
from pipeline.cli.options import DECODING, drawn, hyper, redrawn, require_training
from pipeline.training.bases import DEFAULT
from pipeline.versions.lineage import dataset_of, missing_dataset

app = typer.Typer(
    help="Train on a group's chat, and talk with what came of it. The bot is `understudy-bot`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(models.app, name="models")
for command in (
    datasets.sample,
    datasets.inspect,
    datasets.build,
    evaluate.evaluate,
    retrain.retrain,
):
    app.command()(command)

_SIGNALLED = 128  # a shell adds this to the number of the signal that ended a process
_INTERRUPTED = _SIGNALLED + signal.SIGINT

ModelsDir = options.ModelsDir
Start = Annotated[
    str, typer.Option(help="begin with `held-out` talk of the dataset, `nothing`, or a text FILE")
]
Seed = Annotated[
    int | None, typer.Option(min=0, max=2**32 - 1, help="the same seed gives the same talk")
]
Base = Annotated[
    str, typer.Option(help="a hub id, a folder with config.json, or smollm2 (no download)")
]
ArtifactName = Annotated[str, typer.Option("--model", help="current, a version, or a folder")]


@app.command()
def train(
    context: typer.Context,
    dataset: Annotated[
        Path, typer.Argument(readable=False, help="a folder that `understudy build` made")
    ],
    base: Base = DEFAULT,
    models_dir: ModelsDir = options.MODELS,
    resume: options.Resume = False,
    restart: options.Restart = False,
    recipe: Annotated[
        str,
        typer.Option(help="understudy, or notebook: the plain baseline; other options go first"),
    ] = "understudy",
    epochs: Annotated[float | None, hyper("epochs")] = None,
    minutes: Annotated[float | None, hyper("minutes")] = None,
    batch_size: Annotated[int | None, hyper("batch_size")] = None,
    packing: Annotated[int | None, hyper("packing")] = None,
    token_budget: Annotated[int | None, hyper("token_budget")] = None,
    batches: Annotated[str | None, hyper("batches")] = None,
    precision: Annotated[str | None, hyper("precision")] = None,
    learning_rate: Annotated[float | None, hyper("learning_rate")] = None,
    schedule: Annotated[str | None, hyper("schedule")] = None,
    warmup: Annotated[float | None, hyper("warmup")] = None,
    weight_decay: Annotated[float | None, hyper("weight_decay")] = None,
    lora: Annotated[bool | None, hyper("lora", "--lora")] = None,
    lora_rank: Annotated[int | None, hyper("lora_rank")] = None,
    lora_alpha: Annotated[int | None, hyper("lora_alpha")] = None,
    evaluations: Annotated[int | None, hyper("evaluations")] = None,
    patience: Annotated[int | None, hyper("patience")] = None,
    validation_pairs: Annotated[int | None, hyper("validation_pairs")] = None,
    canaries: Annotated[bool | None, hyper("canaries", "--canaries")] = None,
    canary_count: Annotated[int | None, hyper("canary_count")] = None,
    max_prompt_tokens: Annotated[int | None, hyper("max_prompt_tokens")] = None,
    max_reply_tokens: Annotated[int | None, hyper("max_reply_tokens")] = None,
    seed: Annotated[int | None, hyper("seed")] = None,
    temperature: Annotated[float, drawn("temperature")] = DECODING.temperature,
    top_k: Annotated[int, drawn("top_k")] = DECODING.top_k,
    top_p: Annotated[float, drawn("top_p")] = DECODING.top_p,
    repetition_penalty: Annotated[float, drawn("repetition_penalty")] = DECODING.repetition_penalty,
    candidates: Annotated[int, drawn("candidates")] = DECODING.candidates,
    voice_weight: Annotated[float, drawn("voice_weight")] = DECODING.voice_weight,
    context_weight: Annotated[float, drawn("context_weight")] = DECODING.context_weight,
    length_power: Annotated[float, drawn("length_power")] = DECODING.length_power,
    push_to_hub: Annotated[
        str | None, typer.Option(help="then push it, privately, to you/model on the hub")
    ] = None,
    public: models.Public = False,
    yes: models.Yes = False,
) -> None:
    """Fine-tune a base on a dataset; the first version is promoted for the bot by itself."""
    options.check_resume(resume=resume, restart=restart)
    settings = options.hyperparameters(recipe, context.params)
    decoding = options.decoding(DECODING, context.params)
    require_training()
    from pipeline.dataset.storage import load_dataset
    from pipeline.training.run import Start as Beginning
    from pipeline.training.run import checkpoint_of, may_resume
    from pipeline.training.run import train as train_dataset

    console = Console()
    registry = Registry(models_dir)
    pairs = load_dataset(dataset)
    checkpoint = checkpoint_of(pairs, Beginning(base), registry)
    resume = may_resume(checkpoint, options.ask, resume=resume, restart=restart)
    if push_to_hub:  # asked now, while somebody is there
        models.agree_to_push(
            push_to_hub, pairs.roster, is_open=pairs.public, public=public, yes=yes
        )
    trained = train_dataset(pairs, base, registry, settings, decoding, console, resume=resume)
    tables.print_outcome(trained, console)
    if push_to_hub:
        models.push_version(registry, trained.name, push_to_hub, public=public)


@app.command()
def chat(
    context: typer.Context,
    voice: Annotated[str, typer.Option("--as", help="the friend who answers")],
    me: Annotated[str, typer.Option(help="the name you speak under")] = "You",
    start: Start = "held-out",
    data: options.Data = None,
    model: ArtifactName = "current",
    models_dir: ModelsDir = options.MODELS,
    seed: Seed = None,
    temperature: Annotated[float | None, redrawn("temperature")] = None,
    top_k: Annotated[int | None, redrawn("top_k")] = None,
    top_p: Annotated[float | None, redrawn("top_p")] = None,
    repetition_penalty: Annotated[float | None, redrawn("repetition_penalty")] = None,
    candidates: Annotated[int | None, redrawn("candidates")] = None,
) -> None:
    """Talk with a voice in the terminal: type a line, get an answer; Ctrl-D ends."""
    open_talk = _talk(models_dir, model, start, data, seed, context.params)
    open_talk.console.print(
        "An empty line lets the voice go on, /as NAME changes it, Ctrl-D ends.\n", style="dim"
    )
    talk.chat(open_talk, voice, me)


@app.command()
def simulate(
    context: typer.Context,
    turns: Annotated[int, typer.Option(min=1, help="how many turns the model writes")] = 10,
    start: Start = "held-out",
    data: options.Data = None,
    model: ArtifactName = "current",
    models_dir: ModelsDir = options.MODELS,
    seed: Seed = None,
    temperature: Annotated[float | None, redrawn("temperature")] = None,
    top_k: Annotated[int | None, redrawn("top_k")] = None,
    top_p: Annotated[float | None, redrawn("top_p")] = None,
    repetition_penalty: Annotated[float | None, redrawn("repetition_penalty")] = None,
    candidates: Annotated[int | None, redrawn("candidates")] = None,
) -> None:
    """Let the model write a thread among the friends, choosing who speaks."""
    talk.simulate(_talk(models_dir, model, start, data, seed, context.params), turns)


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Option(readable=False, help="where the sample and its dataset go")
    ] = Path("demo"),
    base: Base = "smollm2",
    minutes: Annotated[float, typer.Option(help="how long to train")] = 5,
    models_dir: ModelsDir = options.MODELS,
    resume: options.Resume = False,
    restart: options.Restart = False,
) -> None:
    """Go from the demo's export to a model, and promote it for the bot."""
    options.check_resume(resume=resume, restart=restart)
    require_training()
    from pipeline.cli.demo import run_demo
    from pipeline.training.run import may_resume

    def resumes(checkpoint: Path | None) -> bool:
        return may_resume(checkpoint, options.ask, resume=resume, restart=restart)

    run_demo(folder, base, minutes, Registry(models_dir), Console(), resumes)


def _talk(
    models_dir: Path,
    model: str,
    start: str,
    data: str | None,
    seed: int | None,
    given: Mapping[str, Any],
) -> talk.Talk:
    artifact = Registry(models_dir).open(model)
    dataset = data or dataset_of(artifact)
    if start == talk.HELD_OUT and data is None and not (dataset and Path(dataset).is_dir()):
        print(
            f"{_capitalized(missing_dataset(artifact))}. So the conversation starts without "
            "context; --start FILE takes a file's lines, --data DIR a dataset's",
            file=sys.stderr,
        )
        start = talk.NOTHING
    lines = talk.opening(start, dataset, artifact.card.window.size, seed)
    decoding = options.decoding(artifact.card.decoding, given)
    speaker = open_speaker(artifact, seed=seed, decoding=decoding)
    return talk.Talk(speaker, Console(highlight=False, markup=False), lines)


def _capitalized(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def main() -> None:
    """Run the command line; what a person can mend is one line and exit status 1."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    signals = _exit_at_signals()
    try:
        app(prog_name="understudy")
    except UnderstudyError as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a folder that is read-only, a file in a folder's place
        place = f" {error.filename}" if error.filename else ""
        _fail(f"cannot use{place}: {describe_error(error)}")
    except KeyboardInterrupt:
        _fail("interrupted", _INTERRUPTED)
    except Exception as error:  # noqa: BLE001  last resort: shown without its text
        if signals:  # a library replaced SystemExit by another error
            sys.exit(_SIGNALLED + signals[0])
        print(traceback_without_text(error), file=sys.stderr)
        _fail("this is a bug in understudy: please report the lines above")


def _exit_at_signals() -> list[int]:
    """Turn signals into SystemExit, so that files are cleaned up; return the signals received."""
    signals: list[int] = []

    def exit_now(number: int, _frame: object) -> None:
        signals.append(number)
        sys.exit(_SIGNALLED + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, exit_now)
    return signals


def _fail(text: str, status: int = 1) -> NoReturn:
    """Print an error and exit."""
    print(f"understudy: {make_printable_lines(text)}", file=sys.stderr)
    sys.exit(status)
