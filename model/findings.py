"""Represent the result of one check and print it."""

import textwrap
from dataclasses import dataclass
from enum import Enum

COLUMNS = 80
_INDENT = " " * 7


class Severity(Enum):
    """The outcome of a check; FIX says what to do, NOTE leaves the judgement to a person."""

    OK = "ok"
    NOTE = "note"
    FIX = "FIX"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    topic: str
    severity: Severity
    text: str

    def __str__(self) -> str:
        """Return the finding in lines of 80 columns; paths and addresses are not broken."""
        return textwrap.fill(
            f"{self.severity.value:<5}  {self.topic}: {self.text}",
            COLUMNS,
            subsequent_indent=_INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )


def ok(topic: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(topic, Severity.OK, text)


def note(topic: str, text: str) -> Finding:
    """Return a finding that a person has to judge."""
    return Finding(topic, Severity.NOTE, text)


def fix(topic: str, text: str) -> Finding:
    """Return a finding that something has to be fixed."""
    return Finding(topic, Severity.FIX, text)
