"""How fast the bot is beside its model, measured by `make soak`."""

import asyncio
import os
import sqlite3
import statistics
import time
from contextlib import closing
from functools import partial

import pytest

from bot.store import Store
from bot.store.database import open_database, prepare_database
from bot.store.messages import Place
from tests.bot.conftest import FRIENDS
from tests.bot.database_files import find_words
from tests.bot.response_times import figures, measured, other_chats

COMMANDS = 100
UPDATES = 2000
KEPT = int(os.environ.get("KEPT", "500000"))

pytestmark = pytest.mark.soak


async def test_the_time_from_a_command_to_its_answer_without_the_model(stage, zoe, capsys):
    groups = [stage.telegram.chat(-1001234 - n, title="Friends") for n in range(10)]
    allowed = frozenset({-1001234})
    took, busy = [], time.process_time()
    async with stage.running() as app:
        state = app.bot_data["state"]
        for chat in groups:
            group = state.group(chat.id)
            await state.save_group(type(group)(chat.id, authorised=True, allowed=allowed))
        for number in range(COMMANDS):
            began = time.perf_counter()
            await stage.answer(groups[number % len(groups)], zoe, "/as João")
            took.append(1000 * (time.perf_counter() - began))

    median, late = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    busy = 1000 * (time.process_time() - busy) / COMMANDS
    with capsys.disabled():
        print(  # noqa: T201  a measurement
            f"\n{COMMANDS} commands: p50 {median:.1f} ms, p95 {late:.1f} ms; "
            f"{busy:.1f} ms of the processor each, the loopback Telegram's included"
        )
    assert median < 1000


async def test_how_many_updates_are_stored_in_a_second(stage, group, zoe, capsys):
    async with stage.running() as app:
        began, busy = time.perf_counter(), time.process_time()
        for number in range(UPDATES):
            await stage.telegram.say(group, zoe, f"message {number}")
        await stage.wait_until_handled(seconds=300)
        took = time.perf_counter() - began
        busy = 1000 * (time.process_time() - busy) / UPDATES
        store = app.bot_data["state"].store.messages
        kept = await store.find_newest(Place(group.id), UPDATES, lambda _: True)

    with capsys.disabled():
        print(  # noqa: T201  a measurement
            f"\n{UPDATES} updates: {UPDATES / took:.0f} a second; {busy:.1f} ms of the processor "
            "each, the loopback Telegram's included"
        )
    assert [message.text for message in kept] == [f"message {n}" for n in range(UPDATES)]


def remember(path, count):
    """Store this many messages of a friend, and a few of others among them."""
    row = "INSERT INTO messages VALUES (?, ?, NULL, ?, 'João', ?, '2026-01-01', NULL, 0, 0, NULL)"
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            row,
            (
                (FRIENDS, number, 13 if number % 100 else 11, f"treasure {number} " * 5)
                for number in range(10_000, 10_000 + count)
            ),
        )


@pytest.mark.parametrize(
    ("command", "written"), [("/help", 0), ("/forget all", 0), ("/forget all", 50), ("/optout", 0)]
)
async def test_erasures_by_many_delay_others_little(tuned, stage, zoe, capsys, command, written):
    """Ten people send a command twelve times each, in private; `/help` is the comparison."""
    await prepare_database(stage.settings().database_url)
    remember(stage.folder / "bot.db", min(KEPT, 100_000))
    people = [stage.telegram.user(5000 + n, "Rui") for n in range(10)]
    async with stage.running() as app:
        chats = await other_chats(stage, app, 8)
        for user in people:
            for number in range(written):
                await stage.telegram.say(chats[0], user, f"treasure {number}")
        alone = await measured(stage, chats[:4], zoe)
        await stage.wait_until_handled(seconds=300)
        began = time.perf_counter()
        privates = [stage.telegram.private(user) for user in people]
        for _ in range(12):
            for private, user in zip(privates, people, strict=True):
                await stage.telegram.say(private, user, command)
        beside = await measured(stage, chats[4:], zoe)
        await stage.wait_until_handled(seconds=300)
        took = time.perf_counter() - began

    with capsys.disabled():
        print(f"\nfour chats alone: {figures(*alone)}")  # noqa: T201  a measurement
        print(f"beside 120 times {command}: {figures(*beside)}")  # noqa: T201  likewise
        print(f"which took {took:.1f} s")  # noqa: T201  likewise


async def test_a_large_erasure_delays_others_little(tuned, stage, group, joao, zoe, capsys):
    await prepare_database(stage.settings().database_url)
    remember(stage.folder / "bot.db", KEPT)
    async with stage.running() as app:
        chats = await other_chats(stage, app, 16)
        await measured(stage, chats[:4], zoe)  # warm-up
        alone = await measured(stage, chats[4:8], zoe)
        said = await stage.telegram.say(group, joao, "the oak")

        since = len(stage.telegram.calls)
        await stage.telegram.say(group, joao, "/forget", reply_to=said)
        one = await measured(stage, chats[8:12], zoe)
        at = {"chat_id": group.id, "since": since}
        await stage.telegram.wait_for("sendMessage", timeout=600, **at)

        began, since = time.perf_counter(), len(stage.telegram.calls)
        await stage.telegram.say(group, joao, "/forget all")
        at = {"chat_id": group.id, "since": since}
        answer = asyncio.create_task(stage.telegram.wait_for("sendMessage", timeout=1200, **at))
        everything = await measured(stage, chats[12:], zoe)
        await answer
        took = time.perf_counter() - began

    assert not [word for word, _ in find_words(stage.folder, "the oak")]
    with capsys.disabled():
        print(f"\nfour chats alone: {figures(*alone)}")  # noqa: T201  a measurement
        print(f"beside /forget of one of {KEPT} messages: {figures(*one)}")  # noqa: T201  likewise
        print(f"beside /forget all of them: {figures(*everything)}")  # noqa: T201  likewise
        print(f"which took {took:.0f} s")  # noqa: T201  likewise
    assert everything[1].busy < alone[1].busy + 100


async def test_a_vacuum_delays_only_writes(tmp_path, capsys):
    """Other chats write and read without pause while SQLite rewrites the file."""
    url = f"sqlite+aiosqlite:///{tmp_path}/bot.db"
    await prepare_database(url)
    remember(tmp_path / "bot.db", KEPT)
    async with open_database(url) as database:
        store = Store.of(database)
        times = {"writes": list[float](), "reads": list[float]()}

        async def repeat(name, work):
            while not vacuuming.done():
                began = time.perf_counter()
                await work()
                times[name].append(1000 * (time.perf_counter() - began))

        began = time.perf_counter()
        vacuuming = asyncio.create_task(store.vacuum.run())
        reading = partial(store.messages.find_newest, Place(FRIENDS), 10, lambda _: True)
        await asyncio.gather(
            *(repeat("writes", partial(store.inbox.store, [{"update_id": n}])) for n in range(8)),
            repeat("reads", reading),
            vacuuming,
        )
        took = time.perf_counter() - began
        stored = (await store.inbox.count_open()).waiting

    with capsys.disabled():
        print(f"\nVACUUM of {KEPT} messages: {took:.2f} s")  # noqa: T201  a measurement
        for name, values in times.items():
            p95 = sorted(values)[int(0.95 * len(values))]
            text = f"{len(values)} {name} meanwhile: p95 {p95:.0f} ms, worst {max(values):.0f} ms"
            print(text)  # noqa: T201  likewise
    assert stored == 8
