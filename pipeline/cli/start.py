"""The command `start`: from an export to a running bot."""

import os
import random
import shutil
import subprocess
import sys
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from model.artifacts.artifact import Artifact
from model.artifacts.commands import models_option
from model.chat.names import make_printable
from model.command_line import INTERRUPTED, Fields
from model.errors import UnderstudyError, VoiceError
from model.options import Given, Option
from model.speaking.speaker import open_speaker
from pipeline.cli import options
from pipeline.cli.options import require_training
from pipeline.cli.retrain import run_retraining
from pipeline.cli.talk import Talk
from pipeline.start.request import NamedConsent, StartRequest
from pipeline.terminal import Progress, Watch
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.versions.lineage import find_dataset

BOT = "understudy-bot"
_CONTEXT = 4  # lines shown before a sample
_SAMPLES = 3
_MARGIN = 3  # columns, as before the lines above


def start(
    chosen: Annotated[Given, Fields(StartRequest)],
    consent: Annotated[Given, Fields(NamedConsent)],
    asked: Annotated[Given, Fields(Hyperparameters, ("minutes",), default_text="asked for")],
    training: Annotated[Given, Fields(Hyperparameters, ("epochs", "max_reply_tokens"))],
    models_dir: options.ModelsDir = options.MODELS,
    accept_terms: options.AcceptTerms = False,
    yes: Annotated[bool, Option("Ask nothing and use the defaults")] = False,
    verbose: options.Verbose = False,
) -> None:
    """Go from an export to a running bot, one question at a time.

    Finds the export, asks who the people are and who agreed, measures this machine, trains, shows
    sample replies, checks the bot's token and starts the bot. Each answer can also be passed as an
    option. Ctrl-C stops; the same command continues where it stopped.
    """
    require_training()
    from pipeline.start.asking import make_asker
    from pipeline.start.run import StartDependencies
    from pipeline.start.run import start as run

    console = Console(highlight=False, markup=False)
    request = StartRequest(
        root=models_dir,
        accepts_terms=accept_terms,
        consent=NamedConsent(**consent),
        hyperparameters=dict(training),
        **chosen,
        **asked,
    )
    dependencies = StartDependencies(
        asker=make_asker(console, takes_defaults=yes),
        retrain=lambda wanted, ask: run_retraining(wanted, ask, Watch(console, verbose=verbose)),
        show_samples=lambda artifact, seed: print_samples(artifact, seed, console),
        write_env=write_env,
        run_bot=run_bot,
        progress=Progress(console),
    )
    try:
        run(request, dependencies)
    except (EOFError, KeyboardInterrupt):
        again = f"understudy start{models_option(models_dir)}"
        print(f"\nunderstudy: stopped; `{again}` continues here", file=sys.stderr)
        sys.exit(INTERRUPTED)


def print_samples(artifact: Artifact, seed: int, console: Console) -> None:
    """Print three held-out conversations, each with a generated and the real answer."""
    from pipeline.dataset.storage import load_dataset

    dataset = load_dataset(Path(find_dataset(artifact) or ""))
    rng = random.Random(seed)
    talk = Talk(open_speaker(artifact, seed=seed), console)
    if not seed:  # the first samples
        talk.print_not_agreed()
    pairs = rng.sample(dataset.test, len(dataset.test))
    first = list({pair.voice: pair for pair in pairs}.values())
    others = (pair for pair in pairs if pair not in first)
    for pair in islice(chain(first, others), _SAMPLES):
        console.print()
        talk.lines = list(pair.context[-_CONTEXT:])
        talk.print_lines()
        talk.lines = list(pair.context)
        try:
            talk.add_turn(pair.voice)
        except VoiceError as error:
            talk.print_notice(str(error))
        real = make_printable(f"really said: {' / '.join(pair.target)}")
        console.print(Padding.indent(Text(real, "dim"), _MARGIN))
    console.print()


def write_env() -> None:
    """Run `understudy-bot setup`, which writes `.env` with every setting and its comment."""
    subprocess.run([find_bot(), "setup"], check=False, stdout=subprocess.DEVNULL)  # noqa: S603  ours


def run_bot() -> None:
    """Replace this program with the bot."""
    program = find_bot()
    os.execv(program, [program, "run"])  # noqa: S606  our own program, without a shell


def find_bot() -> str:
    """Return the bot's program.

    Raises:
        UnderstudyError: It is not installed.
    """
    beside = Path(sys.executable).with_name(BOT)
    program = str(beside) if beside.is_file() else shutil.which(BOT)
    if program is None:
        raise UnderstudyError(f"there is no program {BOT}: install understudy-bot again")
    return program
