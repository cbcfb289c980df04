"""The bot in a group: from a command to its reply without generation, and during a flood."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import ROOT, Figure, measure, percentile, seconds
from benchmarks.store import fill_database
from bot.playground.objects import SimulatedChat, User
from bot.playground.telegram import TOKEN, Telegram
from model.artifacts.artifact import LearnedChat
from tests.bot.conftest import CARD, FRIENDS, PEOPLE, FakeSpeaker, Stage
from tests.telegram_server import serve

CHATS = tuple(FRIENDS - n for n in range(4))
"""The limit of 20 messages per minute in a group allows at most 15 commands in each."""
COMMANDS = 15 * len(CHATS)
STORED = 500_000
FLOOD, FLOOD_SECONDS = 2_000, 10


def run() -> list[Figure]:
    """Measure the delay of `/as` with a model that answers at once, and the start of the bot."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        full = fill_database(folder / "full.db", CHATS, STORED)
        return [
            measure(
                "command to reply without generation, p95", "ms",
                lambda: asyncio.run(talk(folder / "small", None, _ask)),
                wanted="≤ 30 ms", is_met=lambda value, _: value <= 30,
            ),
            measure(
                f"the same, {STORED:,} messages stored", "ms",
                lambda: asyncio.run(talk(folder / "large", full, _ask)),
                baseline=lambda: asyncio.run(talk(folder / "small", None, _ask)),
                baseline_name="an empty database",
                wanted="≤ 30 ms", is_met=lambda value, _: value <= 30,
            ),
            measure(
                f"the same, while one member sends {FLOOD:,} messages in {FLOOD_SECONDS} s", "ms",
                lambda: asyncio.run(talk(folder / "flood", None, _ask_in_flood)),
                wanted="≤ 300 ms", is_met=lambda value, _: value <= 300,
            ),
            *_measure_start(),
        ]  # fmt: skip


async def talk(
    folder: Path,
    database: Path | None,
    ask: Callable[..., Awaitable[float]],
    chats: Sequence[int] = CHATS,
) -> float:
    """Run the bot in groups, and return what `ask` measures there."""
    await asyncio.to_thread(_make_folder, folder, database)
    telegram = Telegram(can_read_all=True)
    async with serve(telegram) as url:
        card = replace(CARD, chats=tuple(LearnedChat(chat_id, "Friends") for chat_id in chats))
        stage = Stage(telegram, url, FakeSpeaker(), folder, card)
        async with stage.running(log_level="ERROR"):
            groups = [telegram.chat(chat_id, title="Friends") for chat_id in chats]
            users = [telegram.user(person.ids[0], person.name) for person in PEOPLE[:3]]
            for group in groups:
                await telegram.say(group, users[0], "hello")
                await stage.answer(group, users[1], "/as João")
            return await ask(stage, groups, users)


def _make_folder(folder: Path, database: Path | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if database:
        shutil.copy(database, folder / "bot.db")


async def _ask(
    stage: Stage, groups: list[SimulatedChat], users: list[User], pause: float = 0.05
) -> float:
    """Return the 95th percentile of the milliseconds from a command to its reply."""
    times = []
    for number in range(COMMANDS):
        group = groups[number % len(groups)]
        await stage.telegram.say(group, users[number % 2], f"what about number {number}?")
        await asyncio.sleep(pause)
        started = time.perf_counter()
        await stage.answer(group, users[1 + number % 2], "/as João")
        times.append(1_000 * (time.perf_counter() - started))
    return percentile(times)


async def _ask_in_flood(stage: Stage, groups: list[SimulatedChat], users: list[User]) -> float:
    async def flood() -> None:
        started = time.perf_counter()
        for number in range(FLOOD):
            await stage.telegram.say(groups[0], users[0], f"spam {number}")
            due = started + (number + 1) * FLOOD_SECONDS / FLOOD
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    sender = asyncio.create_task(flood())
    try:
        return await _ask(stage, groups, users[1:] * 2, pause=0.1)
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


def _measure_start() -> list[Figure]:
    """Measure the start with the model in artifacts/, if there is one."""
    if not (ROOT / "artifacts/current").exists():
        return []

    def start() -> float:
        started = time.perf_counter()
        asyncio.run(_start_and_stop())
        return _started_at[0] - started

    def import_torch() -> float:
        command = [sys.executable, "-c", "import torch, transformers"]
        return seconds(lambda: subprocess.run(command, check=True))

    return [
        measure(
            "the bot from exec to polling, SmolLM2-135M in int8 loaded", "s", start,
            baseline=import_torch, baseline_name="importing torch and transformers",
            wanted="< 1.5 s", is_met=lambda value, _: value < 1.5,
        )
    ]  # fmt: skip


_started_at = [0.0]


async def _start_and_stop() -> None:
    telegram = Telegram(can_read_all=True)
    async with serve(telegram) as url:
        with tempfile.TemporaryDirectory() as folder:
            settings = {
                "BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": url, "MODELS_DIR": str(ROOT / "artifacts"),
                "ADMINS": "1", "PYTHONPATH": str(ROOT),
            }  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot", "run", cwd=folder, env={**os.environ, **settings}
            )
            await telegram.wait_for("setMyCommands", timeout=60)
            _started_at[0] = time.perf_counter()
            process.terminate()
            await process.wait()
