"""Draw the picture of `/stats` with matplotlib, if it is installed (extra `stats`)."""

import importlib.util
import io
import threading
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.services.statistics import PersonStatistics, Statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PEOPLE = 8
"""People in a picture; the text below it has the words of the others."""
_COLOURS = ("#2f6fb2", "#d1603d", "#3a8f63", "#8f5aa8", "#b8860b", "#4a9aa5", "#c0508a", "#6b7280")
_INK = "#1f2933"
_WIDTH, _DPI = 6.4, 160  # inches, dots per inch: 1,024 pixels wide
_LINE = 0.34  # inches for a line of words
_MAX_NAME = 18  # characters
_CHARACTER = 0.0165  # width of a character, as a share of the picture's width
_lock = threading.Lock()  # matplotlib's font cache is not thread-safe


@dataclass(frozen=True, slots=True)
class PictureTexts:
    """The words of a picture: its two headings, and the short names of weekdays from Monday."""

    hours: str
    words: str
    weekdays: tuple[str, ...]


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_statistics(statistics: Statistics, texts: PictureTexts) -> bytes:
    """Return the picture as PNG, with the words of `list_drawn_people`.

    This takes about a second; call it in a thread.
    """
    from matplotlib.figure import Figure

    with _lock:
        drawn = list_drawn_people(statistics)
        left = 0.07 + _CHARACTER * max((min(len(name), _MAX_NAME) for name in drawn), default=0)
        shown = [
            (one.name, _fit_words(one, 0.97 - left))
            for one in statistics.people
            if one.name in drawn
        ]
        height = 2.9 + (0.55 + _LINE * len(shown) if shown else 0)
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
        top = 1 - 0.5 / height
        heat_map = figure.add_axes((0.1, top - 2.0 / height, 0.87, 2.0 / height))
        _draw_hours(heat_map, statistics, texts)
        _write(figure, 0.03, 1 - 0.28 / height, texts.hours, size=13, weight="bold")
        if shown:
            start = 1 - 3.1 / height
            _write(figure, 0.03, start, texts.words, size=13, weight="bold")
            for place, (name, words) in enumerate(shown):
                y = start - (0.42 + _LINE * place) / height
                colour = _COLOURS[place % len(_COLOURS)]
                label = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
                _write(figure, 0.03, y, label, size=11, weight="bold", color=colour)
                _write(figure, left, y, "  ".join(words), size=11)
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        return stream.getvalue()


def list_drawn_people(statistics: Statistics) -> list[str]:
    """Return the people whose words are in the picture: matplotlib's font has their characters."""
    return [
        person.name
        for person in statistics.people
        if person.words and is_drawable(person.name) and all(map(is_drawable, person.words))
    ][:MAX_PEOPLE]


def is_drawable(text: str) -> bool:
    """Whether matplotlib's own font has all characters, from left to right, of a text."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    return all(
        font.get_char_index(ord(char))
        and unicodedata.bidirectional(char) not in {"R", "AL"}
        and not unicodedata.combining(char)
        for char in text
    )


def _fit_words(person: PersonStatistics, width: float) -> list[str]:
    """Return the first words of a person that fit on a line, given its share of the width."""
    fitting: list[str] = []
    left = width / _CHARACTER
    for word in person.words:
        left -= len(word) + 1
        if left < 0:
            break
        fitting.append(word)
    return fitting


def _draw_hours(axes: "Axes", statistics: Statistics, texts: PictureTexts) -> None:
    axes.imshow(statistics.hours, cmap="Blues", aspect="auto", vmin=0)
    axes.set_yticks(range(7), texts.weekdays, fontsize=10, color=_INK)
    axes.set_xticks(range(0, 24, 3), [f"{hour} h" for hour in range(0, 24, 3)], fontsize=10)
    axes.set_xticks([place - 0.5 for place in range(25)], minor=True)
    axes.set_yticks([place - 0.5 for place in range(8)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0, labelcolor=_INK)
    axes.spines[:].set_visible(False)


def _write(figure: Any, x: float, y: float, text: str, **style: Any) -> None:  # noqa: ANN401  matplotlib's
    """Write text that is never read as a formula, although it may contain $."""
    figure.text(x, y, text, va="center", parse_math=False, **{"color": _INK, **style})
