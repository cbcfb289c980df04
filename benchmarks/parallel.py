"""Replies that 32 groups ask for at once: one for each core, and one after another."""

import asyncio
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.figures import ROOT, Figure, measure, percentile
from benchmarks.store import ROSTER, fill_database
from bot.services.model_holder import CurrentModel, SpeakerCache
from bot.services.replies import Replies, ReplyRequest
from bot.store.database import open_database
from bot.store.messages import MessageStore, Place
from model.artifacts.registry import Registry
from model.speaking.engine import share_heap
from model.speaking.speaker import open_speaker
from pipeline.training.machine import describe_machine

GROUPS = tuple(-1000 - n for n in range(32))
MESSAGES = 100  # in each group


def run() -> list[Figure]:
    """Ask the model in artifacts/, if there is one; measured once, in about five minutes."""
    if not (ROOT / "artifacts/current").exists():
        return []
    share_heap()  # as the bot does
    cores = describe_machine().cores
    with tempfile.TemporaryDirectory() as temporary:
        file = fill_database(Path(temporary) / "groups.db", GROUPS, MESSAGES * len(GROUPS))
        times = asyncio.run(_ask_groups(file, cores))
        alone = asyncio.run(_ask_groups(file, 1))
    return [
        measure(
            f"replies to {len(GROUPS)} groups at once, SmolLM2-135M, one per core", "replies/s",
            lambda: len(GROUPS) / max(times), baseline=lambda: len(GROUPS) / max(alone),
            baseline_name="one after another", is_rate=True,
            wanted="≥ 3×", is_met=lambda _, ratio: ratio >= 3, runs=1,
        ),
        measure(
            "time until a group gets its reply, p95", "s", lambda: percentile(times),
            baseline=lambda: percentile(alone), baseline_name="one after another", runs=1,
        ),
    ]  # fmt: skip


async def _ask_groups(file: Path, parallel: int) -> list[float]:
    """Return the seconds until each group has its reply; all ask at the same time."""
    artifact = Registry(ROOT / "artifacts").open()
    model = CurrentModel(artifact, ROSTER)
    speakers = SpeakerCache(partial(open_speaker, workers=parallel), 1)
    speakers.get(artifact)
    [voice, *_] = artifact.card.learned
    started = time.perf_counter()

    async def ask(group: int) -> float:
        await replies.generate(ReplyRequest(Place(group), voice, datetime.now(UTC)))
        return time.perf_counter() - started

    async with open_database(f"sqlite+aiosqlite:///{file}") as database:
        replies = Replies(lambda _: model, speakers, MessageStore(database), parallel, 600, 600)
        try:
            return await asyncio.gather(*map(ask, GROUPS))
        finally:
            replies.close()
