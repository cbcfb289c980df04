"""Draw the picture of `/stats` with matplotlib, if it is installed (extra `stats`)."""

import importlib.util
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.services.statistics import Statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PEOPLE = 8
"""People in a picture; the text below it has the words of the others."""
_COLOURS = ("#2f6fb2", "#d1603d", "#3a8f63", "#8f5aa8", "#b8860b", "#4a9aa5", "#c0508a", "#6b7280")
_INK = "#1f2933"
_WIDTH, _DPI = 6.4, 160  # inches, dots per inch: 1,024 pixels wide
_LINE = 0.34  # inches for a line of words
_EDGE, _NAMES = 0.03, 0.34  # shares of the width: the margin, and the most for names


@dataclass(frozen=True, slots=True)
class PictureTexts:
    """The words of a picture: its two headings, and the short names of weekdays from Monday."""

    hours: str
    words: str
    weekdays: tuple[str, ...]


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as PNG, and the people whose words are in it."""

    png: bytes
    people: frozenset[str]


def draw_statistics(statistics: Statistics, texts: PictureTexts) -> Picture:
    """Draw when people write, and their words as far as matplotlib's font has the characters.

    This takes about a second: call it in a thread, but not in two at once.
    """
    from matplotlib.figure import Figure

    people = [
        person
        for person in statistics.people
        if person.words and all(map(is_drawable, (person.name, *person.words)))
    ][:MAX_PEOPLE]
    height = 2.9 + (0.55 + _LINE * len(people) if people else 0)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    _draw_hours(figure.add_axes((0.1, 1 - 2.5 / height, 0.87, 2 / height)), statistics, texts)
    _write(figure, _EDGE, 1 - 0.28 / height, [texts.hours], size=13, weight="bold")
    if people:
        start = 1 - 3.1 / height
        _write(figure, _EDGE, start, [texts.words], size=13, weight="bold")
        rows = [start - (0.42 + _LINE * row) / height for row in range(len(people))]
        left = max(
            _write(figure, _EDGE, y, one.name, end=_NAMES, weight="bold", color=colour)
            for one, y, colour in zip(people, rows, _COLOURS, strict=False)
        )
        for one, y in zip(people, rows, strict=True):
            _write(figure, left + _EDGE, y, [f"{word}  " for word in one.words])
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return Picture(stream.getvalue(), frozenset(person.name for person in people))


def is_drawable(text: str) -> bool:
    """Whether matplotlib's own font can draw a text: all characters, and from left to right."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    return all(
        font.get_char_index(ord(char))
        and unicodedata.bidirectional(char) not in {"R", "AL"}
        and not unicodedata.combining(char)
        for char in text
    )


def _draw_hours(axes: "Axes", statistics: Statistics, texts: PictureTexts) -> None:
    axes.imshow(statistics.hours, cmap="Blues", aspect="auto", vmin=0)
    axes.set_yticks(range(7), texts.weekdays, fontsize=10, color=_INK)
    axes.set_xticks(range(0, 24, 3), [f"{hour} h" for hour in range(0, 24, 3)], fontsize=10)
    axes.set_xticks([tick - 0.5 for tick in range(25)], minor=True)
    axes.set_yticks([tick - 0.5 for tick in range(8)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0, labelcolor=_INK)
    axes.spines[:].set_visible(False)


def _write(
    figure: "Figure",
    x: float,
    y: float,
    parts: Sequence[str],
    end: float = 1 - _EDGE,
    **style: Any,  # noqa: ANN401  matplotlib's
) -> float:
    """Write as many parts of a text as fit before `end`; return where it ends.

    All positions are shares of the picture's size. A $ in the text does not start a formula.
    """
    text = figure.text(
        x, y, "".join(parts), va="center", parse_math=False, **{"color": _INK, "size": 11, **style}
    )
    for count in range(len(parts), -1, -1):
        text.set_text("".join(parts[:count]))
        right = float(text.get_window_extent().x1 / figure.bbox.x1)
        if right <= end:
            break
    return right
