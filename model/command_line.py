"""Shared parts of both command lines: help in panels, numbers as options, errors in one line."""

import io
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Annotated, Any, NoReturn

import typer
from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from model.chat.names import make_printable_lines, make_printable_name
from model.errors import UnderstudyError, describe_error, traceback_without_text
from model.version import VERSION

SIGNALLED = 128  # a shell adds this to the number of the signal that ended a process
INTERRUPTED = SIGNALLED + signal.SIGINT

_MAX_WIDTH = 100
_COMPLETION = {
    "install_completion": "Install tab completion for this shell",
    "show_completion": "Print tab completion's script for this shell",
}
"""Help of typer's own options, short enough for one line."""


class Command(TyperCommand):
    """A command whose help shows each option with one metavar and no Python type.

    typer's own panels print the types of arguments, such as `<list[path]>`.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002  click's types
        """Print the help."""
        _print_help(self, ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401
        """Return the words after the command's name in the usage line."""
        arguments = (p for p in self.get_params(ctx) if p.param_type_name == "argument")
        return [
            "[OPTIONS]",
            *(
                label_parameter(one) if one.required else f"[{label_parameter(one)}]"
                for one in arguments
            ),
        ]


class CommandGroup(TyperGroup):
    """A group of commands with the same form of help."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401  click's types
        """Return the options, with a short help for those that typer adds."""
        params: list[Any] = list(super().get_params(ctx))
        for param in params:
            if text := _COMPLETION.get(param.name):
                param.help = text
        return params

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002
        """Print the help."""
        _print_help(self, ctx)


def make_app(
    help: str,  # noqa: A002  typer's word
    program: str | None = None,
    check: Callable[[str], None] = lambda _: None,
) -> typer.Typer:
    """Return an empty command line; that of a whole program has --version and completion.

    `check` is called with the name of a program's command before it runs, and may raise.
    """
    app = typer.Typer(
        help=help,
        cls=CommandGroup,
        no_args_is_help=True,
        add_completion=program is not None,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    if program is None:
        return app

    def print_version(wanted: bool) -> None:  # noqa: FBT001  typer's signature
        if wanted:
            print(f"{program} {VERSION}")
            raise typer.Exit

    @app.callback()
    def start(
        context: typer.Context,
        show_version: Annotated[  # noqa: ARG001  its callback prints
            bool,
            typer.Option(
                "--version", callback=print_version, is_eager=True, help="Print the version"
            ),
        ] = False,
    ) -> None:
        if context.invoked_subcommand:
            check(context.invoked_subcommand)

    return app


def add_commands(
    app: typer.Typer,
    commands: Iterable[tuple[Callable[..., None], str]],
    panel: str | None = None,
    **names: str,
) -> None:
    """Add functions as commands, each with an example.

    `panel` is the title above them in the help. `names` gives a command's name if it differs from
    the function's.
    """
    for function, example in commands:
        app.command(
            names.get(function.__name__), cls=Command, epilog=example, rich_help_panel=panel
        )(function)


def number(
    kind: type[int] | type[float], least: float = float("-inf"), most: float = float("inf")
) -> Callable[[str], int | float]:
    """Return a parser of numbers from `least` to `most`, for an option's `parser`."""

    def parse(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            expected = "a whole number" if kind is int else "a number"
            shown = make_printable_name(str(text))
            raise typer.BadParameter(f"{shown} is not {expected}") from None
        if not least <= value <= most:
            limit = (
                f"from {least:g} to {most:g}" if most < float("inf") else f"of {least:g} or more"
            )
            raise typer.BadParameter(f"{text} is out of range: give a number {limit}")
        return value

    return parse


def run_app(app: typer.Typer, program: str, *, exit_at_signals: bool) -> None:
    """Run a command line. An error that a person can fix is one line, with exit status 1.

    `exit_at_signals` turns SIGTERM and SIGHUP into SystemExit, so that files are cleaned up.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    signals = _exit_at_signals() if exit_at_signals else []
    try:
        app(prog_name=program)
    except UnderstudyError as error:
        _fail(program, str(error))
    except OSError as error:  # a full disk, a read-only folder, a file in place of a folder
        file = f" {error.filename}" if error.filename else ""
        _fail(program, f"cannot use{file}: {describe_error(error)}")
    except KeyboardInterrupt:
        _fail(program, "interrupted", INTERRUPTED)
    except Exception as error:  # noqa: BLE001  last resort: shown without its text
        if signals:  # a library replaced SystemExit by another error
            sys.exit(SIGNALLED + signals[0])
        print(traceback_without_text(error), file=sys.stderr)
        _fail(program, f"this is a bug in {program}: please report the lines above")


def _exit_at_signals() -> list[int]:
    """Turn signals into SystemExit; return the list of signals received."""
    signals: list[int] = []

    def exit_now(signal_number: int, _frame: object) -> None:
        signals.append(signal_number)
        sys.exit(SIGNALLED + signal_number)

    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) is signal.SIG_DFL:  # nohup ignores it
            signal.signal(signal_number, exit_now)
    return signals


def _fail(program: str, text: str, status: int = 1) -> NoReturn:
    error = f"{program}: {make_printable_lines(text)}"
    if sys.stderr.isatty():
        width = min(shutil.get_terminal_size().columns, _MAX_WIDTH)
        error = "\n".join(
            textwrap.fill(
                line, width, subsequent_indent="  ",
                break_long_words=False, break_on_hyphens=False,
            )
            for line in error.split("\n")
        )  # fmt: skip
    print(error, file=sys.stderr)
    sys.exit(status)


def _print_help(command: Any, ctx: Any) -> None:  # noqa: ANN401
    console = Console(highlight=False)
    console.width = min(console.width, _MAX_WIDTH)
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    console.print(Padding(Text(f"Usage: {usage}", "bold"), (1, 1, 0, 1)))
    paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\n\n")]
    console.print(Padding(Text("\n\n".join(paragraphs)), 1))
    panels: dict[str, list[tuple[Text, Text | Columns]]] = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        own = "Arguments" if param.param_type_name == "argument" else "Options"
        title = getattr(param, "rich_help_panel", None) or own
        panels.setdefault(title, []).append((Text(label_parameter(param)), _describe(param)))
    if isinstance(command, TyperGroup):
        found = ((name, command.get_command(ctx, name)) for name in command.list_commands(ctx))
        for name, one in found:
            if one:
                title = getattr(one, "rich_help_panel", None) or "Commands"
                row: tuple[Text, Text | Columns] = (
                    Text(name),
                    Text((one.help or "").partition("\n")[0]),
                )
                panels.setdefault(title, []).append(row)
    for title, rows in panels.items():
        if rows:
            table = Table.grid(Column(style="cyan", no_wrap=True), "", padding=(0, 2))
            for row in rows:
                table.add_row(*row)
            console.print(Panel(table, title=title, title_align="left", border_style="dim"))
    if command.epilog:
        console.print(Padding(Text.assemble("Example: ", (command.epilog, "bold")), (0, 1, 1, 1)))


def label_parameter(param: Any) -> str:  # noqa: ANN401
    """Return an option's names and its metavar, or an argument's metavar."""
    metavar = param.metavar or (param.name or "").upper()
    if param.param_type_name == "argument":
        return f"{metavar}..." if param.nargs != 1 else str(metavar)
    names = ", ".join(param.opts)
    return names if param.is_flag else f"{names} {metavar}"


def describe_default(param: Any) -> str:  # noqa: ANN401
    """Return a parameter's default, `required`, or nothing."""
    shown = param.show_default if isinstance(param.show_default, str) else param.default
    if param.required and param.param_type_name == "option":
        return "required"
    if shown is None or isinstance(shown, bool) or not param.show_default:
        return ""
    value = shown.value if isinstance(shown, Enum) else shown
    return f"{value:g}" if isinstance(value, float) else str(value)


def _describe(param: Any) -> Columns:  # noqa: ANN401
    """Return a parameter's help and its default, or that it is required."""
    default = describe_default(param)
    note = f"[{'' if default == 'required' else 'default: '}{default}]" if default else ""
    texts = [Text(param.help or "")] + ([Text(note, "dim")] if note else [])
    return Columns(texts)  # which puts a note that does not fit on a line of its own
