"""One finding of a check."""

import textwrap
from dataclasses import dataclass
from enum import Enum

COLUMNS = 80
_INDENT = " " * 7


class Verdict(Enum):
    """Whether a thing is as it should be; NOTE where only a person can know."""

    OK = "ok"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, how it is, and what there is to say."""

    about: str
    verdict: Verdict
    says: str

    def __str__(self) -> str:
        """Return it in lines of 80 columns; a path or an address is never cut."""
        return textwrap.fill(
            f"{self.verdict.value:<5}  {self.about}: {self.says}",
            COLUMNS,
            subsequent_indent=_INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )


def ok(about: str, says: str) -> Finding:
    """Return that a thing is as it should be."""
    return Finding(about, Verdict.OK, says)


def note(about: str, says: str) -> Finding:
    """Return what a person has to judge."""
    return Finding(about, Verdict.NOTE, says)


def wrong(about: str, says: str) -> Finding:
    """Return what has to be mended."""
    return Finding(about, Verdict.WRONG, says)
