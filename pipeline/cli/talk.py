"""The commands `chat` and `simulate`."""

import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from model.artifacts.registry import Registry
from model.chat.eligibility import VOICE_EMOJI
from model.chat.names import clean_name, find_voice, make_printable
from model.chat.prompt import LINE_BREAK, format_line, parse_lines
from model.chat.roster import Person
from model.command_line import number
from model.errors import DatasetError, VoiceError, describe_error
from model.speaking.speaker import Speaker, open_speaker
from pipeline.cli import options
from pipeline.dataset.storage import load_dataset
from pipeline.versions.lineage import explain_missing_dataset, find_dataset

_AS = re.compile(r"/as(?=\s|$)")
HELD_OUT, NOTHING = "held-out", "nothing"

Start = Annotated[
    str, typer.Option(metavar="PATH", help="Opening lines: held-out, nothing, or a text file")
]
Model = Annotated[
    str,
    typer.Option("--model", metavar="VERSION", help="current, a number, a full name, or a folder"),
]


def chat(
    context: typer.Context,
    voice: Annotated[str, typer.Option("--as", metavar="NAME", help="Voice that answers")],
    me: Annotated[str, typer.Option(metavar="NAME", help="Your name in the conversation")] = "You",
    start: Start = HELD_OUT,
    model: Model = "current",
    data: options.Data = None,
    models_dir: options.ModelsDir = options.MODELS,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    candidates: options.Candidates = None,
) -> None:
    """Chat with a voice in the terminal.

    Type a line to get an answer. An empty line lets the voice continue, /as NAME changes the
    voice, and Ctrl-D ends the chat.
    """
    talk = _open_talk(models_dir, model, start, data, seed, context.params)
    talk.console.print(
        "An empty line lets the voice continue, /as NAME changes it, Ctrl-D ends.\n", style="dim"
    )
    run_chat(talk, voice, me)


def simulate(
    context: typer.Context,
    turns: Annotated[
        int, typer.Option(metavar="N", parser=number(int, 1), help="Number of turns")
    ] = 10,
    start: Start = HELD_OUT,
    model: Model = "current",
    data: options.Data = None,
    models_dir: options.ModelsDir = options.MODELS,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    candidates: options.Candidates = None,
) -> None:
    """Generate a conversation; the model chooses who speaks next.

    Generated lines start with 🎭. They become context for the lines that follow.
    """
    talk = _open_talk(models_dir, model, start, data, seed, context.params)
    run_simulation(talk, turns)


@dataclass(slots=True)
class Talk:
    """An open conversation: its rendered lines, and the model that speaks in it."""

    speaker: Speaker
    console: Console
    lines: list[str] = field(default_factory=list)

    @property
    def voices(self) -> tuple[Person, ...]:
        """Return the voices: in one's own terminal, everybody who did not refuse."""
        return self.speaker.artifact.card.roster.voices

    @property
    def window(self) -> Sequence[str]:
        """Return the lines that are the context of a reply."""
        return self.lines[-self.speaker.artifact.card.window.size :]

    def find_voice(self, name: str) -> str:
        """Return the full name of a voice.

        Raises:
            VoiceError: There is none, or the person may not be imitated.
        """
        found = self.speaker.artifact.card.roster.match_voice(name)
        if found and not found[1] and found[0].why_silent:
            raise VoiceError(f"{found[0].name} {found[0].why_silent}: choose another voice")
        return find_voice(name, self.voices).name

    def print_lines(self) -> None:
        """Print the conversation so far."""
        for line in self.lines:
            self._print(_styled(line, generated=False))

    def add_turn(self, voice: str, messages: Iterable[str]) -> None:
        """Add a generated turn to the conversation, and print it."""
        for message in messages:
            line = format_line(voice, message)
            self.lines.append(line)
            self._print(_styled(line, generated=True))

    def _print(self, text: Text) -> None:
        self.console.print(text, soft_wrap=not self.console.is_terminal)


def opening_lines(start: str, dataset: str | None, window: int, seed: int | None) -> list[str]:
    """Return the first lines: of a held-out conversation, of a file, or none.

    Raises:
        DatasetError: The file or the dataset is missing or has no lines.
    """
    if start == NOTHING:
        return []
    if start != HELD_OUT:
        try:
            return parse_lines(Path(start).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"cannot use {start} ({describe_error(error)}): --start takes {HELD_OUT}, "
                f"{NOTHING} or a text file of lines `Name: words`"
            ) from error
    if not dataset or not Path(dataset).is_dir():
        raise DatasetError(
            f"there is no dataset {dataset}: name one with --data, or begin with --start nothing "
            "or --start PATH"
        )
    test = load_dataset(Path(dataset)).test
    full = [pair for pair in test if len(pair.context) >= min(4, window)] or list(test)
    if not full:
        raise DatasetError(f"{dataset} has no held-out conversation: use --start nothing")
    return list(random.Random(seed).choice(full).context)


def run_chat(talk: Talk, voice: str, me: str) -> None:
    """Answer each typed line in a voice, until the end of the input."""
    name = talk.find_voice(voice)
    my_name = clean_name(me)
    talk.print_lines()
    for line in _typed_lines(talk.console, f" │ {my_name}: "):
        words = line.encode("utf-8", "replace").decode().strip()  # a terminal may send any byte
        try:
            if command := _AS.match(words):
                name = talk.find_voice(words[command.end() :].strip())
            elif words:
                talk.lines.append(format_line(my_name, words))
            talk.add_turn(name, talk.speaker.reply(talk.window, name))
        except VoiceError as error:
            talk.console.print(Text(f"   {make_printable(str(error))}", "yellow"))


def run_simulation(talk: Talk, turns: int) -> None:
    """Generate turns by the speakers that the model chooses.

    Raises:
        VoiceError: Nobody may be imitated.
    """
    names = [person.name for person in talk.voices]
    if not names:
        raise VoiceError("nobody may be imitated in this version: see `understudy models show`")
    talk.print_lines()
    for _ in range(turns):
        talk.add_turn(*talk.speaker.turn(talk.window, names))


def _open_talk(
    models_dir: Path,
    model: str,
    start: str,
    data: str | None,
    seed: int | None,
    params: Mapping[str, Any],
) -> Talk:
    artifact = Registry(models_dir).open(model)
    dataset = data or find_dataset(artifact)
    if start == HELD_OUT and data is None and not (dataset and Path(dataset).is_dir()):
        reason = explain_missing_dataset(artifact)
        print(
            f"{reason[:1].upper()}{reason[1:]}. The conversation starts without context; "
            "--start PATH takes the lines of a file, --data PATH those of a dataset",
            file=sys.stderr,
        )
        start = NOTHING
    lines = opening_lines(start, dataset, artifact.card.window.size, seed)
    decoding = options.decoding(artifact.card.decoding, params)
    speaker = open_speaker(artifact, seed=seed, decoding=decoding)
    return Talk(speaker, Console(highlight=False, markup=False), lines)


def _styled(line: str, *, generated: bool) -> Text:
    """Return a line for the terminal: generated ones have a 🎭 and a colour."""
    name, colon, words = line.partition(": ")
    label = f"{make_printable(name)}{colon}"
    shown = "\n     ".join(map(make_printable, words.split(LINE_BREAK)))
    if generated:
        return Text.assemble(f"{VOICE_EMOJI} ", (label, "bold magenta"), (shown, "magenta"))
    return Text.assemble(" │ ", (label, "bold"), shown)


def _typed_lines(console: Console, prompt: str) -> Iterator[str]:
    """Yield what a person types until the end of the input."""
    while True:
        try:
            yield console.input(prompt, markup=False)
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
