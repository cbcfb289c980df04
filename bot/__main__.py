"""The command line of the bot: `understudy-bot run | check | dump | db upgrade | db backup`."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot import logs
from bot.services.replies import Speaker
from bot.settings import Settings, load_settings
from bot.store.backup import back_up
from bot.store.database import database_file, upgrade_database
from model.artifacts.artifact import Artifact
from model.artifacts.registry import Registry
from model.chat.names import make_printable_lines
from model.errors import UnderstudyError

# Without it python-telegram-bot warns about each duration that it gives as a number of seconds.
DURATIONS = ("PTB_TIMEDELTA", "1")

cli = typer.Typer(
    help="The live bot: answers in a Telegram group in the voices of its friends.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="The database of the messages that the bot saw.", no_args_is_help=True)
cli.add_typer(db, name="db")


@cli.command()
def run() -> None:
    """Run the bot until it is stopped; the database is made where there is none."""
    settings = load_settings()
    logs.set_up(settings.log_level, settings.log_format, settings.token)
    models = Registry(settings.models_dir)
    models.open("current")  # says what is wrong before Telegram is asked
    from bot import app
    from bot import app as running

    bot = app.build(settings, models, lambda found: open_speaker(found, settings), _tell)
    running.run(settings, bot)


@cli.command()
def check() -> None:
    """Look at settings, Telegram, chats, admins, database, disk and model; say what to mend.

    Nothing is changed. A bot that polls meanwhile logs one conflict and goes on.
    """
    from bot.checks.finding import Verdict
    from bot.checks.run import findings

    found = asyncio.run(findings(load_settings()))
    for finding in found:
        typer.echo(finding)
    if any(finding.verdict is Verdict.WRONG for finding in found):
        raise typer.Exit(1)


@cli.command()
def playground(
    conversation: Annotated[
        Path,
        typer.Argument(
            readable=False, help="a text file of lines `Name: words`, which the friends say"
        ),
    ],
    models_dir: Annotated[
        Path, typer.Option("--models", readable=False, help="the folder of trained models")
    ] = Path("artifacts"),
) -> None:
    """Show the real bot in a group on loopback: no token, no Telegram."""
    from bot.playground.show import read_conversation, show

    artifact = Registry(models_dir).open("current")
    lines = read_conversation(conversation)
    asyncio.run(show(artifact, str(models_dir.resolve()), lines, Console(highlight=False)))


@cli.command()
def dump(
    file: Annotated[
        Path, typer.Argument(readable=False, help="where the messages go; it is replaced")
    ],
    chat: Annotated[
        int | None, typer.Option(help="the chat's id, where messages of several are kept")
    ] = None,
) -> None:
    """Write what those who agreed wrote, as Telegram Desktop exports it, to learn from."""
    from bot.services.dump import dump as write_dump

    settings = load_settings()
    held = asyncio.run(write_dump(settings, Registry(settings.models_dir), file, chat))
    typer.echo(
        f"{file} holds {held.friends:,} messages of friends who agreed and {held.own:,} of the "
        f"bot's, of chat {held.chat_id}, and {held.decisions:,} decisions"
    )


@db.command()
def upgrade() -> None:
    """Bring the database up to date; stop the bot first and keep a copy (`db backup`)."""
    url = load_settings().database_url
    was_older = asyncio.run(upgrade_database(url))
    state = "is up to date now" if was_older else "was up to date already"
    typer.echo(f"{database_file(url)} {state}")


@db.command()
def backup(
    target: Annotated[
        Path, typer.Argument(readable=False, metavar="FILE", help="where the copy is written")
    ],
    force: Annotated[bool, typer.Option("--force", help="replace FILE if it is there")] = False,
) -> None:
    """Copy the database into FILE, also while the bot runs; only you can read the copy."""
    done = asyncio.run(back_up(load_settings().database_url, target, force=force))
    typer.echo(f"{done.path} holds {done.messages:,} messages in {done.size / 2**20:,.1f} MiB")


def open_speaker(artifact: Artifact, settings: Settings) -> Speaker:
    """Load the weights of a trained model."""
    from model.speaking.speaker import open_speaker as load

    return load(artifact, device=settings.device)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the command line; what a person can mend is one line, and exit status 1."""
    os.environ.setdefault(*DURATIONS)
    try:
        cli()
    except UnderstudyError as error:
        sys.stderr.write(f"understudy-bot: {make_printable_lines(str(error))}\n")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
