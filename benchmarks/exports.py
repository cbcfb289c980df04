"""Inspecting and building a large export, beside json.load with pandas: time and memory."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.big_export import write_big_export
from benchmarks.figures import ChildProcesses, Figure, measure, peak_memory

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "1000000"))


def run() -> list[Figure]:
    """Measure both in processes of their own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        export = write_big_export(folder / "result.json", MESSAGES)
        ours, theirs = (
            ChildProcesses("benchmarks.exports", which, export, folder)
            for which in ("ours", "pandas")
        )
        return [
            measure(
                f"inspect and build, {MESSAGES:,} entries", "s", ours.ask("seconds"),
                baseline=theirs.ask("seconds"),
                baseline_name="json.load and pandas, with no redaction, splits or checks",
                wanted="≥ 3×", is_met=lambda _, ratio: ratio >= 3,
            ),
            measure(
                "its peak memory", "MiB", ours.ask("memory"), baseline=theirs.ask("memory"),
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
    sys.stdout.write(json.dumps({"seconds": elapsed, "memory": peak_memory()}) + "\n")


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
        ("\n".join(lines[max(0, index - 10) : index]), lines[index])
        for index in range(1, len(lines))
        if sessions[index] == sessions[index - 1]
    ]
    if not pairs:
        raise RuntimeError("no pairs")


if __name__ == "__main__":
    main()
