"""What is doubtful about a target: marked, shown to a person, kept unless they strike it out."""

import re
from collections.abc import Sequence

from model.prompt import LINE_BREAK, split_line

_LINK = re.compile(r"(?:https?://|www\.|t\.me/)\S+", re.IGNORECASE)
_NUMBER = re.compile(r"[\d\s.,:/+%€$£-]*\d[\d\s.,:/+%€$£-]*")
_MANY_DIGITS = re.compile(r"(?:\d[\s.-]?){7,}")
_DIGIT = re.compile(r"\d")
_LONG = 500  # characters: the longest tenth of a thousand turns in ordinary chat
_LOUD = 20  # letters

LINK, NUMBER, DIGITS, ECHO, LONG, LOUD = (
    "lone link",
    "lone number",
    "many digits",
    "echo",
    "long",
    "capitals",
)


def doubts(context: Sequence[str], target: Sequence[str]) -> tuple[str, ...]:
    """Return why a person might not want this target, for these rendered lines of context."""
    text = "\n".join(target)
    _, last = split_line(context[-1])
    has_digit = _DIGIT.search(text) is not None
    return tuple(
        name
        for name, is_so in (
            (LINK, text[:1] in "hHwWtT" and bool(_LINK.fullmatch(text))),
            (NUMBER, has_digit and bool(_NUMBER.fullmatch(text))),
            (DIGITS, has_digit and bool(_MANY_DIGITS.search(text))),
            (ECHO, text.replace("\n", LINE_BREAK) == last),
            (LONG, len(text) > _LONG),
            (LOUD, len(text) > _LOUD and text.isupper()),
        )
        if is_so
    )
