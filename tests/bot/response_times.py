"""Measure how long four chats with ordinary use wait for the bot, and its event loop's delay."""

import asyncio
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.bot.conftest import FRIENDS

ROUNDS = 20
"""Three of four messages are answered: a bot may send 20 messages a minute to a group."""
DOING = ("/as João", "/help", "/voices", "hello")


async def ordinary(stage, chats, user):
    """Simulate ordinary use in four chats, and return how long each answer took, in ms."""
    took = []

    async def one(chat):
        for number in range(ROUNDS):
            began = time.perf_counter()
            words = DOING[number % len(DOING)]
            await stage.telegram.say(chat, user, words)
            if words.startswith("/"):
                await stage.telegram.wait_for(
                    "sendMessage", since=len(stage.telegram.calls), chat_id=chat.id, timeout=300
                )
                took.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(0.05)

    await asyncio.gather(*map(one, chats))
    return took


@dataclass
class Probe:
    """The event loop's delay and its longest callback, in ms."""

    late: float = 0.0
    busy: float = 0.0

    async def watch(self):
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            self.late = max(self.late, 1000 * (time.perf_counter() - began - 0.01))

    @contextmanager
    def timed(self):
        """Measure each callback in processor time, which other processes do not affect."""
        run = asyncio.Handle._run

        def spied(handle):
            began = time.thread_time()
            run(handle)
            self.busy = max(self.busy, 1000 * (time.thread_time() - began))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.Handle, "_run", spied)
            yield


def figures(took, probe):
    p95 = statistics.quantiles(took, n=20)[-1]
    return (
        f"p50 {statistics.median(took):.0f}, p95 {p95:.0f}, worst {max(took):.0f} ms; event loop "
        f"at most {probe.late:.0f} ms late, at most {probe.busy:.0f} ms of work in one go"
    )


async def other_chats(stage, app, count):
    """Return this many groups in which the bot speaks."""
    state = app.bot_data["state"]
    chats = [stage.telegram.chat(FRIENDS - 1 - n, title="Others") for n in range(count)]
    for chat in chats:
        known = state.group(chat.id)
        await state.save_group(type(known)(chat.id, authorised=True, allowed=frozenset({FRIENDS})))
    return chats


async def measured(stage, chats, user):
    """Return how long answers took in these chats, and the event loop's figures meanwhile."""
    probe = Probe()
    watching = asyncio.create_task(probe.watch())
    with probe.timed():
        took = await ordinary(stage, chats, user)
    watching.cancel()
    return took, probe
