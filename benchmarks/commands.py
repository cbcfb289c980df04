"""The wall time of whole commands: the demo, its quick scorecard, and a retraining.

Measured once each: together they take about a quarter of an hour on two quiet cores.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import ROOT, Figure, measure, seconds
from pipeline.dataset.sample import write_sample

FIRST, ALL = 2_200, 2_600
"""The messages in the first export and in the second."""
MINUTES = 2


def run() -> list[Figure]:
    """Run the commands in an empty folder."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return [
            measure(
                "understudy demo (5 minutes of training) and the bot in a group", "s",
                lambda: seconds(lambda: _run_demo(folder)),
                wanted="≤ 480 s", is_met=lambda value, _: value <= 480, runs=1,
            ),
            measure(
                "understudy evaluate --quick of the demo's version", "s",
                lambda: seconds(lambda: _understudy(folder, "evaluate", "--quick")),
                wanted="≤ 90 s", is_met=lambda value, _: value <= 90, runs=1,
            ),
            _measure_retraining(folder),
        ]  # fmt: skip


def _run_demo(folder: Path) -> None:
    _understudy(folder, "demo", "--base", "smollm2", "--minutes", "5")
    _call(folder, "bot", "playground", "demo/conversation.txt")


def _measure_retraining(folder: Path) -> Figure:
    export = json.loads(write_sample(folder / "sample").read_text("utf-8"))
    messages = [entry for entry in export["messages"] if entry["type"] == "message"]
    files = []
    for count in (FIRST, ALL):
        file = folder / f"{count}/result.json"
        file.parent.mkdir()
        file.write_text(json.dumps(export | {"messages": messages[:count]}), "utf-8")
        files.append(file)
    given = ("--models-dir", "retrained", "--no-live-bot", "--yes", "--minutes", str(MINUTES))
    _understudy(folder, "retrain", files[0], "--base", "smollm2", *given)
    return measure(
        f"understudy retrain --minutes {MINUTES}, {ALL:,} messages, of which {ALL - FIRST} are new",
        "s", lambda: seconds(lambda: _understudy(folder, "retrain", files[1], *given)),
        wanted="≤ 300 s", is_met=lambda value, _: value <= 300, runs=1,
    )  # fmt: skip


def _understudy(folder: Path, *arguments: object) -> None:
    _call(folder, "pipeline.cli", *arguments)


def _call(folder: Path, module: str, *arguments: object) -> None:
    """Run a program in a folder; print its output if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{module} {' '.join(map(str, arguments))}:\n{done.stdout}")
