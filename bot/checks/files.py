"""Looks at the bot's files: who can read them, the database's version, the room on its disk."""

import asyncio
import os
import shlex
import shutil
from pathlib import Path

from bot.checks.finding import Finding, note, ok, wrong
from bot.errors import StoreError
from bot.settings import Settings
from bot.store.database import is_locked
from bot.store.version import ANOTHER, Version, complaint, database_file, version_of

ENV_FILE = Path(".env")
MIB = 2**20
TOO_LITTLE = 50 * MIB
LITTLE = 500 * MIB

_OTHERS = 0o077


def settings_file() -> Finding:
    """Look at who can read .env; that its settings can be read is known by now."""
    if not ENV_FILE.exists():
        return ok("settings", f"all can be read; there is no {ENV_FILE} in {Path.cwd()}")
    if ENV_FILE.stat().st_mode & _OTHERS:
        return wrong("settings", f"others can read {ENV_FILE}, with the token: {_closed(ENV_FILE)}")
    return ok("settings", f"all can be read, and only you can read {ENV_FILE}")


async def database(settings: Settings) -> Finding:
    """Look at the database's version, and whether the bot and nobody else may use it."""
    path = database_file(settings.database_url)
    try:
        version = await version_of(settings.database_url)
    except StoreError as error:
        return wrong("database", str(error))
    if version is Version.MISSING:
        return ok("database", f"{path} is not there yet, `understudy-bot run` makes it")
    if version is not Version.CURRENT:
        return wrong("database", complaint(settings.database_url, version))
    if not os.access(path, os.R_OK | os.W_OK):
        return wrong(
            "database", f"{path} cannot be written: see that the bot's user may, or {ANOTHER}"
        )
    if path.stat().st_mode & _OTHERS:
        return wrong("database", f"others can read {path}, with all messages: {_closed(path)}")
    runs = await asyncio.to_thread(is_locked, settings.database_url)
    more = "; a bot uses it now, and a second `understudy-bot run` is refused" if runs else ""
    return ok("database", f"{path} is up to date{more}")


def disk(settings: Settings) -> Finding:
    """Look at the room beside the database."""
    path = database_file(settings.database_url).absolute()
    folder = next(above for above in path.parents if above.is_dir())
    free = shutil.disk_usage(folder).free
    says = f"{free / MIB:,.0f} MiB are free in {folder}"
    if free < TOO_LITTLE:
        return wrong("disk", f"{says}, soon no message can be kept: make room, or {ANOTHER}")
    if free < LITTLE:
        return note("disk", f"{says}: make room before it is full")
    return ok("disk", says)


def _closed(path: Path) -> str:
    return f"chmod 600 {shlex.quote(str(path))}"
