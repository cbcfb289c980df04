"""Tables in the terminal, for 80 columns."""

from collections.abc import Collection

from rich.console import JustifyMethod
from rich.table import Table


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


def nats_note(replies: int) -> str:
    """Return the note below a table of losses; `replies` is 0 if the number is unknown."""
    which = f"{replies:,} held-out replies" if replies else "replies it never saw"
    return f"  in nats a character on {which}; lower is better"


def shown(figure: float | None) -> str:
    """Return a figure as a table has it: counts whole, shares to the third digit."""
    if figure is None:
        return ""
    return f"{figure:.3f}" if isinstance(figure, float) else f"{figure:,}"
