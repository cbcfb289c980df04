"""Figures that are compared with a baseline in the same run, and the page that lists them."""

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pipeline.training.machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
PAGE, DATA = ROOT / "docs/development/benchmarks.md", ROOT / "docs/development/benchmarks.json"
RUNS = 5
LIBRARIES = ("torch", "transformers", "ctranslate2", "python-telegram-bot")


@dataclass(frozen=True, slots=True)
class Figure:
    """A median over `runs` runs, its extremes, and its ratio to a baseline of the same run.

    `wanted` is the aim in words; `met` is None where there is nothing to compare with it.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    wanted: str = ""
    met: bool | None = None
    baseline_name: str = ""
    low: float = 0.0
    high: float = 0.0
    runs: int = 1
    machine: str = ""
    measured_at: str = ""


def measure(
    name: str,
    unit: str,
    run: Callable[[], float],
    *,
    baseline: Callable[[], float] | None = None,
    baseline_name: str = "",
    is_rate: bool = False,
    wanted: str = "",
    is_met: Callable[[float, float], bool] = lambda *_: True,
    runs: int = RUNS,
) -> Figure:
    """Run both alternately, and return the median with its ratio to the baseline's.

    The ratio says how many times better the figure is: larger for a rate, smaller for a time or an
    amount. `is_met` receives the value and the ratio.
    """
    own, other = [], []
    for _ in range(runs):
        own.append(run())
        if baseline:
            other.append(baseline())
    value = statistics.median(own)
    against = statistics.median(other) if other else None
    ratio = None
    if against is not None:
        ratio = value / against if is_rate else against / value
    return Figure(
        name, _round(value), unit, against if against is None else _round(against),
        ratio if ratio is None else _round(ratio), wanted,
        is_met(value, ratio or 0.0) if wanted else None, baseline_name,
        _round(min(own)), _round(max(own)), runs,
    )  # fmt: skip


class ChildProcesses:
    """Runs of a program in processes of their own, of which each prints several figures as JSON."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._command = [sys.executable, "-m", module, *map(str, arguments)]
        self._results: list[dict[str, float]] = []

    def ask(self, key: str) -> Callable[[], float]:
        """Return a function whose n-th call returns a figure of the n-th process."""
        places = itertools.count()

        def read() -> float:
            place = next(places)
            while place >= len(self._results):
                done = subprocess.run(
                    self._command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
                )
                self._results.append(json.loads(done.stdout.splitlines()[-1]))
            return self._results[place][key]

        return read


def peak_memory() -> float:
    """Return the largest memory of this process so far, in MiB."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def percentile(values: list[float], share: float = 0.95) -> float:
    """Return the value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def write_figures(found: list[Figure]) -> None:
    """Update the JSON file with new figures, and write the page from it."""
    machine, today = _describe(), datetime.now(UTC).date().isoformat()
    old = json.loads(DATA.read_text("utf-8")) if DATA.is_file() else []
    kept = {row["name"]: Figure(**row) for row in old}
    kept |= {one.name: replace(one, machine=machine, measured_at=today) for one in found}
    rows = list(kept.values())
    DATA.write_text(json.dumps([asdict(one) for one in rows], indent=1) + "\n", "utf-8")
    PAGE.write_text(render(rows), "utf-8")


def render(rows: list[Figure]) -> str:
    """Return the page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`python -m benchmarks.run`); [benchmarks.json](benchmarks.json)",
        "has the same figures. They are medians, with the smallest and largest value in brackets.",
        "The ratio says how many times better a figure is than its baseline, which was measured in",
        "the same run, alternating with it. Only ratios carry over to another machine.",
        "",
        "| what | value | baseline | ratio | target | met | measured |",
        "|---|---|---|---|---|---|---|",
    ]
    runs = list(dict.fromkeys((one.measured_at, one.machine) for one in rows))
    for one in rows:
        spread = f" ({one.low:,g}–{one.high:,g})" if one.runs > 1 else ""
        against = "" if one.baseline is None else f"{one.baseline:,g} {one.unit}"
        if one.baseline_name:
            against = f"{against}: {one.baseline_name}".removeprefix(": ")
        ratio = "" if one.ratio is None else f"{one.ratio:,g}"
        met = "" if one.met is None else "yes" if one.met else "**no**"
        value = f"{one.value:,g} {one.unit}{spread}"
        run = 1 + runs.index((one.measured_at, one.machine))
        cells = (one.name, value, against, ratio, one.wanted, met, str(run))
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for number, (day, machine) in enumerate(runs, 1):
        lines.append(f"{number}. {day}: {machine}")
    return "\n".join(lines) + "\n"


def _describe() -> str:
    machine = describe_machine()
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    memory = f"{machine.memory / 2**30:.0f} GiB"
    return (
        f"{machine.system}, {_processor()}, {machine.cores} cores, {memory}, "
        f"Python {machine.python}, {libraries}"
    )


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def _round(value: float) -> float:
    """Round to three digits."""
    return float(f"{value:.3g}")
