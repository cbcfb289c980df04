"""Limits that all processes of a bot share, such as Telegram's 20 messages a minute."""

import asyncio
from datetime import timedelta

from sqlalchemy import Connection, Engine, delete, func, insert, select, text, type_coerce

from bot.store.tables import UtcDateTime, limits

_TAKE_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
_CLOCK = func.timezone("utc", func.clock_timestamp())
"""The server's time: the clocks of the processes' machines may differ."""
_SHORTEST = 0.001  # a wait of 0 would mean that the action was counted
LONGEST_SECONDS = 3600.0  # of a limit


class SharedLimits:
    """Counts actions in sliding windows of time; each call is one transaction."""

    def __init__(self, engine: Engine) -> None:
        """Use connections of an engine, in threads."""
        self._engine = engine

    async def take(self, key: str, count: int, seconds: float) -> float:
        """Count an action if there were fewer than `count` within `seconds`, and return 0.

        Otherwise return the seconds until it may be tried again.
        """
        return await asyncio.to_thread(self._take, key, count, timedelta(seconds=seconds))

    def _take(self, key: str, count: int, period: timedelta) -> float:
        is_key = limits.c.key == key
        since = _CLOCK - func.make_interval(0, 0, 0, 0, 0, 0, period.total_seconds())
        now_there = type_coerce(_CLOCK, UtcDateTime())
        recent = select(func.min(limits.c.at), func.count(limits.c.id), now_there)
        with self._engine.begin() as connection:
            connection.execute(_TAKE_LOCK.bindparams(key=key))
            oldest, found, now = connection.execute(
                recent.where(is_key, limits.c.at > type_coerce(since, UtcDateTime()))
            ).one()
            if found >= count:
                return max(_SHORTEST, float((oldest + period - now).total_seconds()))
            connection.execute(delete(limits).where(is_key, limits.c.at <= now - period))
            connection.execute(insert(limits).values(key=key, at=now))
        return 0.0


def delete_old_actions(connection: Connection) -> None:
    """Delete actions that no longer count towards any limit."""
    since = _CLOCK - func.make_interval(0, 0, 0, 0, 0, 0, LONGEST_SECONDS)
    connection.execute(delete(limits).where(limits.c.at < type_coerce(since, UtcDateTime())))
