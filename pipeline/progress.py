"""Show the progress of long work: a bar in a terminal, otherwise a line now and then.

Bars can be nested, so no background thread redraws them: while a bar appears or disappears, rich's
refresh thread can lose a printed line or leave one in the scrollback.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.text import Text

from model import conduct
from model.stopping import Point

_REDRAW = 0.2  # seconds between two drawings of a bar
_EVERY = 30.0  # seconds between lines where nobody watches
_MINUTE = 60
_LEAST_SHARE, _LEAST_SECONDS = 0.05, 10.0
"""The share of a run and the seconds after which the time left is shown."""


class Bar(Protocol):
    """What shows a training run: a `conduct.Watcher` with a console for what is said meanwhile."""

    @property
    def console(self) -> Console:
        """Return where to print."""

    def __call__(self, progress: conduct.Progress) -> None:
        """See conduct.Watcher."""

    def close(self) -> None:
        """Leave the bar as it stands."""


class TrainingBar:
    """Shows a training run's loss, speed and time left; a `conduct.Watcher`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("      "), BarColumn(28), TextColumn("{task.description}"),
            console=console, auto_refresh=False,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._told = 0.0

    def __call__(self, progress: conduct.Progress) -> None:
        """See conduct.Watcher."""
        text = describe(progress)
        if not self.console.is_terminal:
            if time.monotonic() - self._told > _EVERY or progress.share >= 1:
                self._told = time.monotonic()
                self.console.print(f"      {text}")
            return
        if self._task is None:
            self._task = self._bar.add_task(text, total=1.0)
            self._bar.start()
        self._bar.update(self._task, completed=progress.share, description=text, refresh=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


def describe(progress: conduct.Progress) -> str:
    """Return a step as words of at most 45 characters."""
    loss = "…" if progress.loss is None else f"{progress.loss:.2f}"
    speed = f"{progress.examples_per_second:.1f} pairs/s"
    left = time_left(progress.share, progress.seconds)
    return f"{progress.share:4.0%}  loss {loss}  {speed}{f'  {left} left' if left else ''}"


def time_left(share: float, seconds: float) -> str:
    """Return the time left at the average speed so far, formatted by `clock`.

    It is "" at first: the first seconds of a run are the slowest, so an estimate would be wrong.
    """
    if share < _LEAST_SHARE or seconds < _LEAST_SECONDS:
        return ""
    return clock(seconds * (1 - share) / share)


def curve(points: Iterable[Point], kept: Point | None) -> str:
    """Return how the held-out loss went, a line a point; the kept weights' is marked."""
    lines = [
        f"    {point.share:4.0%}  step {point.step:,}  {point.nats:.4f}"
        f"{'  ← these weights are kept' if point == kept else ''}"
        for point in points
    ]
    return "\n".join(["  Held-out loss on the way, nats a character:", *lines])


def clock(seconds: float) -> str:
    """Return seconds as a person would say them: 45 s, 4 min, 2 h 05."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < _MINUTE else f"{minutes // 60} h {minutes % 60:02d}"


@contextmanager
def step(console: Console, title: str) -> Iterator[None]:
    """Show a step while it runs, then the time it took."""
    started = time.monotonic()
    if console.is_terminal:
        with Live(Text(f"  {title} …"), console=console, auto_refresh=False, transient=True):
            yield
    else:
        yield
    took = clock(time.monotonic() - started)
    console.print(Text.assemble(f"  {title} ", (f"({took})", "dim")))


@contextmanager
def file_bar(console: Console, file: Path) -> Iterator[Callable[[int], None]]:
    """Show in a terminal how much of a file is read; yield what is told each number of bytes."""
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("  "), BarColumn(28), DownloadColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        size = file.stat().st_size
        task = bar.add_task("", total=size)
        started = drawn = time.monotonic()
        done = 0

        def advance(count: int) -> None:
            nonlocal done, drawn
            done += count
            now = time.monotonic()
            if now - drawn >= _REDRAW:
                drawn = now
                left = time_left(min(1, done / max(1, size)), now - started)
                text = f"{left} left" if left else ""
                bar.update(task, completed=min(done, size), description=text, refresh=True)

        yield advance
