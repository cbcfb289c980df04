"""What a file of an export holds, one after the other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.export.ids import is_whole
from pipeline.export.mending import Item

Told = Callable[[int], None]
"""Is told how many more bytes of a file were read."""

CUT_SHORT = "the file ends without its closing brackets: the export was interrupted"

LOST = "no message can be read here"
BRACKETS = "brackets that are damaged"


@dataclass(frozen=True, slots=True)
class Heading:
    """A chat begins; `number` is its id as the export writes it, None where damage took it."""

    name: str | None
    kind: str | None
    number: int | None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something was wrong at a byte of the file; `is_lost` where it cost a message.

    `unread` counts the bytes that could not be read.
    """

    offset: int
    what: str
    is_lost: bool
    unread: int = 0


Event = Heading | Fault | list[Item]
"""Items come in lists, as many as one read of the file held."""


def loss(offset: int, piece: bytes) -> Fault:
    """Return the fault of a piece of a list of messages in which nothing can be read."""
    if b'"' in piece:
        return Fault(offset, LOST, is_lost=True, unread=len(piece))
    unread = len(piece) if piece.strip(b"{}[], \t\r\n") else 0
    return Fault(offset, BRACKETS, is_lost=False, unread=unread)


def heading_of(keys: Mapping[str, Any]) -> Heading:
    """Return the heading that a chat's own keys make."""
    name, kind, number = (keys.get(key) for key in ("name", "type", "id"))
    return Heading(
        name if isinstance(name, str) else None,
        kind if isinstance(kind, str) else None,
        number if is_whole(number) else None,
    )
