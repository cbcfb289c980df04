"""The command `settings`."""

from typing import Annotated

from click import get_current_context
from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from rich_click import UsageError

from model.command_line import Command, CommandGroup
from model.options import Option
from pipeline.terminal import table


def settings(
    command: Annotated[
        str | None, Option("One command, such as train", "COMMAND", is_argument=True)
    ] = None,
) -> None:
    """List the settings of commands: names, defaults and values.

    Set them with `--set NAME=VALUE`, or in a TOML file with `--config FILE`, one `NAME = VALUE` per
    line. The file can also contain the options that `--help` lists.
    """
    app = get_current_context().find_root().command
    found = app.commands.values() if isinstance(app, CommandGroup) else ()
    commands = {one.name or "": one for one in found if isinstance(one, Command) and one.settings}
    if command is not None and command not in commands:
        raise UsageError(f"{command} has no settings; these commands have: {', '.join(commands)}")
    console = Console(highlight=False, markup=False)
    for name in [command] if command else commands:
        console.print(f"understudy {name}")
        print_settings(commands[name], console)


def print_settings(command: Command, console: Console) -> None:
    """Print a table of a command's settings for each panel."""
    for title, options in command.panels_of_settings.items():
        rows = table("", "", plain=True)
        for one in options:
            default = f"; default: {one.shown_default}" if one.shown_default else ""
            rows.add_row(one.name, Text.assemble(one.help, "\n", (one.values + default, "dim")))
        console.print(f"\n  {title}", style="bold")
        console.print(Padding.indent(rows, 2))
    console.print()
