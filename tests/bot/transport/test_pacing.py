"""How long the bot waits before what it sends, and what ends the wait."""

import asyncio
import random
import time

from bot.store.messages import Place
from bot.transport.outgoing import LONGEST, SHORTEST, pause, typing_seconds


def test_longer_messages_take_longer_within_bounds():
    chance = random.Random(0)

    short = [typing_seconds("ok", chance) for _ in range(200)]
    longer = [typing_seconds("a message of some length", chance) for _ in range(200)]

    assert all(SHORTEST <= seconds <= LONGEST for seconds in (*short, *longer))
    assert sum(longer) > 2 * sum(short)
    assert len(set(short)) > 50


class Bot:
    """A chat that counts how often it was shown that somebody types."""

    shown = 0

    async def send_chat_action(self, *_, **__):
        self.shown += 1


async def test_a_pause_ends_at_once_when_it_is_stopped():
    bot, stopped, start = Bot(), asyncio.Event(), time.monotonic()

    asyncio.get_running_loop().call_later(0.05, stopped.set)
    await pause(bot, Place(-1), 30, stopped)

    assert time.monotonic() - start < 5
    assert bot.shown == 1


async def test_no_pause_shows_nothing():
    bot = Bot()

    await pause(bot, Place(-1), -1, asyncio.Event())

    assert bot.shown == 0
