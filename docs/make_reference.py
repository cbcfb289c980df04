"""Write docs/options.md and docs/settings.md from the code: `python docs/make_reference.py`."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from bot.__main__ import cli as bot_cli
from model.command_line import Command
from model.options import Option
from pipeline.cli.main import app as pipeline_cli

ROOT = Path(__file__).parents[1]
PROGRAMS = (("understudy", pipeline_cli), ("understudy-bot", bot_cli))


def render_options() -> str:
    """Return a page with the help of every command of both programs."""
    introduction = (
        "Generated from the code by `python docs/make_reference.py`. `--help` shows this "
        "information in the terminal, and `understudy settings` lists the settings. What people "
        "write to the bot is in [commands](commands.md)."
    )
    blocks = ["# Commands and options", introduction]
    for program, app in PROGRAMS:
        for name, command in _list_commands(program, app):
            blocks += [f"## {name}", *_describe(name, command)]
    return "\n\n".join(blocks) + "\n"


def render_settings() -> str:
    """Return a page with the settings in `.env.example`, their defaults and meanings."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for block in (ROOT / ".env.example").read_text("utf-8").strip().split("\n\n")[1:]:
        *comments, setting = block.splitlines()
        name, _, value = setting.partition("=")
        meaning = " ".join(comment.removeprefix("#").strip() for comment in comments)
        rows.append(f"| `{name}` | {f'`{value}`' if value else ''} | {_escape(meaning)} |")
    introduction = (
        "Generated from `.env.example` by `python docs/make_reference.py`. `understudy-bot` reads "
        "the settings from the environment or from the file `.env` in the folder in which it "
        "starts; the environment takes precedence. An empty setting has its default value."
    )
    return "\n\n".join(["# Settings of the bot", introduction, "\n".join(rows)]) + "\n"


def _list_commands(name: str, command: Any) -> Iterator[tuple[str, Command]]:
    if isinstance(command, Command):
        yield name, command
        return
    for word, one in command.commands.items():
        yield from _list_commands(f"{name} {word}", one)


def _describe(name: str, command: Command) -> Iterator[str]:
    context = click.Context(command)
    yield " ".join((command.help or "").split())
    yield f"```\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```"
    shown = [one for one in command.options if not one.panel]
    if shown:
        yield _table(["", "", "default"], ([_label(one), one.help, _default(one)] for one in shown))
    if command.settings:
        yield "With `--set NAME=VALUE`, or `NAME = VALUE` in the TOML file of `--config FILE`:"
        rows = (
            [f"`{one.name}`", one.help, one.values, _default(one)]
            for options in command.panels_of_settings.values()
            for one in options
            if one.panel
        )
        yield _table(["", "", "values", "default"], rows)
    yield f"Example: `{command.example}`"


def _label(one: Option) -> str:
    if one.is_argument:
        return f"`{one.metavar}{'...' * one.is_repeated}`"
    switch = f" / --no-{one.name}" * one.can_switch_off
    return f"`--{one.name}{switch}{'' if one.kind is bool else f' {one.metavar}'}`"


def _default(one: Option) -> str:
    return "required" if one.is_required and not one.is_argument else one.shown_default


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([_escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write both pages."""
    (ROOT / "docs" / "options.md").write_text(render_options(), "utf-8")
    (ROOT / "docs" / "settings.md").write_text(render_settings(), "utf-8")


if __name__ == "__main__":
    main()
