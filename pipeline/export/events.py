"""What a file of an export holds, one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.export.ids import is_whole
from pipeline.export.mending import Item

CUT_SHORT = "the file ends without its closing brackets: the export was interrupted"


@dataclass(frozen=True, slots=True)
class Heading:
    """A chat begins; `number` is its id as the export writes it, None where damage took it."""

    name: str | None
    kind: str | None
    number: int | None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something was wrong at a byte of the file; `is_lost` where it cost a message."""

    offset: int
    what: str
    is_lost: bool


Event = Heading | Fault | list[Item]
"""Items come in lists, as many as one read of the file held."""


def heading_of(keys: Mapping[str, Any]) -> Heading:
    """Return the heading that a chat's own keys make."""
    name, kind, number = (keys.get(key) for key in ("name", "type", "id"))
    return Heading(
        name if isinstance(name, str) else None,
        kind if isinstance(kind, str) else None,
        number if is_whole(number) else None,
    )
