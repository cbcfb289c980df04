"""Measure what a thousand groups cost: processor time, messages per second and delays.

`python -m benchmarks.scale` first measures how many messages the processes store in a second, and
the processor time for each. Then it plays a day of 1,000 groups in some minutes: sizes and hours of
the day vary as in real groups, and one message in 50 is an `/as`. The model is a fake that answers
within 30 ms, so that everything but the model is measured; docs/large-deployments.md has the
results.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import psutil
from tornado.httpclient import AsyncHTTPClient

from bot.store.database import open_database, prepare_database
from bot.store.groups import Group, Groups
from tests.bot import postgres_server
from tests.habits import IDS
from tests.kill_bot import GROUP
from tests.kills import PART
from tests.simulated_telegram import FaultyTelegram
from tests.telegram_server import serve

ROOT = Path(__file__).resolve().parents[1]
SECRET = "a-secret"  # noqa: S105
CLIENTS = 16  # requests that Telegram has open at once
COMMANDS = 0.02  # of the messages
MESSAGES_PER_DAY = 40  # of a group, on average
HOURS = (2, 1, 1, 1, 1, 2, 3, 5, 6, 6, 7, 7, 8, 8, 7, 7, 7, 8, 9, 10, 11, 10, 7, 4)
"""How active a group is in each hour of the day, relatively."""
WORDS = ("so", "then", "we", "went", "to", "the", "station", "and", "it", "was", "closed", "again")


class TimedTelegram(FaultyTelegram):
    """A Telegram that remembers when the first message of each reply arrived."""

    def __init__(self, **given):
        super().__init__(**given)
        self.arrived = {}

    async def record(self, call):
        found = PART.search(str(call.params.get("text", "")))
        if call.method == "sendMessage" and found and call.error is None:
            self.arrived.setdefault(found[1], time.monotonic())
        await super().record(call)


@dataclass(slots=True)
class Traffic:
    """Sends the updates of many groups to the bots' webhooks, as a load balancer does."""

    telegram: TimedTelegram
    ports: list
    chance: random.Random
    count: int = 0
    posted: dict = None

    async def post(self, chat, text):
        self.count += 1
        name = self.chance.choice(list(IDS))
        message = {
            "message_id": self.count, "date": int(time.time()), "text": text,
            "chat": {"id": chat, "type": "supergroup", "title": f"Group {chat}"},
            "from": {"id": IDS[name], "is_bot": False, "first_name": name},
        }  # fmt: skip
        if text.startswith("/"):
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": 3}]
        body = json.dumps({"update_id": self.count, "message": message})
        url = f"http://127.0.0.1:{self.chance.choice(self.ports)}/telegram"
        headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        await AsyncHTTPClient().fetch(
            url, method="POST", body=body, headers=headers, request_timeout=120
        )

    async def say(self, chat):
        """Post a message, or a command with a tag, and remember when."""
        if self.chance.random() < COMMANDS:
            tag = f"tag{self.count + 1}"
            self.posted[tag] = time.monotonic()
            await self.post(chat, f"/as Hugo: {tag}")
        else:
            await self.post(chat, " ".join(self.chance.choices(WORDS, k=8)))


@dataclass(slots=True)
class Costs:
    """Processor seconds of the bot's processes and of the server."""

    bots: float
    server: float


class Cluster:
    """The running processes, the server and the traffic."""

    def __init__(self, traffic, server, url, processes, pids):
        self.traffic, self.server, self.url = traffic, server, url
        self.processes = [psutil.Process(one) for one in pids]
        self.count = processes

    def costs(self):
        main = psutil.Process(
            int((self.server.folder / "data/postmaster.pid").read_text().split()[0])
        )
        every = [main, *main.children()]
        return Costs(sum(map(_seconds, self.processes)), sum(map(_seconds, every)))

    def ask(self, query):
        return self.server.run(query, self.url.partition("@/")[2].partition("?")[0])

    async def until_handled(self):
        waiting = "SELECT count(*) FROM inbox WHERE state = 'waiting'"
        while self.ask(waiting)[0][0]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def size(self):
        return self.ask("SELECT pg_database_size(current_database())")[0][0]


def _seconds(process):
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


@asynccontextmanager
async def running(processes, groups, seed, fsync="on"):
    """Run bot processes, with groups that they may speak in."""
    telegram = TimedTelegram(can_read_all=True)
    ports = [20_000 + os.getpid() % 10_000 + number for number in range(processes)]
    with postgres_server.running(fsync=fsync) as server, tempfile.TemporaryDirectory() as temporary:
        url = server.make()
        await prepare_database(url)
        async with open_database(url) as database:
            for number in range(groups):
                chat = telegram.chat(GROUP - 1 - number, title=f"Group {number}")
                await Groups(database).save(
                    Group(chat.id, chat.title, authorised=True, allowed=frozenset({GROUP}))
                )
        async with serve(telegram) as api, AsyncExitStack() as stack:
            started = [
                await stack.enter_async_context(_bot(url, api, ports, n, telegram, Path(temporary)))
                for n in range(processes)
            ]
            await asyncio.gather(*map(_until_ready, ports))
            traffic = Traffic(telegram, ports, random.Random(seed), posted={})
            yield Cluster(traffic, server, url, processes, [one.pid for one in started])


