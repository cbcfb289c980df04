"""Draw the report's pictures with matplotlib, as SVG images in data URIs."""

import base64
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.evaluation.view import ScoreRow

COLOURS = (
    "#2f6fb2", "#d1603d", "#3a8f63", "#8f5aa8", "#b8860b", "#4a9aa5", "#c0508a", "#6b7280",
    "#7a8b2f", "#a0522d",
)  # fmt: skip
"""The colours of people, in order of their messages."""
_INK, _FAINT = "#1f2933", "#8b95a1"
_WIDTH = 5.0  # inches: the text stays legible on a phone
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DARK = 0.55  # share of the maximum from which text in a cell is white
_SPLIT_COLOURS = {"train": "#dfe8f2", "validation": "#f6e7c1", "test": "#f4d5cb"}

_STYLE: Any = {  # the keys differ between versions of matplotlib
    "svg.hashsalt": "understudy",
    "svg.fonttype": "none",  # text stays text: smaller, and drawn with the reader's own fonts
    "text.parse_math": False,  # a name may contain $
    "font.size": 11,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def colour_people(names: Sequence[str]) -> dict[str, str]:
    """Return each person's colour."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}


def draw_heat_map(hours: NDArray[np.int64]) -> str:
    """Draw the lines of each weekday and hour, [7, 24]."""

    def draw(axes: Axes) -> None:
        axes.imshow(hours, cmap="Blues", aspect="auto", vmin=0)
        axes.set_yticks(range(7), _WEEKDAYS)
        axes.set_xticks(range(0, 24, 3), [f"{hour}" for hour in range(0, 24, 3)])
        axes.set_xlabel("hour of the day")
        axes.set_xticks(np.arange(-0.5, 24), minor=True)
        axes.set_yticks(np.arange(-0.5, 7), minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)

    return _render(draw, 2.5)


def draw_timeline(
    days: "pd.Series[int]", splits: Mapping[str, tuple[pd.Timestamp, pd.Timestamp]]
) -> str:
    """Draw the lines of each week, above the times of the splits."""
    weeks = days.resample("W-MON", label="left", closed="left").sum()

    def draw(axes: Axes) -> None:
        for name, (first, last) in splits.items():
            axes.axvspan(first, last, color=_SPLIT_COLOURS[name], linewidth=0, label=name)
        axes.bar(weeks.index, weeks, width=6, align="edge", color=COLOURS[0])
        axes.set_ylabel("messages per week")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        locator = AutoDateLocator(maxticks=6)  # type: ignore[no-untyped-call, unused-ignore]  # matplotlib's
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(
            ConciseDateFormatter(locator)  # type: ignore[no-untyped-call, unused-ignore]
        )
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=10
        )

    return _render(draw, 2.5)


def draw_reply_graph(
    lines: Mapping[str, int], replies: Mapping[tuple[str, str], int], colours: Mapping[str, str]
) -> str:
    """Draw people as circles and the turns with which they answer each other as arrows."""
    names = list(lines)
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    points = dict(zip(names, np.column_stack([np.cos(angles), np.sin(angles)]), strict=True))
    most = max(replies.values(), default=1)
    sizes = {name: 8 + 22 * (count / max(lines.values())) ** 0.5 for name, count in lines.items()}

    def draw(axes: Axes) -> None:
        for (by, to), count in sorted(replies.items(), key=lambda item: item[1]):
            axes.add_patch(
                FancyArrowPatch(
                    tuple(points[by]),
                    tuple(points[to]),
                    connectionstyle="arc3,rad=0.13",
                    arrowstyle="-|>",
                    mutation_scale=9,
                    linewidth=0.4 + 5 * count / most,
                    color=colours[by],
                    alpha=0.25 + 0.6 * count / most,
                    shrinkA=sizes[by] / 2,
                    shrinkB=sizes[to] / 2 + 3,
                )
            )
        for name in names:
            x, y = points[name]
            axes.plot(x, y, "o", markersize=sizes[name], color=colours[name])
            axes.annotate(
                _shorten(name),
                (x, y),
                (0, np.sign(y or 1) * (sizes[name] / 2 + 9)),
                textcoords="offset points",
                ha="center",
                va="center",
                weight="bold",
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
            )
        axes.set(xlim=(-1.35, 1.35), ylim=(-1.2, 1.25), aspect="equal")
        axes.axis("off")

    return _render(draw, 4.2)


def draw_hours(counts: Sequence[int], colour: str) -> str:
    """Draw a person's lines by hour of the day."""

    def draw(axes: Axes) -> None:
        axes.bar(range(24), counts, width=0.85, color=colour)
        axes.set_xticks(range(0, 24, 6), [f"{hour} h" for hour in range(0, 24, 6)])
        axes.set_xlim(-0.7, 23.7)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)

    return _render(draw, 0.95, width=3.4)


