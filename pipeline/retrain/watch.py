"""What a person sees of a retraining: one bar over the whole with the time left, or lines."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from model import conduct
from pipeline.progress import TrainingBar, time_left

STEPS: Mapping[str, tuple[str, float]] = {
    "read": ("reading what is given", 0.04),
    "erase": ("erasing what was withdrawn or forgotten", 0.005),
    "keep": ("keeping the history", 0.005),
    "build": ("building the dataset", 0.05),
    "train": ("training", 0.6),
    "score": ("scoring the new version", 0.14),
    "compare": ("scoring the current version on the same talk", 0.14),
    "write": ("writing the receipt", 0.005),
    "promote": ("promoting", 0.005),
    "tidy": ("clearing up", 0.01),
}
"""The steps in their order: a title, and how much of the time each takes."""


class _Left(ProgressColumn):
    """The time left, if the rest goes as fast as what is done."""

    def render(self, task: Task) -> Text:
        """See ProgressColumn."""
        left = time_left(task.completed, task.elapsed or 0.0)
        return Text(f"about {left} left" if left else "")


class Watch:
    """Shows the steps of a retraining, and counts their seconds; a `progress.Bar` too.

    `lasted` are the seconds that each step took the last time: by them it tells the time left.
    """

    def __init__(self, console: Console, lasted: Mapping[str, float] | None = None) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}
        self._training = TrainingBar(console)
        self._shares = _shares(lasted or {})
        self._done, self._step = 0.0, ""
        self._began = time.monotonic()
        self._bar = Progress(
            TextColumn("  overall"), BarColumn(28), TextColumn("{task.percentage:3.0f} %"),
            *([_Left()] if lasted else []),
            console=console, transient=True, auto_refresh=False, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=1.0)

    def begin(self, step: str) -> None:
        """Say which step begins; those before it are done, or were not needed."""
        self._end()
        before = list(STEPS)[: list(STEPS).index(step)]
        self._done = sum(self._shares[name] for name in before)
        self._step, self._began = step, time.monotonic()
        self.share(0.0)
        if self.console.is_terminal:
            self._bar.start()
        self.console.print(f"· {STEPS[step][0]}", style="dim", highlight=False)

    def __call__(self, progress: conduct.Progress) -> None:
        """See conduct.Watcher."""
        self._training(progress)
        self.share(progress.share)

    def share(self, done: float) -> None:
        """Show how much of the step is done, 0 to 1."""
        whole = self._done + done * self._shares.get(self._step, 0.0)
        self._bar.update(self._task, completed=whole, refresh=True)

    def close(self) -> None:
        """Leave the training's own bar as it stands."""
        self._training.close()

    def stop(self) -> None:
        """Take the bar away: all is done, or a person is asked something."""
        self._end()
        self._bar.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the bar away while a person is asked something."""
        self._bar.stop()
        yield
        if self.console.is_terminal and self._step:
            self._bar.start()

    def _end(self) -> None:
        if self._step:
            self.seconds[self._step] = round(time.monotonic() - self._began, 3)
            self._step = ""


def _shares(lasted: Mapping[str, float]) -> dict[str, float]:
    """Return each step's share of the time: as it was the last time, where that is known."""
    known = sum(lasted.values()) or 1.0
    shares = {name: lasted.get(name) or share * known for name, (_, share) in STEPS.items()}
    return {name: share / sum(shares.values()) for name, share in shares.items()}
