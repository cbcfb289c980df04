"""The words that a reply is told to begin with: what of them may be put into a friend's mouth."""

from collections.abc import Iterable, Sequence

from model.errors import VoiceError
from model.marker import MASK
from model.naming import visible
from model.sayable import is_sayable

MOST_CHARACTERS = 200


class OpeningError(VoiceError):
    """No reply may begin with these words."""


def opening(words: str, names: Iterable[str]) -> str:
    """Return words as the beginning of a reply: on one line, without what nobody can see.

    Raises:
        OpeningError: They are too long, or nothing that a voice may say: they hold private data,
            a bracket, the bot's mask, or one of these names as a speaker's label.
    """
    line = " ".join(visible(" ".join(words.split())).split())
    if len(line) > MOST_CHARACTERS:
        raise OpeningError(
            f"a reply begins with {MOST_CHARACTERS} characters at most, these are {len(line)}: "
            "write fewer"
        )
    if MASK in line or not is_sayable((line,) if line else (), names):
        raise OpeningError(
            "no reply may begin with that: write words alone, without brackets, private data or "
            "a name and a colon"
        )
    return line


def is_continued(messages: Sequence[str], begins: str) -> bool:
    """Whether a turn begins with these words and goes on after them; without words any does."""
    text = "\n".join(messages)
    return not begins or (text.startswith(begins) and bool(text[len(begins) :].strip()))
