"""The `understudy-bot` command line: run, setup, check, health, playground, dump, db."""

import asyncio
import logging
import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

from rich.console import Console

from bot import logs
from bot.errors import SettingsError
from bot.settings import check_database_url, load_settings
from bot.store.backup import back_up
from bot.store.database import database_name, upgrade_database
from model.artifacts.commands import DEFAULT_MODELS
from model.artifacts.registry import Registry
from model.command_line import add_commands, make_app, run_app
from model.options import Option

DEFAULT_PORT, LAST_PORT = 8470, 65535
# Without it python-telegram-bot warns about each duration that it returns as a number of seconds.
_DURATIONS = ("PTB_TIMEDELTA", "1")


def run() -> None:
    """Run the bot. Creates the database if there is none."""
    settings = load_settings()
    logs.set_up_logging(settings.log_level, settings.log_format, settings.token)
    models = Registry(settings.models_dir)
    models.open("current")  # report a problem with the model before Telegram is contacted
    from bot.checks.local import check_settings_file
    from bot.run import build
    from bot.run import run as run_bot
    from bot.services.model_holder import make_loader
    from model.findings import Severity

    settings_file = check_settings_file()
    if settings_file.severity is Severity.FIX:
        logging.getLogger(__name__).warning("%s", settings_file.text)

    def print_now(line: str) -> None:
        print(line, flush=True)

    run_bot(settings, build(settings, models, make_loader(settings), print_now))


def check() -> None:
    """Check the settings, Telegram, the database and the model.

    Says how to fix each problem, and changes nothing. If the bot is running and
    uses polling, it logs one conflict and continues.
    """
    from bot.checks import run_checks
    from model.findings import Severity

    findings = asyncio.run(run_checks(load_settings()))
    for finding in findings:
        print(finding)
    if any(finding.severity is Severity.FIX for finding in findings):
        sys.exit(1)


def health() -> None:
    """Check whether the bot is healthy.

    The exit status is 1 if it has exited, is hanging or is still starting. Meant for containers and
    monitoring; works with polling and with a webhook.
    """
    from bot.health import check_health

    print(check_health(load_settings()))


def setup(
    folder: Annotated[Path, Option("Folder for the bot's files", is_argument=True)] = Path(),
    systemd: Annotated[bool, Option("Also write systemd units")] = False,
    user: Annotated[
        str | None, Option("With --systemd: user to run the bot as (default: you)")
    ] = None,
    chat: Annotated[int | None, Option("With --systemd: chat to retrain on, if several")] = None,
    force: Annotated[bool, Option("Replace changed units, but never .env")] = False,
) -> None:
    """Write the settings file .env, and systemd units with --systemd.

    Existing files are kept.
    """
    from bot.setup import default_user, write_settings, write_units

    folder = folder.resolve()
    lines = [*write_settings(folder)]
    if systemd:
        lines += write_units(folder, user or default_user(), chat, replace=force)
    print("\n".join(lines))


def playground(
    conversation: Annotated[
        Path | None,
        Option("Text file with lines `Name: words`, to play in the terminal", is_argument=True),
    ] = None,
    models_dir: Annotated[Path, Option("Folder of trained models")] = DEFAULT_MODELS,
    port: Annotated[
        int, Option("Port of the page; 0 = any free port", least=0, most=LAST_PORT)
    ] = DEFAULT_PORT,
    opening: Annotated[Path | None, Option("Text file with the opening messages")] = None,
    open_page: Annotated[bool, Option("Open the page in a browser", name="open")] = False,
) -> None:
    """Try the bot in your browser, without Telegram.

    Shows a simulated group in which you can write as any of the friends. Only this machine can
    open the page. With PATH, plays a conversation in the terminal instead.
    """
    from bot.playground.browser import play_in_browser
    from bot.playground.show import read_conversations, show
    from bot.playground.telegram import TOKEN

    def print_address(greeting: str, address: str) -> None:
        console.print(f"{greeting}\n", markup=False)
        console.print(f"  {address}\n", markup=False, soft_wrap=True)
        console.print("Open this address in a browser. Ctrl-C stops the bot and deletes the group.")
        if open_page:
            webbrowser.open(address)

    console = Console(highlight=False)
    models = Registry(models_dir)
    artifact = models.open("current")
    given = conversation or opening
    conversations = read_conversations(given) if given else []
    logs.set_up_logging("WARNING", "text", TOKEN)
    if conversation:
        *_, lines = conversations or [[]]
        asyncio.run(show(artifact, models, lines, console))
    else:
        asyncio.run(play_in_browser(artifact, models, conversations, port, print_address))


