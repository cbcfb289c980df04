"""Write doubtful pairs to a CSV file for review, and read which ones to remove."""

import csv
import io
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from model.errors import DatasetError, describe_error
from model.files import make_folder, open_unnamed, place_in_errors, write_text
from pipeline.dataset.pairs import Pair, find_doubts

_COLUMNS = ("remove", "pair", "date", "why", "voice", "context", "target")
_SHOWN = 2  # lines of context
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ID = re.compile(r"-?\d+/-?\d+")
_PREFIX = "pair "  # without it a spreadsheet takes an id such as -5/2 for a formula


@dataclass(slots=True)
class Review:
    """The ids of the pairs to remove, and the rows of the review table if it `is_wanted`."""

    removed: frozenset[str]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    removed_count: int = 0
    is_wanted: bool = True

    def passes(self, pair: Pair) -> bool:
        """Add a pair to the table if it is doubtful; return whether it stays in the dataset."""
        is_removed = pair.id in self.removed
        self.removed_count += is_removed
        if self.is_wanted:
            doubts = find_doubts(pair.context, pair.target)
            if is_removed or doubts:
                self.rows.append(_to_row(pair, doubts, is_removed=is_removed))
        return not is_removed


def read_removed(table: Path | None, earlier_list: Path) -> frozenset[str]:
    """Return the ids of the pairs to remove, from a review table and an earlier dataset's list.

    For pairs in the table, the table decides.

    Raises:
        DatasetError: The table is not a review table.
    """
    earlier: frozenset[str] = frozenset()
    if earlier_list.is_file():
        earlier = frozenset(earlier_list.read_text("utf-8", errors="replace").split())
    if table is None or not table.exists():
        return earlier
    try:
        shown = _read_table(table)
    except (OSError, ValueError, AttributeError, csv.Error) as error:
        raise DatasetError(
            f"{table} was not written by `build --review` ({describe_error(error)}): "
            "choose another file, or delete it"
        ) from error
    return (earlier - shown.keys()) | {pair for pair, is_removed in shown.items() if is_removed}


def check_writable(table: Path) -> None:
    """Check that a table can be written.

    Raises:
        OSError: It cannot be written.
    """
    with place_in_errors(table):
        open_unnamed(make_folder(Path(os.path.realpath(table)).parent)).close()


def write_review(table: Path, review: Review) -> None:
    """Write the table, readable only by its owner, in UTF-8 that spreadsheets recognise."""
    make_folder(Path(os.path.realpath(table)).parent)
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)  # some spreadsheets also split at semicolons
    writer.writerow(_COLUMNS)
    writer.writerows(review.rows)
    write_text(table, "\ufeff" + text.getvalue())


def write_removed(path: Path, removed: Collection[str]) -> None:
    """Write the ids of removed pairs, one per line."""
    write_text(path, "".join(f"{pair}\n" for pair in sorted(removed)))


def _read_table(table: Path) -> dict[str, bool]:
    """Return for each pair in a table, by id, whether it is marked for removal.

    Depending on their language, spreadsheets save the table with semicolons and in another
    encoding. Ids and marks do not depend on the encoding.
    """
    text = table.read_text("utf-8-sig", "replace")
    semicolons = ";" in text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if semicolons else ",")
    if rows.fieldnames and not {"remove", "pair"}.issubset(rows.fieldnames):
        raise ValueError("it has no columns `remove` and `pair`")
    shown = {row["pair"].removeprefix(_PREFIX): bool(row["remove"].strip()) for row in rows}
    return {pair: is_removed for pair, is_removed in shown.items() if _ID.fullmatch(pair)}


def _to_row(pair: Pair, doubts: Iterable[str], *, is_removed: bool) -> tuple[str, ...]:
    return (
        "x" if is_removed else "",
        f"{_PREFIX}{pair.id}",
        f"{pair.sent_at:%Y-%m-%d %H:%M}",
        ", ".join(doubts),
        *map(_cell, (pair.voice, "\n".join(pair.context[-_SHOWN:]), "\n".join(pair.target))),
    )


def _cell(text: str) -> str:
    """Return a text that spreadsheets do not take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
