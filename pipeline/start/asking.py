"""Ask a person one question at a time, in a terminal or with preset answers."""

import getpass
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from model.artifacts.commands import DEFAULT_MODELS, models_option, quote
from model.chat.names import make_printable, make_printable_lines
from model.errors import UnderstudyError

BACK = "back"
_MARGIN, _ANSWER_WIDTH = 2, 8  # columns: before a question, and for the answer in its last line
_YES, _NO = {"y", "yes", "s", "sim"}, {"n", "no", "não", "nao"}  # Portuguese too


T = TypeVar("T")


class GoBack(Exception):  # noqa: N818  no error
    """The person typed `back`, to answer the question before this one again."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Prints and asks. With `takes_defaults`, each question is answered with its default.

    `read` and `read_secret` show a prompt and return a line; without them nobody can be asked.
    Except for secrets, a question raises GoBack if the answer is `back` and `allows_back` is true.
    """

    console: Console
    takes_defaults: bool = False
    read: Callable[[str], str] | None = None
    read_secret: Callable[[str], str] | None = None
    allows_back: bool = True

    def title(self, number: int, count: int, text: str) -> None:
        """Print the title of a step."""
        self.console.print()
        heading = Text.assemble((f"{number} of {count} · ", "dim"), (text, "bold"))
        self.console.rule(heading, align="left", style="dim")

    def say(self, text: str, style: str = "") -> None:
        """Print a paragraph, indented and wrapped."""
        shown = Text(make_printable_lines(text), style)
        self.console.print(Padding.indent(shown, 2), highlight=False)

    def print_command(self, *words: object, models_dir: Path = DEFAULT_MODELS) -> None:
        """Print the command that does the same as this step, in this models folder."""
        command = make_printable(" ".join(map(quote, words)) + models_option(models_dir))
        self.console.print(Text.assemble("  ", ("$ ", "dim"), (command, "cyan")), soft_wrap=True)

    def ask(self, question: str, default: str | None = None, option: str = "") -> str:
        """Return an answer in one line; an empty one is the default.

        Raises:
            UnderstudyError: Nobody can be asked, and there is no default.
        """
        hint = f" [{default}]" if default else ""
        while True:
            answer = self._read(f"{question}{hint}: ", default, option).strip()
            if answer or default is not None:
                return answer or default or ""
            self.say("There is no default: type an answer, or Ctrl-C to stop.", "yellow")

    def confirm(self, question: str, *, default: bool, option: str = "") -> bool:
        """Return the answer to a yes-or-no question."""
        hint = "Y/n" if default else "y/N"
        while True:
            answer = self._read(f"{question} [{hint}] ", "", option).strip().casefold()
            if not answer or answer in _YES | _NO:
                return answer in _YES if answer else default
            self.say("Type y or n.", "yellow")

    def choose(self, question: str, count: int, option: str, default: int = 1) -> int:
        """Return a number from 1 to `count`."""
        while True:
            answer = self.ask(question, str(default), option)
            if answer.isdecimal() and 1 <= int(answer) <= count:
                return int(answer)
            self.say(f"Type a number from 1 to {count}.", "yellow")

    def ask_secret(self, question: str, option: str) -> str:
        """Return an answer that is not shown while it is typed; "" if it is empty."""
        if self.read_secret is None or self.takes_defaults:
            return self._without_person(None, option)
        return self.read_secret(f"  {question}: ").strip()

    def _read(self, prompt: str, default: str | None, option: str) -> str:
        if self.takes_defaults or self.read is None:
            return self._without_person(default if self.takes_defaults else None, option)
        while _is_back(answer := self.read(self._print_long(prompt))):
            if self.allows_back:
                raise GoBack
            self.say("You cannot go back after training.", "yellow")
        return answer

    def _print_long(self, prompt: str) -> str:
        """Print a long prompt except its last line, which is returned."""
        width = max(20, self.console.width - _MARGIN - _ANSWER_WIDTH)
        *lines, last = Text(prompt.rstrip()).wrap(self.console, width)
        for line in lines:
            self.say(line.plain)
        return f"  {last.plain} "

    def _without_person(self, default: str | None, option: str) -> str:
        if default is None:
            if self.takes_defaults and option:
                raise UnderstudyError(f"there is no default for this: pass {option}")
            how = f"pass {option}, " if option else ""
            raise UnderstudyError(
                f"there is no terminal to ask in: {how}add --yes to take the defaults, or run "
                "`understudy start` in a terminal"
            )
        return default


def allow_back(asker: Asker, dialogue: Callable[[Asker], T]) -> T:
    """Ask the questions of a dialogue; `back` returns to the previous one.

    For that, the dialogue runs again with the answers before that question, without printing.

    Raises:
        GoBack: The answer to the first question was `back`.
    """
    answers: list[tuple[str, str]] = []  # questions and answers
    asked = ""
    console = asker.console

    def run() -> T:
        given = deque(answer for _, answer in answers)
        console.quiet = bool(given)

        def read(prompt: str) -> str:
            nonlocal asked
            if given:
                answer = given.popleft()
                console.quiet = bool(given)
                return answer
            asked = prompt
            answer = asker.read(prompt) if asker.read else ""
            if not _is_back(answer):
                answers.append((prompt, answer))
            return answer

        return dialogue(replace(asker, read=read) if asker.read else asker)

    while True:
        try:
            return run()
        except GoBack:
            while answers and answers[-1][0] == asked:  # invalid answers to the same question
                answers.pop()
            if not answers:
                raise
            answers.pop()
        finally:
            console.quiet = False


def make_asker(console: Console, *, takes_defaults: bool) -> Asker:
    """Return an asker for this process: it asks only in a terminal."""
    if not sys.stdin.isatty():
        return Asker(console, takes_defaults)

    def read(prompt: str) -> str:
        discard_typed_lines()
        return input(prompt)  # given the prompt, readline keeps it while a line is edited

    def read_secret(prompt: str) -> str:
        discard_typed_lines()
        return getpass.getpass(prompt)

    return Asker(console, takes_defaults, read, read_secret)


def _is_back(answer: str) -> bool:
    return answer.strip().casefold() == BACK


def discard_typed_lines() -> None:
    """Forget what was typed before a question was visible, such as Enter during training."""
    with suppress(ImportError, OSError, ValueError):
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def join_names(names: Iterable[str], most: int = 8) -> str:
    """Return names in one line: at most `most` of them, then the number of others."""
    found = list(names)
    more = f" and {len(found) - most:,} more" if len(found) > most else ""
    return f"{', '.join(found[:most])}{more}"


def number_lines(rows: Sequence[str]) -> str:
    """Return lines that begin with their numbers."""
    return "\n".join(f"{number:>2}  {row}" for number, row in enumerate(rows, 1))
