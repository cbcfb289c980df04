"""The time to load the context of a reply from databases of three sizes."""

import asyncio
import shutil
import sqlite3
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.figures import Figure, measure, percentile
from bot.services.replies import ReplyRequest, load_lines
from bot.store.database import open_database, upgrade_database
from bot.store.messages import MessageStore, Place
from model.chat.conversation import Window
from model.chat.person import Person
from model.chat.roster import Roster

SIZES = (100_000, 1_000_000, 10_000_000)
CHAT_IDS = tuple(-1000 - number for number in range(8))
PEOPLE = 6
LOADS = 200
START = datetime(2020, 1, 1, tzinfo=UTC)
ROSTER = Roster(tuple(Person(f"Friend{n}", (10 + n,), imitate="yes") for n in range(PEOPLE)))
FREE_BYTES = 4 << 30


def run() -> list[Figure]:
    """Load contexts at the end and in the middle of the history; p95 in milliseconds."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        smallest = fill_database(folder / "0.db", CHAT_IDS, SIZES[0])
        for size in SIZES:
            if size > SIZES[0] and shutil.disk_usage(folder).free < FREE_BYTES:
                break
            is_smallest = size == SIZES[0]
            file = smallest if is_smallest else fill_database(folder / "1.db", CHAT_IDS, size)
            found.append(
                measure(
                    f"context from {size:,} messages, p95", "ms",
                    lambda file=file: load_contexts(file),
                    baseline=None if is_smallest else lambda: load_contexts(smallest),
                    baseline_name="" if is_smallest else f"{SIZES[0]:,} messages",
                    wanted="< 2 ms", is_met=lambda value, _: value < 2,
                )
            )  # fmt: skip
            if file != smallest:
                file.unlink()
    return found


def fill_database(file: Path, chats: tuple[int, ...], count: int) -> Path:
    """Write a migrated database with `count` messages, spread over chats; return its path."""
    asyncio.run(upgrade_database(f"sqlite+aiosqlite:///{file}"))
    words = "what about friday then, shall we meet at the usual place or not"
    rows = (
        (
            chats[n % len(chats)], n // len(chats) + 1, 10 + n % PEOPLE, f"{words} {n}",
            str((START + timedelta(seconds=20 * n)).replace(tzinfo=None)), False, False,
        )
        for n in range(count)
    )  # fmt: skip
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executemany(
            "INSERT INTO messages (chat_id, message_id, author_id, text, sent_at, is_forward, "
            "is_from_bot) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    connection.close()
    return file


def load_contexts(file: Path) -> float:
    """Return the 95th percentile of the milliseconds to load a context."""

    async def load() -> list[float]:
        times = []
        async with open_database(f"sqlite+aiosqlite:///{file}") as database:
            store, window = MessageStore(database), Window()
            for number in range(LOADS):
                place = Place(CHAT_IDS[number % len(CHAT_IDS)])
                started = time.perf_counter()
                await load_lines(store, ReplyRequest(place, "", datetime.now(UTC)), ROSTER, window)
                times.append(1_000 * (time.perf_counter() - started))
        return times

    return percentile(asyncio.run(load()))
