"""How an export's file is indented, told by the first beginning of a message."""

import re
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 15
"""Bytes read at once: some 75 messages. Of more at once Python's collector makes much work."""

MESSAGE = re.compile(
    rb"([ \t]*)\{[ \t]*\r?\n\1([ \t]+)\"id\": ?-?\d+,[ \t]*\r?\n"
    rb"\1\2\"type\": ?\"(?:message|service)\""
)
"""How a message begins, from its line's start."""

AHEAD = 512
"""Bytes that hold what MESSAGE looks for."""

_AT_A_LINE = re.compile(rb"\n" + MESSAGE.pattern)
_ONE_CHAT, _ACCOUNT = 2, 5  # levels of a message's opening brace


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is indented: by `unit` a level, its messages `level` levels deep."""

    unit: bytes
    level: int

    def line(self, above: int) -> bytes:
        """Return how a line begins that stands so many levels above the messages."""
        return self.unit * (self.level - above)


def layout_of(path: Path) -> Layout | None:
    """Return a file's layout, None where it is not indented as Telegram Desktop does it.

    Any width will do: programs that save a file again with another one keep the shape. The first
    whole beginning of a message tells it, so no one damaged byte can hide it.
    """
    with path.open("rb") as file:
        text = file.read(CHUNK)
        while text:
            for found in _AT_A_LINE.finditer(text):
                for level in (_ONE_CHAT, _ACCOUNT):
                    if found[1] == found[2] * level:
                        return Layout(found[2], level)
            more = file.read(CHUNK)
            text = text[-AHEAD:] + more if more else b""
    return None
