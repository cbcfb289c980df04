"""Inspecting and building a large export, beside json.load with pandas: time and memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.big_export import write_big_export
from benchmarks.figures import ROOT, Figure, measure

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "1000000"))


def run() -> list[Figure]:
    """Measure both in processes of their own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        export = write_big_export(folder / "result.json", MESSAGES)
        found: dict[str, list[dict[str, float]]] = {"ours": [], "pandas": []}

        def ask(which: str, key: str) -> Callable[[], float]:
            place = iter(range(10**9))

            def read() -> float:
                number = next(place)
                if number == len(found[which]):
                    found[which].append(_in_process(which, export, folder))
                return found[which][number][key]

            return read

        return [
            measure(
                f"inspect and build, {MESSAGES:,} entries", "s", ask("ours", "seconds"),
                baseline=ask("pandas", "seconds"), baseline_name="json.load and pandas",
                wanted="≥ 3×", is_met=lambda _, ratio: ratio >= 3,
            ),
            measure(
                "memory of it", "MiB", ask("ours", "memory"), baseline=ask("pandas", "memory"),
                baseline_name="json.load and pandas", wanted="≤ a quarter",
                is_met=lambda _, ratio: ratio >= 4,
            ),
        ]  # fmt: skip


def main() -> None:
    """Do one of both in this process, and print its seconds and its peak memory."""
    which, export, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    started = time.perf_counter()
    (_build if which == "ours" else _load_with_pandas)(export, out)
    elapsed = time.perf_counter() - started
    memory = Path("/proc/self/status").read_text("utf-8").split("VmHWM:")[1].split()[0]
    sys.stdout.write(json.dumps({"seconds": elapsed, "memory": int(memory) / 1024}) + "\n")


def _build(export: Path, out: Path) -> None:
    """Inspect and build in one reading, as `understudy build` does."""
    from pipeline.dataset.build import build
    from pipeline.dataset.pairs import BuildOptions

    build([export], out / "dataset", BuildOptions())


def _load_with_pandas(export: Path, _: Path) -> None:
    """Do the least that a notebook does: read, drop what is no message, cut sessions, pair."""
    import pandas as pd

    with export.open(encoding="utf-8") as file:
        table = pd.DataFrame(json.load(file)["messages"])
    table = table[(table["type"] == "message") & table["text"].astype(bool)].copy()
    table["text"] = [
        text if isinstance(text, str)
        else "".join(part if isinstance(part, str) else part["text"] for part in text)
        for text in table["text"]
    ]  # fmt: skip
    times = pd.to_datetime(table["date_unixtime"].astype(int), unit="s")
    table["session"] = (times.diff() > pd.Timedelta(minutes=120)).cumsum()
    lines = (table["from"].fillna("") + ": " + table["text"]).tolist()
    sessions = table["session"].tolist()
    pairs = [
        ("\n".join(lines[max(0, place - 10) : place]), lines[place])
        for place in range(1, len(lines))
        if sessions[place] == sessions[place - 1]
    ]
    if not pairs:
        raise RuntimeError("no pairs")


def _in_process(which: str, export: Path, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.exports", which, str(export), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