def dump(
    file: Annotated[Path, Option("File to write or replace", is_argument=True)],
    chat: Annotated[int | None, Option("Chat id, if there are several chats")] = None,
) -> None:
    """Export the stored messages of people who agreed.

    The file has the format of a Telegram export. `understudy retrain` reads it.
    """
    from bot.services.dump import dump as write_dump

    settings = load_settings()
    result = asyncio.run(write_dump(settings, Registry(settings.models_dir), file, chat))
    print(
        f"{file} contains {result.friends:,} messages of friends who agreed, {result.own:,} of "
        f"the bot, and {result.decisions:,} decisions, all from chat {result.chat_id}."
    )


def upgrade() -> None:
    """Upgrade the database to the latest version.

    Stop the bot and make a copy first (`understudy-bot db backup PATH`).
    """
    url = load_settings().database_url
    was_older = asyncio.run(upgrade_database(url))
    print(f"{database_name(url)} {'is now' if was_older else 'was already'} up to date.")


def copy(
    source: Annotated[str, Option("Address as in DATABASE_URL", "SOURCE", is_argument=True)],
    target: Annotated[str, Option("Address as in DATABASE_URL", "TARGET", is_argument=True)],
) -> None:
    """Move to another database, for example from SQLite to PostgreSQL.

    Copies all rows; stop the bot first. An interrupted copy can be continued. At the end, both
    databases are compared row by row. Then set DATABASE_URL to TARGET.
    """
    from bot.store.copying import CopiedTable, copy_database

    def show(table: CopiedTable) -> None:
        print(f"{table.name:10} {table.rows:>12,} rows, {table.copied:,} of them new", flush=True)

    try:
        source, target = check_database_url(source), check_database_url(target)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    asyncio.run(copy_database(source, target, show))
    print("Both databases have the same rows. Set DATABASE_URL to TARGET in .env.")


def backup(
    target: Annotated[Path, Option("File to write the copy to", is_argument=True)],
    force: Annotated[bool, Option("Replace the file if it exists")] = False,
) -> None:
    """Copy the database, even while the bot is running.

    Only you can read the copy.
    """
    copy = asyncio.run(back_up(load_settings().database_url, target, force=force))
    print(f"{copy.path} contains {copy.messages:,} messages ({copy.size / 2**20:,.1f} MiB).")


cli = make_app(
    "Run the bot that answers in friends' voices in a Telegram group.",
    program="understudy-bot",
)
add_commands(
    cli,
    (
        (run, "understudy-bot run"),
        (setup, "understudy-bot setup /srv/understudy --systemd"),
        (check, "understudy-bot check"),
        (health, "understudy-bot health"),
        (dump, "understudy-bot dump live.json"),
        (playground, "understudy-bot playground --opening demo/conversation.txt"),
    ),
)
db = make_app("Upgrade or copy the database.")
add_commands(
    db,
    (
        (upgrade, "understudy-bot db upgrade"),
        (backup, "understudy-bot db backup copy.db"),
        (copy, "understudy-bot db copy sqlite:///understudy.db postgresql:///understudy"),
    ),
)
cli.add_command(db, "db")


def main() -> None:
    """Run the command line."""
    os.environ.setdefault(*_DURATIONS)
    run_app(cli, "understudy-bot", exit_at_signals=False)


if __name__ == "__main__":
    main()
