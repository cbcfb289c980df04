"""Let a person review doubtful pairs in a CSV file."""

import csv
import io
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from model.errors import DatasetError, describe_error
from model.files import make_folder, open_unnamed, place_in_errors, write_text
from pipeline.dataset.pairs import Pair

_COLUMNS = ("remove", "pair", "date", "why", "voice", "context", "target")
_SHOWN = 2  # lines of context
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ID = re.compile(r"-?\d+/-?\d+")
_PREFIX = "pair "  # a chat's id and a message's, -5/2, are a sum to a spreadsheet


@dataclass(slots=True)
class Review:
    """The pairs that stay out, by id, and the rows of the table, if a person wants to see it."""

    struck: frozenset[str]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    found: int = 0
    is_wanted: bool = True

    def passes(self, pair: Pair) -> bool:
        """Take note of a pair; return whether it stays in."""
        is_struck = pair.id in self.struck
        self.found += is_struck
        if self.is_wanted and (is_struck or pair.marks):
            self.rows.append(_row(pair, is_struck=is_struck))
        return not is_struck


def read_removed(table: Path | None, kept: Path) -> frozenset[str]:
    """Return the ids of pairs that were struck out, in the table or in an earlier dataset.

    Of a pair that the table shows, the table decides.

    Raises:
        DatasetError: The table is none of ours.
    """
    earlier = _kept(kept)
    if table is None or not table.exists():
        return earlier
    try:
        shown = _shown(table)
    except (OSError, ValueError, AttributeError, csv.Error) as error:
        raise DatasetError(
            f"{table} was not written by `build --review` "
            f"({describe_error(error)}): "
            "give another file, or delete it"
        ) from error
    return (earlier - shown.keys()) | {pair for pair, is_struck in shown.items() if is_struck}


def check_writable(table: Path) -> None:
    """Check that a table can be written.

    Raises:
        OSError: It cannot be written.
    """
    with place_in_errors(table):
        open_unnamed(make_folder(Path(os.path.realpath(table)).parent)).close()


def write_review(table: Path, review: Review) -> None:
    """Write the table, readable by its owner alone; spreadsheets read it as UTF-8."""
    make_folder(Path(os.path.realpath(table)).parent)
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)  # wherever a spreadsheet splits
    writer.writerow(_COLUMNS)
    writer.writerows(review.rows)
    write_text(table, "\ufeff" + text.getvalue())


def _kept(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    return frozenset(path.read_text("utf-8", errors="replace").split())


def write_removed(path: Path, struck: Collection[str]) -> None:
    """Write the ids of pairs that stay out, one a line."""
    write_text(path, "".join(f"{pair}\n" for pair in sorted(struck)))


def _shown(table: Path) -> dict[str, bool]:
    """Return which pairs a table shows, by id, and whether each is struck out.

    Spreadsheets save it with semicolons and in an encoding of their own, as their language has it;
    ids and marks are the same in all of them.
    """
    text = table.read_text("utf-8-sig", "replace")
    semicolons = ";" in text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if semicolons else ",")
    if rows.fieldnames and not {"remove", "pair"}.issubset(rows.fieldnames):
        raise ValueError("it has no columns remove and pair")
    shown = {row["pair"].removeprefix(_PREFIX): bool(row["remove"].strip()) for row in rows}
    return {pair: is_struck for pair, is_struck in shown.items() if _ID.fullmatch(pair)}


def _row(pair: Pair, *, is_struck: bool) -> tuple[str, ...]:
    return (
        "x" if is_struck else "",
        f"{_PREFIX}{pair.id}",
        f"{pair.sent_at:%Y-%m-%d %H:%M}",
        ", ".join(pair.marks),
        *map(_cell, (pair.voice, "\n".join(pair.context[-_SHOWN:]), "\n".join(pair.target))),
    )


def _cell(text: str) -> str:
    """Return words that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
