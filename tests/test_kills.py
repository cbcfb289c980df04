"""SIGKILL at random moments, crashes and SIGTERM, of the real process with a fake model.

`KILLS=100 python -m pytest -m soak tests/test_kills.py -s` runs a shorter proof.
"""

import asyncio
import os
import random
import time

import pytest

from bot.store.inbox import MAX_CRASHES
from tests.kill_bot import POISON
from tests.kills import ADMIN, Talk, killed, killed_when_added, lives_in

PACE = "0.1"  # so that a kill often comes in the pause inside a burst
FEW, MANY = 12, int(os.environ.get("KILLS", "1000"))
LONGEST_STOP = 15
"""Seconds; a stop takes 6 on an idle machine, mostly the grace period and the last poll."""
MOST_UNCERTAIN = 0.07
"""Of the commands: Telegram's answers are 30 ms late, so a kill often comes before one.

Measured: 4.9 %.
"""


def assert_whole(toll):
    assert toll.lost == []
    assert toll.doubled == []
    assert toll.out_of_order == 0
    assert toll.left_over == []
    assert toll.unknown == []
    assert toll.set_aside == 0


@pytest.mark.scale
async def test_a_few_kills_lose_nothing_and_send_nothing_twice(tmp_path):
    async with lives_in(tmp_path, PACE=PACE) as lives:
        assert_whole(await killed(lives, random.Random(7), FEW))


@pytest.mark.soak
async def test_a_thousand_kills_lose_nothing_and_send_nothing_twice(tmp_path, capsys):
    def tell(line):
        with capsys.disabled():
            print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)  # noqa: T201  a measurement

    async with lives_in(tmp_path, PACE=PACE) as lives:
        toll = await killed(lives, random.Random(8), MANY, tell)

    tell(f"{MANY} kills, {toll}")
    assert_whole(toll)
    assert toll.uncertain < MOST_UNCERTAIN * toll.commands


async def test_a_stop_is_quick_and_waiting_messages_are_sent_after_the_restart(tmp_path):
    async with lives_in(tmp_path, PACE="0.5") as lives:
        talk = Talk(lives, random.Random(9), groups=10)
        await talk.prepare()
        await lives.begin()
        await lives.up()
        lives.telegram.delay_next(
            "sendMessage", 60
        )  # the message arrives, but the answer is delayed
        for _ in range(3):  # replies that wait for the model, the rate limiter and pauses
            for chat in talk.groups:
                await talk.ask_for_burst(chat)
        await lives.telegram.wait_for("sendMessage", timeout=60)
        lives.telegram.delay_next("getUpdates", 60)  # the last poll, which acknowledges updates
        status, seconds = await lives.stop()
        waited = len(talk.open())
        await lives.begin()
        await lives.up()
        await talk.until_handled()
        toll = talk.count()

    assert status == 0
    assert seconds < LONGEST_STOP
    assert waited > 1
    assert_whole(toll)
    assert toll.uncertain <= 1


@pytest.mark.parametrize("times", [2, pytest.param(40, marks=pytest.mark.soak)])
async def test_commands_at_the_moment_when_an_admin_adds_the_bot_keep_their_words(tmp_path, times):
    async with lives_in(tmp_path, PACE="0", ADMINS=ADMIN) as lives:
        toll = await killed_when_added(lives, random.Random(11), times)

    assert toll.commands == times
    assert_whole(toll)


async def test_only_the_update_that_crashes_the_bot_is_set_aside(tmp_path):
    async with lives_in(tmp_path, PACE="0") as lives:
        talk = Talk(lives, random.Random(10), groups=6)
        await talk.prepare()
        for chat in talk.groups:
            await talk.ask_for_burst(chat)
        poisoned = await lives.telegram.say(talk.groups[0], talk.people[0], f"/as Hugo: {POISON}")
        crashes = 0
        while not lives.rows("SELECT 1 FROM inbox WHERE state = 'set aside'"):
            await lives.begin()
            while lives.is_alive and not talk.is_idle():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            crashes += not lives.is_alive
        toll = talk.count()
        aside = lives.rows("SELECT body FROM inbox WHERE state = 'set aside'")

    assert (
        crashes <= MAX_CRASHES + 2
    )  # the first, and one that comes in a pause between log entries
    assert [poisoned["text"] in body for (body,) in aside] == [True]
    assert_whole(toll)
