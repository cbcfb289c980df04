"""Tables in the terminal, for 80 columns."""

from rich.console import JustifyMethod
from rich.table import Table


def table(*headings: str, plain: bool = False, first: JustifyMethod = "left") -> Table:
    """Return an empty table; `plain` ones have no heading line, and words in each column."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=not plain)
    for number, heading in enumerate(headings):
        is_words = plain or heading in {"id", "chat"} or "," in heading
        justify: JustifyMethod = "left" if is_words else "right"
        made.add_column(heading, justify=justify if number else first, overflow="fold")
    return made
