"""Find out from outside whether the bot of a database works."""

import asyncio
from datetime import UTC, datetime, timedelta

from bot.errors import BotEnded, StoreError
from bot.settings import Settings
from bot.store.database import database_file, is_locked
from bot.store.heartbeat import MAX_SILENCE, read_silence
from bot.store.inbox import read_oldest_waiting

LONG_WAIT = timedelta(minutes=5)
"""How long an update waits before it is mentioned."""


def check_health(settings: Settings) -> str:
    """Return a line about a bot that works.

    Updates that wait for long are mentioned, but are no fault: while Telegram cannot be reached, a
    restart would not help.

    Raises:
        BotEnded: No bot works with this database: it has ended, is starting, or hangs.
    """
    url = settings.database_url
    path = database_file(url)
    if not is_locked(url):
        raise BotEnded(f"no bot runs with {path}: start it with `understudy-bot run`")
    silence = read_silence(url)
    if silence is None:
        raise BotEnded(f"the bot with {path} is starting; ask again in a minute")
    if silence > MAX_SILENCE:
        raise BotEnded(f"the bot with {path} has been silent for {silence:.0f} s: restart it")
    line = f"The bot works; it reported {silence:.0f} s ago."
    try:
        waiting, oldest = asyncio.run(read_oldest_waiting(url))
    except StoreError:  # a moment in which it is busy; the bot itself can read it
        return line
    if oldest is None or (age := datetime.now(UTC) - oldest) < LONG_WAIT:
        return line
    return f"{line} {waiting:,} updates wait, the oldest for {age // timedelta(minutes=1)} minutes."