def draw_training_curve(
    training: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]], kept: int | None
) -> str:
    """Draw the training loss, and the validation loss on its own axis, by step."""

    def draw(axes: Axes) -> None:
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if training:
            axes.plot(*zip(*training, strict=True), color=COLOURS[0], label="training")
            axes.set_ylabel("training, nats/token")
        if validation:
            other = axes.twinx() if training else axes
            other.plot(
                *zip(*validation, strict=True), color=COLOURS[1], marker="o", label="validation"
            )
            other.spines["right"].set_visible(bool(training))
            other.set_ylabel("validation, nats/char")
        if kept is not None:
            axes.axvline(kept, color=_FAINT, linestyle=":", label="kept weights")
        handles = [one for each in axes.figure.axes for one in each.get_lines()]
        axes.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3,
            frameon=False, fontsize=10, columnspacing=1,
        )  # fmt: skip

    return _render(draw, 2.8)


def draw_scores(rows: Sequence[ScoreRow]) -> str:
    """Draw scores relative to real replies, with their intervals and baselines."""
    marks = {"Markov chain": ("s", COLOURS[4]), "nearest turn": ("D", COLOURS[3])}

    def draw(axes: Axes) -> None:
        axes.axvline(1, color=_INK, linestyle="--", linewidth=1)
        for at, row in enumerate(rows):
            if row.interval:
                axes.plot(row.interval, [at, at], color=COLOURS[0], linewidth=3, alpha=0.6)
            label = "this version, 95 %" if not at else None
            axes.plot(row.value, at, "o", color=COLOURS[0], markersize=9, label=label)
            for name, own in row.baselines.items():
                shape, colour = marks[name]
                label = name if not at else None
                axes.plot(own, at, shape, color=colour, markersize=6, label=label)
        axes.set_yticks(range(len(rows)), [row.short for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("real replies = 1")
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, fontsize=9,
            columnspacing=1, handletextpad=0.3,
        )  # fmt: skip

    return _render(draw, 0.9 + 0.5 * len(rows))


def draw_confusion(
    voices: Sequence[str], answers: Sequence[str], shares: Sequence[Sequence[float]]
) -> str:
    """Draw whom the judge attributes generated lines to: rows are voices, columns answers."""
    cells = np.asarray(shares, float)

    def draw(axes: Axes) -> None:
        axes.imshow(cells, cmap="Blues", vmin=0, vmax=1)
        size = min(10, 80 // len(answers))
        for (row, column), share in np.ndenumerate(cells):
            axes.text(
                column, row, f"{share:.0%}", ha="center", va="center", fontsize=size,
                color="white" if share > _DARK else _INK,
            )  # fmt: skip
        columns, rows = ([_shorten(name, 10) for name in names] for names in (answers, voices))
        axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xlabel("the judge says")
        axes.set_ylabel("the bot spoke as")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    return _render(draw, 3.6)


def _shorten(name: str, most: int = 16) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _render(draw: Callable[[Axes], None], height: float, width: float = _WIDTH) -> str:
    """Return a picture as a data URI. The same input always gives the same bytes."""
    stream = io.BytesIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # names in scripts that matplotlib's font lacks are drawn by the reader's own fonts
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"
