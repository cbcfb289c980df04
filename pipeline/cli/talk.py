"""The commands `chat` and `simulate`."""

import json
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.text import Text
from rich_click import UsageError

from model.artifacts.registry import Registry
from model.chat.eligibility import VOICE_EMOJI
from model.chat.names import (
    ANYONE_WORDS,
    clean_name,
    escape_control_characters,
    fold,
    make_printable,
    make_printable_lines,
)
from model.chat.person import Person
from model.chat.prompt import LINE_BREAK, format_line, parse_conversations, split_line
from model.chat.voice_names import find_voice
from model.errors import DatasetError, VoiceError, describe_error
from model.options import Given, Option
from model.speaking.speaker import Speaker, open_speaker
from pipeline.cli import options
from pipeline.dataset.pairs import Pair
from pipeline.terminal import colours_of
from pipeline.versions.lineage import explain_missing_dataset, find_dataset

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

HELD_OUT, NOTHING = "held-out", "nothing"
ANYONE = "anyone"
NO_VOICES = "nobody may be imitated in this version: see `understudy models show`"
COMMANDS: Mapping[str, str] = {
    "/as": "/as Hugo changes the voice; /as Hugo hello also says hello",
    "/again": "another answer instead of the last one",
    "/voices": "who can answer",
    "/help": "these commands",
    "/quit": "end the chat",
}
_MARGIN = 3  # columns before a name: the emoji or a bar, and spaces

Opening = Annotated[str, Option("Opening: held-out (a test chat), nothing or a text file", "PATH")]
Model = Annotated[
    str,
    Option(
        "current, a number, a full name, or a folder", "VERSION", complete=options.complete_version
    ),
]
Json = Annotated[bool, Option("Print one JSON object per turn", name="json")]


def chat(
    *,
    voice: Annotated[
        str | None,
        Option(
            "Voice that answers, or anyone (required)", name="as", complete=options.complete_voice
        ),
    ] = None,
    me: Annotated[str, Option("Your name in the conversation")] = "You",
    opening: Opening = HELD_OUT,
    as_json: Json = False,
    model: Model = "current",
    data: options.Data = None,
    models_dir: options.ModelsDir = options.MODELS,
    seed: options.Seed = None,
    sampling: options.TalkDecoding,
) -> None:
    """Chat with a voice in the terminal.

    Type a line to get an answer. An empty line lets the voice continue, /as NAME changes the voice,
    /again generates another answer, /help lists the commands, and Ctrl-D ends the chat. Tab
    completes commands and names. What you type is not stored.

    With --json, each line of the input gets one line of output: {"name": "Hugo", "messages":
    ["first", "second"], "generated": true}, or {"error": "…"}.
    """
    if voice is None:
        voices = Registry(models_dir).open(model).card.roster.voices
        if not voices:
            raise VoiceError(NO_VOICES)
        names = ", ".join(person.name for person in voices)
        raise UsageError(f"--as NAME is missing: {names} or {ANYONE}")
    talk = _open_talk(models_dir, model, opening, data, seed, sampling, as_json=as_json)
    if talk.console.is_terminal and not as_json:
        talk.print_not_agreed()
        talk.console.print(
            "An empty line lets the voice continue, /help lists commands, Ctrl-D ends.\n",
            style="dim",
        )
    run_chat(talk, voice, me)


def simulate(
    *,
    turns: Annotated[int, Option("Number of turns", least=1)] = 10,
    opening: Opening = HELD_OUT,
    as_json: Json = False,
    model: Model = "current",
    data: options.Data = None,
    models_dir: options.ModelsDir = options.MODELS,
    seed: options.Seed = None,
    sampling: options.TalkDecoding,
) -> None:
    """Generate a conversation; the model chooses who speaks next.

    Generated lines start with 🎭. They become context for the lines that follow. With --json, each
    turn is one line: {"name": "Hugo", "messages": ["first", "second"], "generated": true}.
    """
    talk = _open_talk(models_dir, model, opening, data, seed, sampling, as_json=as_json)
    if talk.console.is_terminal and not as_json:
        talk.print_not_agreed()
    run_simulation(talk, turns)


