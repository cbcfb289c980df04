"""Show progress bars, tables and the colours of names in an 80-column terminal."""

import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from model.chat.names import make_printable

_COLOURS = (
    "#0087ff", "#d75f00", "#00af5f", "#d75fd7", "#af8700", "#875fff", "#00afaf", "#ff5f5f",
    "#5f8700", "#af5f87",
)  # fmt: skip
"""Colours of the 256 that terminals have, readable on light and dark backgrounds."""


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name, which depends on the name alone if no other name shares it.

    With more names than colours, some share one.
    """
    found: dict[str, str] = {}
    for name in sorted(set(names)):
        first = zlib.crc32(name.encode("utf-8", "replace")) % len(_COLOURS)
        order = (*_COLOURS[first:], *_COLOURS[:first])
        taken = set(found.values())
        found[name] = next((colour for colour in order if colour not in taken), order[0])
    return found


def print_indented(text: str | Text, console: Console, style: str = "") -> None:
    """Print text, wrapped and indented."""
    words = text if isinstance(text, Text) else Text(text, style)
    console.print(Padding.indent(words, 2), highlight=False)


def print_paragraph(text: str, console: Console) -> None:
    """Print an empty line, then text as `print_indented` does."""
    console.print()
    print_indented(text, console)


@dataclass(frozen=True, slots=True)
class Point:
    """The validation loss in nats per character after a step; `share` of the run is done."""

    step: int
    share: float
    nats: float


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The state of a run: `share` of it is done, after `seconds`."""

    share: float
    seconds: float
    step: int
    loss: float | None
    examples_per_second: float


Watcher = Callable[[TrainingProgress], None]
"""Gets the state of a training run after each step."""


def table(
    *headings: str,
    plain: bool = False,
    first: JustifyMethod = "left",
    words: Collection[str] = (),
) -> Table:
    """Return an empty table whose first column and columns in `words` are text, others numbers.

    A `plain` table has no headings, and text in every column.
    """
    empty = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=not plain)
    for number, heading in enumerate(headings):
        justify: JustifyMethod = "left" if plain or heading in words else "right"
        empty.add_column(heading, justify=justify if number else first, overflow="fold")
    return empty


def nats_note(replies: int) -> str:
    """Return the note below a table of losses; `replies` is 0 if the count is unknown."""
    which = f"{replies:,} real replies" if replies else "real replies"
    return (
        f"  How surprised the model is by {which} that it never saw (loss in nats\n"
        "  per character; lower is better)"
    )


def shown(figure: float | None) -> str:
    """Format a figure for a table: integers in full, other numbers with three decimals."""
    if figure is None:
        return ""
    return f"{figure:.3f}" if isinstance(figure, float) else f"{figure:,}"


_FIRST_SECONDS = 2.0  # seconds until the first line without a terminal
_PRINT_SECONDS = 30.0  # seconds between lines without a terminal
_MINUTE = 60
_MIN_SHARE, _MIN_SECONDS = 0.05, 10.0
"""The time left is shown after this share of a run and this many seconds."""


class Show(Protocol):
    """Shows how much of a step is done."""

    def __call__(self, share: float, note: str = "") -> None:
        """Show a share from 0 to 1, and a note."""


@contextmanager
def _repeat(print_line: Callable[[], None]) -> Iterator[None]:
    """Print a line repeatedly while a block runs, the first one after two seconds."""
    has_ended = Event()

    def run() -> None:
        wait = _FIRST_SECONDS
        while not has_ended.wait(wait):
            print_line()
            wait = _PRINT_SECONDS

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()


