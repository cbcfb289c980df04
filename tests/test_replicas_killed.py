"""SIGKILL at random moments of several processes that share a PostgreSQL server.

`KILLS=100 python -m pytest -m soak tests/test_replicas_killed.py -s` runs a shorter proof.
"""

import asyncio
import os
import random
import time
from contextlib import AsyncExitStack

import pytest

from tests.bot import postgres_server
from tests.kills import ADMIN, Lives, Talk, WatchedTelegram, killed_when_added
from tests.telegram_server import serve

pytestmark = pytest.mark.scale

PROCESSES = 3
FEW, MANY = 2, int(os.environ.get("KILLS", "300"))
COMMANDS = 6  # after each kill
LONGEST_LIFE = 3.0
ADDITIONS = 10  # of the bot to a group, each followed by a kill or a stop
MOST_UNCERTAIN = 0.01  # of the commands


class SharingLives(Lives):
    """One of the processes; they have one database on a server."""

    def __init__(self, *given, server, database, **settings):
        super().__init__(*given, **settings)
        self.server, self._database = server, database

    @property
    def database(self):
        return self._database

    def rows(self, query):
        return self.server.run(query, self._database.partition("@/")[2].partition("?")[0])


async def begin(lives):
    await lives.begin()
    while not lives.telegram.polled.is_set():  # noqa: ASYNC110  by whichever leads
        await asyncio.sleep(0.05)


async def kill_at_random(everyone, chance, kills, tell=lambda _: None):
    """Let people talk while processes are killed and started again; return the toll."""
    talk = Talk(everyone[0], chance)
    await talk.prepare()
    for lives in everyone:
        await begin(lives)
    for kill in range(kills):
        talk.due += COMMANDS
        await talk.go_on(talk.due)
        await asyncio.sleep(chance.random() * LONGEST_LIFE)
        victim = chance.choice(everyone)
        await victim.kill()
        await begin(victim)
        if kill % 20 == 19:
            tell(f"{kill + 1} kills, {len(talk.asked)} commands")
    await talk.until_handled(300)
    toll = talk.count()
    alive = (
        "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '2 s'"
    )
    await asyncio.sleep(2.5)  # until the heartbeats of those that were killed are older
    while everyone[0].rows(alive) != [(5 * PROCESSES,)]:  # noqa: ASYNC110  the last one has started
        await asyncio.sleep(0.1)
    for lives in everyone:
        status, _ = await lives.stop()
        assert status == 0, status
    return toll


async def killed(folder, kills, seed, tell=lambda _: None):
    telegram = WatchedTelegram(can_read_all=True)
    with postgres_server.running() as server:
        database = await server.make_migrated()
        async with serve(telegram) as url, AsyncExitStack() as stack:
            everyone = []
            for number in range(PROCESSES):
                own = folder / str(number)
                own.mkdir()
                lives = SharingLives(
                    telegram, url, own, server=server, database=database, PACE="0.1"
                )
                everyone.append(await stack.enter_async_context(lives.possible()))
            return await kill_at_random(everyone, random.Random(seed), kills, tell)


def assert_whole(toll):
    assert toll.lost == []
    assert toll.doubled == []
    assert toll.left_over == []
    assert toll.unknown == []
    assert toll.set_aside == 0
    assert toll.out_of_order == 0


async def test_kills_of_processes_lose_nothing_and_send_nothing_twice(tmp_path):
    assert_whole(await killed(tmp_path, FEW, seed=7))


@pytest.mark.soak
async def test_commands_at_the_moment_when_an_admin_adds_the_bot_keep_their_words(tmp_path):
    telegram = WatchedTelegram(can_read_all=True)
    with postgres_server.running() as server:
        given = {"server": server, "database": await server.make_migrated()}
        async with serve(telegram) as url:
            lives = SharingLives(telegram, url, tmp_path, **given, PACE="0", ADMINS=ADMIN)
            async with lives.possible():
                toll = await killed_when_added(lives, random.Random(11), ADDITIONS)

    assert toll.commands == ADDITIONS
    assert_whole(toll)


@pytest.mark.soak
async def test_many_kills_of_processes_lose_nothing_and_send_nothing_twice(tmp_path, capsys):
    def tell(line):
        with capsys.disabled():
            print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)  # noqa: T201  a measurement

    toll = await killed(tmp_path, MANY, seed=8, tell=tell)

    tell(f"{MANY} kills of {PROCESSES} processes, {toll}")
    assert_whole(toll)
    assert toll.uncertain < MOST_UNCERTAIN * toll.commands