@dataclass(slots=True)
class Talk:
    """An open conversation: its rendered lines, and the model that speaks in it."""

    speaker: Speaker
    console: Console
    lines: list[str] = field(default_factory=list)
    as_json: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give each person of the roster a colour."""
        people = self.speaker.artifact.card.roster.people
        self.colours = self.colours or colours_of(person.name for person in people)

    @property
    def voices(self) -> tuple[Person, ...]:
        """Return the voices: everybody who did not refuse, since only the user sees them."""
        return self.speaker.artifact.card.roster.voices

    @property
    def window(self) -> Sequence[str]:
        """Return the lines that are the context of a reply."""
        return self.lines[-self.speaker.artifact.card.window.size :]

    def find_voice(self, text: str) -> tuple[str, str]:
        """Return the full name of the voice that starts a text, and the words after it.

        Raises:
            VoiceError: There is none, or the person may not be imitated.
        """
        found = self.speaker.artifact.card.roster.match_voice(text)
        if found and found[0].why_silent:
            raise VoiceError(f"{found[0].name} {found[0].why_silent}: choose another voice")
        if found:
            return found[0].name, found[1]
        first, _, rest = text.partition(" ")
        if fold(first) in ANYONE_WORDS:
            return ANYONE, rest.strip()
        return find_voice(text, self.voices).name, ""

    def add_turn(self, voice: str) -> None:
        """Generate a turn, add it to the conversation and print it.

        Raises:
            VoiceError: The voice has nothing to say, or nobody may be imitated.
        """
        names = [person.name for person in self.voices]
        with self._writing(voice):
            if voice == ANYONE:
                name, messages = self.speaker.turn(self.window, names)
            else:
                name, messages = voice, self.speaker.reply(self.window, voice)
        self.lines += (format_line(name, message) for message in messages)
        self.print_turn(name, messages, generated=True)

    def print_lines(self) -> None:
        """Print the conversation so far."""
        for line in self.lines:
            name, words = split_line(line)
            self.print_turn(name or "", [words.replace(LINE_BREAK, "\n")], generated=False)

    def print_turn(self, name: str, messages: Iterable[str], *, generated: bool) -> None:
        """Print a turn: as one line of JSON, or a line per message with the name in its colour."""
        if self.as_json:
            self._print_json(name=name, messages=list(messages), generated=generated)
            return
        label = f"{make_printable(name)}: " if name else ""
        mark = Text(f"{VOICE_EMOJI} ") if generated else Text(" │ ", "dim")
        for message in messages:
            words = make_printable_lines(message)
            if not self.console.is_terminal:
                plain = words.replace("\n", "\n     ")
                self.console.print(f"{mark}{label}{plain}", soft_wrap=True)
                continue
            text = Text.assemble((label, self._style(name)), words)
            for row, line in enumerate(text.wrap(self.console, self.console.width - _MARGIN)):
                self.console.print(Text.assemble(" " * _MARGIN if row else mark, line))

    def print_notice(self, text: str) -> None:
        """Print why there is no answer, or the answer to a command."""
        if self.as_json:
            self._print_json(error=text)
        else:
            words = Text(make_printable_lines(text), "yellow")
            self.console.print(
                Padding.indent(words, _MARGIN), soft_wrap=not self.console.is_terminal
            )

    def print_voices(self) -> None:
        """Print who can answer."""
        if self.as_json:
            self._print_json(voices=[person.name for person in self.voices])
            return
        names = (Text(person.name, self._style(person.name)) for person in self.voices)
        self.console.print(Padding.indent(Text(", ").join(names), _MARGIN))

    def print_not_agreed(self) -> None:
        """List the voices whose owners have not agreed; they may do so later, with `/optin`."""
        card = self.speaker.artifact.card
        names = [person.name for person in self.voices if person.imitate != "yes"]
        if names and not card.public:
            text = Text(
                f"Not agreed yet: {', '.join(names)}. You can try their voices here; in the "
                "group the bot needs their /optin.",
                "dim",
            )
            self.console.print(Padding.indent(text, _MARGIN))

    def _style(self, name: str) -> str:
        return f"bold {self.colours.get(name, '')}".strip()

    def _print_json(self, **value: object) -> None:
        print(escape_control_characters(json.dumps(value, ensure_ascii=False)), flush=True)

    @contextmanager
    def _writing(self, voice: str) -> Iterator[None]:
        """Show in a terminal that an answer is being generated."""
        if self.as_json or not self.console.is_terminal:
            yield
            return
        who = "somebody" if voice == ANYONE else voice
        text = Text.assemble(f"{VOICE_EMOJI} ", (f"{who} is writing …", "dim"))
        with Live(text, console=self.console, auto_refresh=False, transient=True):
            yield


def opening_lines(opening: str, dataset: str | None, window: int, seed: int | None) -> list[str]:
    """Return the first lines: of a held-out conversation, a file's last conversation, or none.

    Raises:
        DatasetError: The file or the dataset is missing or has no lines.
    """
    if opening == NOTHING:
        return []
    if opening != HELD_OUT:
        try:
            return next(reversed(parse_conversations(Path(opening).read_text("utf-8"))), [])
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"cannot use {opening} ({describe_error(error)}): --opening accepts {HELD_OUT}, "
                f"{NOTHING} or a text file with lines `Name: words`"
            ) from error
    if not dataset or not Path(dataset).is_dir():
        raise DatasetError(
            f"there is no dataset {dataset}: pass one with --data, or start with --opening nothing "
            "or --opening PATH"
        )
    from pipeline.dataset.storage import load_dataset

    test = load_dataset(Path(dataset)).test
    if not test:
        raise DatasetError(f"{dataset} has no held-out conversation: use --opening nothing")
    return list(choose_opening(test, window, seed).context)


def choose_opening(pairs: Sequence[Pair], window: int, seed: int | None) -> Pair:
    """Choose a pair whose context opens a conversation: one of at least four lines if possible."""
    full = [pair for pair in pairs if len(pair.context) >= min(4, window)]
    return random.Random(seed).choice(full or pairs)


def run_chat(talk: Talk, voice: str, me: str) -> None:
    """Answer each typed line in a voice, until the end of the input."""
    name, _ = talk.find_voice(voice)
    conversation = TerminalChat(talk, name, clean_name(me))
    if talk.lines and talk.console.is_terminal and not talk.as_json:
        talk.console.print("   An earlier conversation (--opening nothing: none)", style="dim")
    talk.print_lines()
    for line in _typed_lines(conversation):
        words = line.encode("utf-8", "replace").decode().strip()  # a terminal may send any byte
        if words == "/quit":
            return
        try:
            conversation.handle(words)
        except VoiceError as error:
            talk.print_notice(str(error))


@dataclass(slots=True)
class TerminalChat:
    """A conversation with a person, `me`; `before` holds the lines before the last answer."""

    talk: Talk
    voice: str
    me: str
    before: list[str] | None = None

    def handle(self, words: str) -> None:
        """Run a command, or answer these words.

        Raises:
            VoiceError: There is no answer, or no such voice.
        """
        command, _, rest = words.partition(" ")
        match command:
            case "/help":
                lines = (f"{name:8} {text}" for name, text in COMMANDS.items())
                self.talk.print_notice("\n".join(lines))
            case "/voices":
                self.talk.print_voices()
            case "/again":
                self.talk.lines = self.talk.lines if self.before is None else self.before
                self._answer("")
            case "/as":
                self.voice, said = self.talk.find_voice(rest.strip())
                self._answer(said)
            case _ if command.startswith("/"):
                self.talk.print_notice(f"there is no command {command}: /help lists them")
            case _:
                self._answer(words)

    def _answer(self, words: str) -> None:
        if words:
            self.talk.lines.append(format_line(self.me, words))
        self.before = list(self.talk.lines)
        self.talk.add_turn(self.voice)


def run_simulation(talk: Talk, turns: int) -> None:
    """Generate turns by the speakers that the model chooses.

    Raises:
        VoiceError: Nobody may be imitated.
    """
    if not talk.voices:
        raise VoiceError(NO_VOICES)
    talk.print_lines()
    for _ in range(turns):
        talk.add_turn(ANYONE)


def _open_talk(
    models_dir: Path,
    model: str,
    opening: str,
    data: str | None,
    seed: int | None,
    sampling: Given,
    *,
    as_json: bool,
) -> Talk:
    artifact = Registry(models_dir).open(model)
    dataset = data or find_dataset(artifact)
    if opening == HELD_OUT and data is None and not (dataset and Path(dataset).is_dir()):
        reason = explain_missing_dataset(artifact)
        print(
            f"{reason[:1].upper()}{reason[1:]}. The conversation starts without context; "
            "--opening PATH uses the lines of a file, --data PATH those of a dataset",
            file=sys.stderr,
        )
        opening = NOTHING
    lines = opening_lines(opening, dataset, artifact.card.window.size, seed)
    decoding = replace(artifact.card.decoding, **sampling)
    speaker = open_speaker(artifact, seed=seed, decoding=decoding)
    return Talk(speaker, Console(highlight=False, markup=False), lines, as_json)


def _typed_lines(chat: TerminalChat) -> Iterator[str]:
    """Yield what a person types until the end of the input.

    Lines that do not come from a terminal are printed too, except with JSON.
    """
    talk = chat.talk
    is_terminal = sys.stdin.isatty() and talk.console.is_terminal and not talk.as_json
    session = make_prompt(chat) if is_terminal else None
    while True:
        try:
            if session:
                line = session.prompt()
            elif is_terminal:
                line = talk.console.input(f" │ {chat.me}: ", markup=False)
            else:
                line = input()
                if not talk.as_json and line.strip() and not line.startswith("/"):
                    talk.print_turn(chat.me, [line], generated=False)
        except (EOFError, KeyboardInterrupt):
            return
        yield line


def make_prompt(chat: TerminalChat) -> "PromptSession[str] | None":
    """Return a line editor with completion and this chat's history; None without prompt_toolkit.

    The history stays in memory: nothing that is typed is written to disk.
    """
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import CompleteEvent, Completer, Completion
        from prompt_toolkit.document import Document
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
        from prompt_toolkit.styles import Style
    except ImportError:  # it comes with the training extra
        return None

    class CommandCompleter(Completer):
        def get_completions(self, document: Document, _: CompleteEvent) -> Iterator[Completion]:
            for text, style, help_text in complete_line(chat.talk, document.text_before_cursor):
                word = document.text_before_cursor.rpartition("/as ")[2]
                yield Completion(
                    text, -len(word), style=style, display_meta=help_text, selected_style="reverse"
                )

    keys = KeyBindings()

    @keys.add("tab")
    def complete(event: KeyPressEvent) -> None:
        """Insert the only completion at once; with several, go through them."""
        buffer, asked = event.current_buffer, CompleteEvent(completion_requested=True)
        found = list(CommandCompleter().get_completions(buffer.document, asked))
        if len(found) == 1:
            buffer.apply_completion(found[0])
        elif buffer.complete_state:
            buffer.complete_next()
        else:
            buffer.start_completion(select_first=True)

    session: PromptSession[str] = PromptSession(
        [("class:bar", " │ "), ("bold", f"{chat.me}: ")],
        completer=CommandCompleter(),
        key_bindings=keys,
        complete_while_typing=Condition(
            lambda: session.default_buffer.document.text.startswith("/")
        ),
        bottom_toolbar=lambda: f" {chat.voice} answers · Tab completes · ↑ earlier lines · /help",
        reserve_space_for_menu=len(COMMANDS) + 1,
        style=Style.from_dict(
            {
                "bar": "ansibrightblack",
                "bottom-toolbar": "noreverse ansibrightblack",
                "completion-menu": "noinherit",
                "completion-menu.completion": "noinherit",
                "completion-menu.meta.completion": "noinherit ansibrightblack",
            }
        ),
    )
    return session


def complete_line(talk: Talk, line: str) -> Iterator[tuple[str, str, str]]:
    """Yield each word that completes a line, with its style and an explanation.

    Completes a command, or a name after /as.
    """
    if line.startswith("/as "):
        word = fold(line.removeprefix("/as ").lstrip())
        for person in talk.voices:
            if fold(person.name).startswith(word):
                yield person.name, f"fg:{talk.colours.get(person.name, 'default')}", ""
        if ANYONE.startswith(word):
            yield ANYONE, "", "the model chooses who answers"
    elif line.startswith("/"):
        for command, text in COMMANDS.items():
            if command.startswith(line):
                yield command, "", text