class Progress:
    """Shows long work step by step; `verbose` adds figures for people who know about training.

    `evaluation_tokens`: the cost of what follows training, in tokens that the model reads; part of
    the time estimate.
    """

    def __init__(
        self, console: Console, *, verbose: bool = False, evaluation_tokens: float = 0.0
    ) -> None:
        self.console, self.verbose = console, verbose
        self.evaluation_tokens = evaluation_tokens

    @contextmanager
    def step(self, title: str) -> Iterator[Show]:
        """Show a step while it runs, then how long it took.

        Yields a function that shows how much of it is done. In a terminal the bar moves all the
        time, even while nobody calls this; elsewhere a line is printed after two seconds, and then
        one every half minute.
        """
        title, console, started = make_printable(title), self.console, time.monotonic()
        done, remark = 0.0, ""
        bars = Bars(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(16),
            TextColumn("{task.fields[share]}"), _TimeLeft(), TextColumn("{task.fields[note]}"),
            console=console, transient=True, refresh_per_second=4, disable=not console.is_terminal,
        )  # fmt: skip
        task = bars.add_task(escape(title), total=None, share="", note="")

        def show(share: float, note: str = "") -> None:
            nonlocal done, remark
            done, remark = share, note
            bars.update(task, total=1.0, completed=share, share=f"{share:.0%}", note=note)

        def print_line() -> None:
            left = time_left(done, time.monotonic() - started)
            words = (
                f"{title} … {done:.0%}" if done else f"{title} …",
                f"about {left} left" if left else "",
                remark,
            )
            print_indented("  ".join(filter(None, words)), console)

        with bars if console.is_terminal or console.quiet else _repeat(print_line):
            yield show
        took = clock(time.monotonic() - started)
        print_indented(Text.assemble(f"{title} ", (f"({took})", "dim")), console)

    @contextmanager
    def count(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a step with `total` parts, such as bytes; yield a function that counts them."""
        done = 0
        with self.step(title) as show:

            def advance(more: int) -> None:
                nonlocal done
                done += more
                show(min(1.0, done / max(1, total)))

            yield advance

    def detail(self, text: str) -> None:
        """Print what only `--verbose` shows."""
        if self.verbose:
            print_indented(text, self.console)

    def share(self, done: float) -> None:
        """Record how much of everything is done, from 0 to 1."""


SILENT = Progress(Console(quiet=True))
"""Shows nothing."""


def describe(progress: TrainingProgress) -> str:
    """Describe a training step for people who know about training."""
    loss = "…" if progress.loss is None else f"{progress.loss:.2f}"
    return f"loss {loss}  {progress.examples_per_second:.1f} per second"


def time_left(share: float, seconds: float) -> str:
    """Return the time left at the average speed so far, formatted by `clock`.

    It is "" at first: the first seconds of a run are the slowest, so an estimate would be wrong.
    """
    if share < _MIN_SHARE or seconds < _MIN_SECONDS:
        return ""
    return clock(seconds * (1 - share) / share)


def curve(points: Iterable[Point], kept: Point | None) -> str:
    """Return the validation losses, one per line; the one of the kept weights is marked."""
    lines = [
        f"  {point.share:4.0%}  step {point.step:,}  {point.nats:.4f}"
        f"{'  ← these weights are kept' if point == kept else ''}"
        for point in points
    ]
    return "\n".join(["Validation loss during training, in nats per character:", *lines])


def clock(seconds: float) -> str:
    """Format seconds: 45 s, 4 min, 2 h 5 min."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < _MINUTE else f"{minutes // 60} h {minutes % 60} min"


class _TimeLeft(ProgressColumn):
    """The time left at the average speed so far."""

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        left = "" if task.total is None else time_left(task.completed, task.elapsed or 0.0)
        return Text(f"about {left} left" if left else "")


STEPS: Mapping[str, tuple[str, float]] = {
    "read": ("reading the files", 0.04),
    "erase": ("erasing withdrawn and forgotten messages", 0.005),
    "keep": ("storing the history", 0.005),
    "build": ("building the dataset", 0.05),
    "train": ("training", 0.6),
    "score": ("scoring the new version", 0.14),
    "compare": ("scoring the current version on the same conversations", 0.14),
    "write": ("storing the result", 0.01),
    "tidy": ("cleaning up", 0.01),
}
"""The steps in order: a title, and the share of the time that each takes."""


class Watch(Progress):
    """Shows the steps of `understudy retrain` and measures their seconds.

    `lasted` are the seconds of each step in the last run, used to estimate the time left.
    """

    def __init__(
        self,
        console: Console,
        lasted: Mapping[str, float] | None = None,
        *,
        verbose: bool = False,
    ) -> None:
        super().__init__(console, verbose=verbose)
        self.seconds: dict[str, float] = {}
        self._shares = _estimate_shares(lasted or {})
        self._done, self._step = 0.0, ""
        self._began = time.monotonic()
        self._bar = Bars(
            TextColumn("  overall"), BarColumn(28), TextColumn("{task.percentage:3.0f} %"),
            *([_TimeLeft()] if lasted else []), console=console, transient=True,
            refresh_per_second=4, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=1.0)

    def begin(self, step: str) -> None:
        """Begin a step; those before it are done, or were not needed."""
        self._end()
        before = list(STEPS)[: list(STEPS).index(step)]
        self._done = sum(self._shares[name] for name in before)
        self._step, self._began = step, time.monotonic()
        self.share(0.0)
        if self.console.is_terminal:
            self._bar.start()
        self.console.print(f"· {STEPS[step][0]}", style="dim", highlight=False)

    def share(self, done: float) -> None:
        """Show how much of the step is done, 0 to 1."""
        completed = self._done + done * self._shares.get(self._step, 0.0)
        self._bar.update(self._task, completed=completed, refresh=True)

    def stop(self) -> None:
        """Remove the bar at the end."""
        self._end()
        self._bar.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Remove the bar while a person is asked something."""
        self._bar.stop()
        yield
        if self.console.is_terminal and self._step:
            self._bar.start()

    def _end(self) -> None:
        if self._step:
            self.seconds[self._step] = round(time.monotonic() - self._began, 3)
            self._step = ""


def _estimate_shares(lasted: Mapping[str, float]) -> dict[str, float]:
    """Return each step's share of the time: that of the last run, if it is known."""
    total = sum(lasted.values()) or 1.0
    shares = {name: lasted.get(name) or share * total for name, (_, share) in STEPS.items()}
    return {name: share / sum(shares.values()) for name, share in shares.items()}
