"""Compare a new version with the current one: what the gate prints and a receipt keeps."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from pipeline.terminal import shown, table


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric of the new version and of the current one.

    `low` and `high` are the 95 % interval of the difference, new minus current. `chance` is the
    expected value of a random guess. `fault` says why the metric prevents promotion, if it does;
    `is_uncertain` says that chance may explain the fault.
    """

    metric: str
    new: float
    current: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    fault: str | None = None
    is_uncertain: bool = False


def tabulate_comparisons(comparisons: Iterable[Comparison], new: str, current: str | None) -> Table:
    """Return a table of a new version's metrics next to those of the current one, if any."""
    comparisons = list(comparisons)
    columns = [current.split("-")[0], "difference (95 %)"] if current else []
    is_worse = any(comparison.fault for comparison in comparisons)
    rows = table("", new.split("-", maxsplit=1)[0], *columns, "chance", *([""] if is_worse else []))
    for one in comparisons:
        cells = [shown(one.new)]
        if current:
            difference = ""
            if one.current is not None and one.low is not None and one.high is not None:
                difference = f"{one.new - one.current:+.2f} ({one.low:+.2f} {one.high:+.2f})"
            cells += [shown(one.current), difference]
        cells.append(shown(one.chance))
        if is_worse:
            cells.append("worse" if one.fault else "")
        rows.add_row(Text(one.metric), *cells)
    return rows
