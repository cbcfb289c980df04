"""Check from another process that the bot is running."""

import asyncio
from datetime import UTC, datetime, timedelta

from bot.errors import BotNotRunning, StoreError
from bot.settings import Settings
from bot.store.database import database_name, is_locked
from bot.store.heartbeat import MAX_SILENCE, read_silence
from bot.store.inbox import read_waiting

LONG_WAIT = timedelta(minutes=5)
"""How long an update waits before it is mentioned."""


def check_health(settings: Settings) -> str:
    """Return a status line.

    Updates that have waited for a long time are mentioned, but do not fail the check: while
    Telegram cannot be reached, a restart would not help.

    Raises:
        BotNotRunning: No bot is using this database, or it is starting, or hangs.
    """
    url = settings.database_url
    name = database_name(url)
    if not is_locked(url):
        raise BotNotRunning(
            f"no bot is using the database {name}: start it with `understudy-bot run`"
        )
    silence = read_silence(url)
    if silence is None:
        raise BotNotRunning(f"the bot on {name} is still starting: check again in a minute")
    if silence > MAX_SILENCE:
        raise BotNotRunning(f"the bot on {name} has not responded for {silence:.0f} s: restart it")
    line = f"The bot is healthy; it last reported {silence:.0f} s ago."
    try:
        waiting, oldest = asyncio.run(read_waiting(url))
    except StoreError:  # the database is busy for a moment
        return line
    if oldest is None or (age := datetime.now(UTC) - oldest) < LONG_WAIT:
        return line
    minutes = age // timedelta(minutes=1)
    return f"{line} {waiting:,} updates are waiting, the oldest for {minutes} minutes."