@asynccontextmanager
async def _bot(database, api, ports, number, telegram, folder):
    own = folder / str(number)
    own.mkdir()
    settings = {
        "BOT_TOKEN": telegram.token, "TELEGRAM_API_URL": api, "DATABASE_URL": database,
        "WEBHOOK_URL": f"http://127.0.0.1:{ports[0]}/telegram",
        "WEBHOOK_LISTEN": f"127.0.0.1:{ports[number]}", "WEBHOOK_SECRET": SECRET, "PACE": "0",
        "LOG_LEVEL": "WARNING", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from tests.kill_bot import live; live()",
        cwd=own, env={**os.environ, **settings},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


async def _until_ready(port):
    while True:
        try:
            await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/health")
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return


async def measure_capacity(processes, groups, messages, fsync):
    """Print how many messages are stored in a second if they come as fast as possible."""
    async with running(processes, groups, seed=1, fsync=fsync) as cluster:
        chats = [GROUP - 1 - number for number in range(groups)]
        before, size, began = cluster.costs(), cluster.size(), time.monotonic()
        left = iter(range(messages))

        async def send():
            for _ in left:
                await cluster.traffic.post(cluster.traffic.chance.choice(chats), " ".join(WORDS))

        await asyncio.gather(*(send() for _ in range(CLIENTS)))
        await cluster.until_handled()
        seconds, after = time.monotonic() - began, cluster.costs()
        print(  # noqa: T201
            f"{processes} processes, fsync {fsync}, {messages:,} messages of {groups:,} groups: "
            f"{messages / seconds:.0f} messages/s; for each {_each(before, after, messages)}, "
            f"{(cluster.size() - size) / messages:.0f} bytes",
            flush=True,
        )


def _each(before, after, messages):
    bots = 1000 * (after.bots - before.bots) / messages
    server = 1000 * (after.server - before.server) / messages
    return f"{bots:.1f} ms of the bots' processor time and {server:.1f} ms of the server's"


def draw_day(groups, chance):
    """Return the seconds of a day at which messages are sent, and by which group, in order."""
    sizes = [chance.lognormvariate(0, 1.2) for _ in range(groups)]
    scale = groups * MESSAGES_PER_DAY / sum(sizes)
    day = []
    for number, size in enumerate(sizes):
        for _ in range(round(size * scale)):
            [hour] = chance.choices(range(24), HOURS)
            day.append((3600 * (hour + chance.random()), number))
    return sorted(day)


async def play_day(processes, groups, minutes):
    """Play a day of messages in some minutes, and print the delays."""
    chance = random.Random(2)
    day, faster = draw_day(groups, chance), 24 * 60 / minutes
    async with running(processes, groups, seed=3) as cluster:
        traffic, tasks = cluster.traffic, set()
        before, size, began = cluster.costs(), cluster.size(), time.monotonic()
        slots = asyncio.Semaphore(4 * CLIENTS)
        late = 0.0

        async def say(number):
            async with slots:
                await traffic.say(GROUP - 1 - number)

        for at, number in day:
            due = began + at / faster
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            late = max(late, time.monotonic() - due)
            task = asyncio.create_task(say(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        await cluster.until_handled()
        seconds, after = time.monotonic() - began, cluster.costs()
        delays = sorted(_delays(traffic))
        stored = cluster.ask("SELECT count(*) FROM messages WHERE NOT is_from_bot")[0][0]
        peak = len(day) / 86_400 * faster * max(HOURS) / (sum(HOURS) / 24)
        print(  # noqa: T201
            f"a day of {groups:,} groups in {seconds / 60:.1f} min, {processes} processes: "
            f"{len(day):,} messages ({len(day) / seconds:.0f}/s, "
            f"{peak:.0f}/s in the busiest hour), "
            f"{stored:,} stored, {len(traffic.posted):,} commands, {len(delays):,} answered, "
            f"p50 {1000 * delays[len(delays) // 2]:.0f} ms, "
            f"p95 {1000 * quantiles(delays, n=20)[-1]:.0f} ms, "
            f"largest lag of the traffic {late:.1f} s; for each message "
            f"{_each(before, after, len(day))}, {(cluster.size() - size) / len(day):.0f} bytes",
            flush=True,
        )


def _delays(traffic):
    """Return the seconds between each command and the first message of its reply."""
    arrived = traffic.telegram.arrived
    return [arrived[tag] - at for tag, at in traffic.posted.items() if tag in arrived]


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    for processes, fsync in ((1, "off"), (1, "on"), (2, "on")):
        await measure_capacity(processes, given.groups, given.messages, fsync)
    if given.minutes:
        await play_day(2, given.groups, given.minutes)


if __name__ == "__main__":
    asyncio.run(main())
