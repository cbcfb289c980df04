"""Tables in the terminal, for 80 columns."""

from collections.abc import Collection

from rich.console import JustifyMethod
from rich.table import Table

NATS = "  in nats a character of replies it never saw; lower is better"


def table(
    *headings: str,
    plain: bool = False,
    first: JustifyMethod = "left",
    words: Collection[str] = (),
) -> Table:
    """Return an empty table: words in its first column and those named, numbers in the others.

    `plain` ones have no heading line, and words in each column.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=not plain)
    for number, heading in enumerate(headings):
        justify: JustifyMethod = "left" if plain or heading in words else "right"
        made.add_column(heading, justify=justify if number else first, overflow="fold")
    return made


def shown(figure: float | None) -> str:
    """Return a figure as a table has it: counts whole, shares to the third digit."""
    if figure is None:
        return ""
    return f"{figure:.3f}" if isinstance(figure, float) else f"{figure:,}"
