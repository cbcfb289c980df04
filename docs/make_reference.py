"""Write docs/options.md and docs/settings.md from the code: `python docs/make_reference.py`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from bot.__main__ import cli as bot_cli
from model.command_line import describe_default, label_parameter
from pipeline.cli.main import app as pipeline_cli

ROOT = Path(__file__).parents[1]
PROGRAMS = (("understudy", pipeline_cli), ("understudy-bot", bot_cli))


def render_options() -> str:
    """Return a page with the help of every command of both programs."""
    introduction = (
        "Generated from the code by `python docs/make_reference.py`. `--help` shows the same in "
        "the terminal. What people write to the bot is in [commands](commands.md)."
    )
    blocks = ["# Commands and options", introduction]
    for program, app in PROGRAMS:
        for name, command in _list_commands(program, typer.main.get_command(app)):
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
        "them from the environment or from the file `.env` in the folder in which it starts; the "
        "environment takes precedence. An empty setting has its default."
    )
    return "\n\n".join(["# Settings of the bot", introduction, "\n".join(rows)]) + "\n"


def _list_commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, one in inner.items():
        yield from _list_commands(f"{name} {word}", one)


def _describe(name: str, command: Any) -> Iterator[str]:
    context = typer.Context(command)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    yield " ".join((command.help or "").split())
    yield f"```\n{usage}\n```"
    parameters = [one for one in command.get_params(context) if one.name != "help"]
    if parameters:
        rows = [
            f"| `{_escape(label_parameter(one))}` | {_escape(one.help or '')} "
            f"| {_escape(describe_default(one))} |"
            for one in parameters
        ]
        yield "\n".join(["| | | default |", "|---|---|---|", *rows])
    if command.epilog:
        yield f"Example: `{command.epilog}`"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write both pages."""
    (ROOT / "docs" / "options.md").write_text(render_options(), "utf-8")
    (ROOT / "docs" / "settings.md").write_text(render_settings(), "utf-8")


if __name__ == "__main__":
    main()
