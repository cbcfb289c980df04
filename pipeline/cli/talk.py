"""The commands `chat` and `simulate`."""

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text

from model.chat.eligibility import VOICE_EMOJI
from model.chat.names import clean_name, find_voice
from model.chat.prompt import LINE_BREAK, format_line, parse_lines
from model.chat.roster import Person
from model.errors import DatasetError, VoiceError, describe_error
from model.speaking.speaker import Speaker
from pipeline.dataset.storage import load_dataset

_AS = re.compile(r"/as(?=\s|$)")
HELD_OUT, NOTHING = "held-out", "nothing"


@dataclass(slots=True)
class Talk:
    """An open conversation: its rendered lines, and the model that speaks in it."""

    speaker: Speaker
    console: Console
    lines: list[str] = field(default_factory=list)

    @property
    def voices(self) -> tuple[Person, ...]:
        """Return whom the model may speak as: in one's own terminal, anybody but a no."""
        return self.speaker.artifact.card.roster.voices

    def voice(self, said: str) -> str:
        """Return the name of the voice that `said` means.

        Raises:
            VoiceError: There is none, or the person may not be imitated.
        """
        named = self.speaker.artifact.card.roster.match_voice(said)
        if named and not named[1] and named[0].why_silent:
            raise VoiceError(f"{named[0].name} {named[0].why_silent}: choose another voice")
        return find_voice(said, self.voices).name

    @property
    def window(self) -> Sequence[str]:
        """Return the lines that a reply may look at."""
        return self.lines[-self.speaker.artifact.card.window.size :]

    def hear(self, line: str) -> None:
        """Take a real line into the conversation."""
        self.lines.append(line)

    def show(self) -> None:
        """Print the conversation as it stands."""
        for line in self.lines:
            self.console.print(
                as_text(line, generated=False), soft_wrap=not self.console.is_terminal
            )

    def speak(self, voice: str) -> None:
        """Let a voice take its turn, and print it."""
        self.say(voice, self.speaker.reply(self.window, voice))

    def say(self, voice: str, messages: Iterable[str]) -> None:
        """Take a turn of the model's into the conversation, and print it."""
        for message in messages:
            line = format_line(voice, message)
            self.lines.append(line)
            self.console.print(
                as_text(line, generated=True), soft_wrap=not self.console.is_terminal
            )


def as_text(line: str, *, generated: bool) -> Text:
    """Return a line for the terminal: a mask and colour on what the model said."""
    name, colon, words = line.partition(": ")
    shown = words.replace(LINE_BREAK, "\n     ")
    if generated:
        return Text.assemble(
            f"{VOICE_EMOJI} ", (f"{name}{colon}", "bold magenta"), (shown, "magenta")
        )
    return Text.assemble(" │ ", (f"{name}{colon}", "bold"), shown)


def opening(start: str, dataset: str | None, window: int, seed: int | None) -> list[str]:
    """Return the lines a talk starts from: a held-out conversation, nothing, or a file's.

    Raises:
        DatasetError: The file or the dataset is missing or has no lines.
    """
    if start == NOTHING:
        return []
    if start != HELD_OUT:
        return _from_file(Path(start))
    if not dataset or not Path(dataset).is_dir():
        raise DatasetError(
            f"there is no dataset {dataset}: name one with --data, or begin with --start nothing "
            "or --start FILE"
        )
    test = load_dataset(Path(dataset)).test
    full = [pair for pair in test if len(pair.context) >= min(4, window)] or list(test)
    if not full:
        raise DatasetError(f"{dataset} has no held-out conversation: use --start nothing")
    return list(random.Random(seed).choice(full).context)


def _from_file(path: Path) -> list[str]:
    try:
        return parse_lines(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"cannot use {path} ({describe_error(error)}): --start takes {HELD_OUT}, {NOTHING} "
            "or a text file of lines `Name: words`"
        ) from error


def chat(talk: Talk, voice: str, me: str) -> None:
    """Answer each typed line in a voice; `/as NAME` changes it, an empty line lets it go on."""
    name = talk.voice(voice)
    mine = clean_name(me)
    talk.show()
    for line in typed_lines(talk.console, f" │ {mine}: "):
        words = line.encode("utf-8", "replace").decode().strip()  # a terminal may send any byte
        try:
            if asked := _AS.match(words):
                name = talk.voice(words[asked.end() :].strip())
            elif words:
                talk.hear(format_line(mine, words))
            talk.speak(name)
        except VoiceError as error:
            talk.console.print(Text(f"   {error}", "yellow"))


def simulate(talk: Talk, turns: int) -> None:
    """Let the model choose who speaks and write the turns, with its own lines as context.

    Raises:
        VoiceError: Nobody may be imitated.
    """
    names = [person.name for person in talk.voices]
    if not names:
        raise VoiceError("nobody may be imitated in this version: see `understudy models show`")
    talk.show()
    for _ in range(turns):
        talk.say(*talk.speaker.turn(talk.window, names))


def typed_lines(console: Console, prompt: str) -> Iterator[str]:
    """Yield what a person types until the end of the input."""
    while True:
        try:
            yield console.input(prompt, markup=False)
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
