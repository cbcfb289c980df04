"""Measure a bot whose groups have models of their own: `python -m benchmarks.group_models`.

It gives copies of the current version in `artifacts` to many groups (`--groups`), and measures how
long the bot needs to read their cards at the start and to look for new versions, and the memory of
the cards. For each number in `--loaded`, it then loads that many of the models in one process,
lets each reply once, and measures the memory and the time to load a model and to reply.
"""
# ruff: noqa: T201 - a program that prints

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil

from benchmarks.figures import peak_memory
from bot.services.access import ANY_PRIVATE_CHAT, build_access
from bot.services.model_holder import ModelChange, ModelSet, SpeakerCache
from bot.settings import Settings
from model.artifacts.artifact import Artifact, LearnedChat, load_artifact, save_card
from model.artifacts.registry import GROUPS, Registry
from model.speaking.engine import share_heap
from model.speaking.speaker import open_speaker

MIB = 2**20
CHECKS = 5


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="?", type=Path, default=Path("artifacts"))
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--loaded", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--speak", type=int, help=argparse.SUPPRESS)  # in a process of its own
    given = parser.parse_args()
    if given.speak:
        print(json.dumps(speak(given.models, given.speak)))
        return
    with tempfile.TemporaryDirectory(dir=given.models.parent) as temporary:
        root = copy_models(Registry(given.models), Path(temporary), given.groups)
        asyncio.run(read_cards(root))
        for count in given.loaded:
            command = [sys.executable, "-m", "benchmarks.group_models", str(root)]
            done = subprocess.run(
                [*command, "--speak", str(count)], check=True, capture_output=True, text=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{count} loaded: {found['resident']:,.0f} MiB resident, {found['peak']:,.0f} MiB "
                f"at the peak; {found['load']:.2f} s to load, {found['reply']:.2f} s to reply"
            )


def copy_models(source: Registry, folder: Path, groups: int) -> Path:
    """Give each group a version of its own; its large files are links to those of the source."""
    artifact, root = source.open("current"), folder / "models"
    for number in range(groups + 1):
        home = root / GROUPS / f"group-{number:04d}" if number else root
        version = home / "versions" / artifact.path.name
        shutil.copytree(artifact.path, version, copy_function=os.link)
        (version / "model.json").unlink()
        (version / "roster.json").unlink()
        card = replace(
            artifact.card, public=False, chats=(LearnedChat(-1 - number, f"Group {number}"),)
        )
        save_card(card, version)
        (home / "current").write_text(f"{artifact.path.name}\n")
    return root


async def read_cards(root: Path) -> None:
    """Print what the models of all groups cost while nobody speaks."""

    async def report(change: ModelChange) -> None:
        if change.refused:
            raise RuntimeError(change.refused)

    process, settings = psutil.Process(), Settings(_env_file=None)
    before, started = process.memory_info().rss, time.perf_counter()
    models = ModelSet(Registry(root), lambda _: None, bot_id=1)  # type: ignore[arg-type, return-value]  # nobody speaks
    await models.load()
    loaded = time.perf_counter() - started
    for holder in models.usable:
        build_access(
            holder.current.card, holder.current.roster, settings, {}, {}, {}, ANY_PRIVATE_CHAT,
            is_default=holder is models.default,
        )  # fmt: skip
    prepared, memory = time.perf_counter() - started, process.memory_info().rss - before
    seconds = []
    for _ in range(CHECKS):
        started = time.process_time()
        await models.check_and_report(report)
        seconds.append(time.process_time() - started)
    print(
        f"{len(models.usable):,} models: {loaded:.2f} s to read the cards, {prepared:.2f} s with "
        f"the permissions of all; {memory / MIB:.0f} MiB; {median(seconds) * 1000:.0f} ms of "
        "processor time for a check for new versions"
    )


def speak(root: Path, count: int) -> dict[str, float]:
    """Load `count` models, and reply once with each; return memory in MiB and times in seconds."""
    share_heap()  # as the bot does
    process = psutil.Process()
    speakers = SpeakerCache(open_speaker, count)
    loads, replies = [], []
    for artifact in _artifacts(root, count):
        started = time.perf_counter()
        speaker = speakers.get(artifact)
        loads.append(time.perf_counter() - started)
        [name, *_] = artifact.card.learned
        started = time.perf_counter()
        speaker.fork().reply([f"{name}: are you coming tonight?"], name)
        replies.append(time.perf_counter() - started)
    return {
        "resident": process.memory_info().rss / MIB, "peak": peak_memory(),
        "load": median(loads), "reply": median(replies),
    }  # fmt: skip


def _artifacts(root: Path, count: int) -> list[Artifact]:
    registries = list(Registry(root).group_folders().values())[:count]
    return [load_artifact(one.root / "versions" / (one.current or "")) for one in registries]


if __name__ == "__main__":
    main()
