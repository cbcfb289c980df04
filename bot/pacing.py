"""How long people take to type what the bot sends, and the wait for that long."""

import asyncio
import random
from contextlib import suppress

from telegram import Bot

from bot.outgoing import typing
from bot.store.messages import Place

TYPED_A_SECOND = 9.0
"""Characters: three times what people type on phones (36 words a minute, Palin et al. 2019)."""
SHORTEST, LONGEST = 0.8, 4.0
_SPREAD = 0.3


def typing_seconds(text: str, chance: random.Random) -> float:
    """Draw how long somebody takes before this is sent, within bounds.

    Twenty messages a minute, which is 3 s each, is what Telegram lets a bot send to a group.
    """
    usual = SHORTEST + len(text) / TYPED_A_SECOND
    return min(LONGEST, max(SHORTEST, usual * chance.lognormvariate(0, _SPREAD)))


async def pause(bot: Bot, place: Place, seconds: float, stopped: asyncio.Event) -> None:
    """Show for so long that the bot types; end at once when it is stopped."""
    if seconds <= 0:
        return
    async with typing(bot, place):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stopped.wait()
