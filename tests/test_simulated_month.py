"""A simulated month of ten groups with the real process: nothing lost, no memory that grows."""

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from bot.playground.telegram import Telegram
from bot.store.database import open_database, prepare_database
from bot.store.groups import Group, Groups
from tests.habits import HABITS
from tests.live_group import GROUP, Calendar, Friends
from tests.telegram_server import serve

GROUPS, DAYS = 10, 30
MESSAGES_A_DAY = 20
WARM = 5  # days after which memory must not grow
MOST_GROWTH = 0.05
DAY = 86400


@pytest.mark.soak
@pytest.mark.parametrize("trained", ["encoder-decoder"], indirect=True)
async def test_a_month_of_ten_groups(trained, tmp_path, capsys):
    calendar, chance = Calendar(time.time() - DAYS * DAY), random.Random(1)
    telegram = Telegram(can_read_all=True, clock=calendar)
    async with serve(telegram) as url:
        friends = Friends(telegram, url, trained, tmp_path)
        groups = await let_in(friends)
        friends.start()
        memory, said, asked = [], [], []
        try:
            for _ in range(DAYS):
                for chat in groups:
                    said += await a_day(friends, chat, calendar, chance)
                    asked.append(await telegram.say(chat, friends.people["Ana"], "/as Hugo"))
                calendar.now += DAY / 2
                await answered(friends, len(asked))
                memory.append(resident(friends.process.pid))
            assert await friends.stop() == 0
        finally:
            if friends.process.poll() is None:
                friends.process.kill()
            friends.process.wait()

    lost, doubled = toll(friends, said + asked, asked)
    growth = max(memory[WARM:]) / memory[WARM] - 1
    with capsys.disabled():
        print(  # noqa: T201  a measurement
            f"\n{DAYS} days, {GROUPS} groups, {len(said)} messages, {len(asked)} commands: "
            f"{lost} lost, {doubled} doubled; memory {memory[WARM] / 1024:.0f} MB, "
            f"growth {growth:.1%}"
        )
    assert (lost, doubled) == (0, 0)
    assert growth < MOST_GROWTH


async def let_in(friends):
    await prepare_database(friends.database)
    numbers = [GROUP - 1 - number for number in range(GROUPS)]
    async with open_database(friends.database) as engine:
        for number in numbers:
            group = Group(number, "Group", authorised=True, allowed=frozenset({GROUP}))
            await Groups(engine).save(group)
    return [friends.telegram.chat(number, title="Group") for number in numbers]


async def a_day(friends, chat, calendar, chance):
    said = []
    for _ in range(MESSAGES_A_DAY):
        calendar.now += DAY / 2 / MESSAGES_A_DAY / GROUPS
        name = chance.choice(list(HABITS))
        text = f"shall we go? {HABITS[name]}"
        said.append(await friends.telegram.say(chat, friends.people[name], text))
    return said


async def answered(friends, count):
    """Wait until all commands so far have their reply."""
    async with asyncio.timeout(120):
        while friends.telegram.updates.pending or sent(friends) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def sent(friends):
    return rows(friends, "SELECT count(*) FROM replies WHERE state = 'sent'")[0][0]


def toll(friends, said, asked):
    """Return how many messages are missing, and how many messages arrived that nobody noted."""
    kept = set(rows(friends, "SELECT chat_id, message_id FROM messages"))
    lost = len({(one["chat"]["id"], one["message_id"]) for one in said} - kept)
    lines = rows(friends, "SELECT count(*) FROM lines")[0][0]
    replies = rows(friends, "SELECT count(*) FROM replies")[0][0]
    return lost, len(friends.telegram.sent("sendMessage")) - lines + replies - len(asked)


def rows(friends, query):
    try:
        with closing(sqlite3.connect(friends.folder / "bot.db")) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # it is being written
        return [(0,)]


def resident(process):
    """Return a process's resident memory in kB."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
