"""Time and memory against size: messages, voices and groups. Prints tables.

python -m benchmarks.growth      about ten minutes; voices need a model in artifacts/
"""
# ruff: noqa: T201 - a program that prints

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import group, store
from benchmarks.big_export import write_big_export
from benchmarks.figures import ROOT, ChildProcesses, seconds
from bot.playground.objects import SimulatedChat, User
from model.artifacts.registry import Registry
from model.chat.person import Person
from model.chat.voice_names import VoiceMatcher
from model.speaking.engine import share_heap
from model.speaking.speaker import open_speaker
from tests.bot.conftest import Stage

MESSAGES = (10_000, 100_000, 1_000_000)
VOICES = (1, 10, 100)
GROUPS = (1, 4, 16, 64)
RUNS = 5
_CONTEXT_LINES = 10


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure at each size of one axis."""

    name: str
    unit: str
    sizes: Sequence[int]
    values: list[float] = field(default_factory=list)

    def row(self) -> str:
        """Return a row of a Markdown table."""
        cells = " | ".join(f"{value:.3g}" for value in self.values)
        return f"| {self.name}, {self.unit} | {cells} |"


def main() -> None:
    """Measure all curves, and print a table for each axis."""
    axes = {
        "messages": measure_messages(),
        "voices": measure_voices(),
        "groups that ask at once": measure_groups(),
    }
    for axis, curves in axes.items():
        if curves:
            sizes = curves[0].sizes
            print(f"\n| {axis} | {' | '.join(f'{size:,}' for size in sizes)} |")
            print("|---" * (len(sizes) + 1) + "|")
            print("\n".join(curve.row() for curve in curves))


def measure_messages() -> list[Curve]:
    """Build a dataset from exports, and load contexts from databases, of three sizes."""
    build = Curve("inspect and build", "s", MESSAGES)
    memory = Curve("its peak memory", "MiB", MESSAGES)
    context = Curve("context of a reply, p95", "ms", MESSAGES)
    database = Curve("database", "MiB", MESSAGES)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for size in MESSAGES:
            export = write_big_export(folder / f"{size}/result.json", size)
            runs = ChildProcesses("benchmarks.exports", "ours", export, export.parent)
            build.values.append(runs.ask("seconds")())
            memory.values.append(runs.ask("memory")())
            export.unlink()
            file = store.fill_database(folder / f"{size}.db", store.CHAT_IDS, size)
            context.values.append(_median(lambda file=file: store.load_contexts(file)))
            database.values.append(file.stat().st_size / 2**20)
            file.unlink()
    return [build, memory, context, database]


def measure_voices() -> list[Curve]:
    """Choose who speaks next among voices, and find the voice that a command names."""
    if not (ROOT / "artifacts/current").exists():
        print("artifacts/ has no current version: voices are left out", file=sys.stderr)
        return []
    share_heap()
    artifact = Registry(ROOT / "artifacts").open()
    speaker = open_speaker(artifact, seed=0)
    choice = Curve("choosing who speaks next", "ms", VOICES)
    matching = Curve("finding a name", "ms", VOICES)
    for count in VOICES:
        names = [f"Friend{number}" for number in range(count)]
        context = [f"{names[n % count]}: what about day {n}?" for n in range(_CONTEXT_LINES)]
        choice.values.append(
            _median(lambda n=names, c=context: _milliseconds(lambda: speaker.choose_voice(c, n)))
        )
        people = VoiceMatcher(Person(name, (10 + n,)) for n, name in enumerate(names))
        text = f"{names[-1]} what about friday?"
        matching.values.append(_median(lambda p=people, t=text: _milliseconds(lambda: p.match(t))))
    return [choice, matching]


def measure_groups() -> list[Curve]:
    """Let several groups send a command at the same time; replies need no generation."""
    last = Curve("all have their replies", "ms", GROUPS)
    with tempfile.TemporaryDirectory() as temporary:
        for count in GROUPS:
            chats = tuple(-1000 - number for number in range(count))
            last.values.append(
                _median(
                    lambda c=chats: asyncio.run(
                        group.talk(Path(temporary) / "bot", None, _ask_together, c)
                    )
                )
            )
    return [last]


async def _ask_together(stage: Stage, groups: list[SimulatedChat], users: list[User]) -> float:
    """Return the milliseconds until every group has the reply to a command sent at once."""
    started = time.perf_counter()
    await asyncio.gather(*(stage.answer(one, users[1], "/as João") for one in groups))
    return 1_000 * (time.perf_counter() - started)


def _milliseconds(work: Callable[[], object]) -> float:
    return 1_000 * seconds(work)


def _median(run: Callable[[], float], runs: Iterable[int] = range(RUNS)) -> float:
    run()  # the first call fills caches
    return statistics.median(run() for _ in runs)


if __name__ == "__main__":
    main()
