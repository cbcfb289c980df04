"""Normalise names and find the voice that a text names."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

from model.errors import VoiceError

MAX_NAME = 40
"""A longer name is cut: each of its owner's lines in a prompt begins with it."""

UNKNOWN_NAME = "somebody"
"""What a prompt calls an author whose name is unknown, or nobody's to read."""

MAX_SHOWN_NAME = 80
"""A longer name is shortened when it is shown."""

JOINERS = "\u200c\u200d"
"""Invisible characters that Persian and Hindi names, and emoji, need."""

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_FORBIDDEN = re.compile(r"[\s:\[\]\u2581🎭]+")
_SUGGESTIONS = 3
_MOST_WORDS = 5
_ALIKE = 0.6  # difflib's own cut-off for close matches
_NAME_ENDS = " ,:\n\t"


class HasNames(Protocol):
    """Whoever has a name and may have others."""

    @property
    def name(self) -> str:
        """Return what prompts call them."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Return what else they may be called after `/as`."""


PersonT = TypeVar("PersonT", bound=HasNames)


def clean_name(name: str) -> str:
    """Return a name that can begin a prompt's line: no colon, bracket or line break in it.

    Joiners, which Persian and Hindi names need, stay; other invisible characters go.
    """
    seen = "".join(c for c in name if c in JOINERS or c.isspace() or not is_invisible(c))
    # Cut first: Unicode normalisation takes quadratic time on a row of accents.
    bare = _FORBIDDEN.sub(" ", seen).strip()[: 4 * MAX_NAME]
    cut = unicodedata.normalize("NFC", bare)[:MAX_NAME].strip()
    return cut if fold(cut) else UNKNOWN_NAME


def fold(text: str) -> str:
    """Return text without case, accents and invisible characters, for comparing names."""
    if text.isascii() and text.isprintable():
        return text.lower().strip()
    return "".join(map(_fold_character, text)).strip()


@lru_cache(1 << 14)
def _fold_character(character: str) -> str:
    # One character at a time: folding a whole text would only reorder accents, which are removed.
    if is_invisible(character) and not character.isspace():
        return ""
    decomposed = unicodedata.normalize("NFKD", character.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def make_printable(text: str) -> str:
    """Return text on one line, without control characters and changes of direction.

    Line breaks and tabs become spaces. Joiners and selectors stay: emoji and Persian need them.
    """
    return "".join(
        c if c in JOINERS or unicodedata.category(c) not in _UNSEEN else " " * c.isspace()
        for c in text
    )


def make_printable_lines(text: str) -> str:
    """Return text of several lines with `make_printable` applied to each."""
    return "\n".join(map(make_printable, text.split("\n")))


def make_printable_name(name: str) -> str:
    """Return the name of a chat or a person, safe to show: on one line and not too long."""
    words = " ".join(make_printable(name[: 4 * MAX_SHOWN_NAME]).split())
    return words if len(words) <= MAX_SHOWN_NAME else f"{words[:MAX_SHOWN_NAME].rstrip()}…"


def escape_control_characters(text: str) -> str:
    r"""Return JSON with the characters that `make_printable` removes escaped as `\u202e`.

    Line breaks stay: in JSON they occur only between values.
    """
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character == "\n" or character in JOINERS:
        return character
    if unicodedata.category(character) not in _UNSEEN:
        return character
    pairs = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pairs[at : at + 2].hex()}" for at in range(0, len(pairs), 2))


def is_invisible(character: str) -> bool:
    """Whether this is a control, format or surrogate character, or selects a variation."""
    is_selector = "\ufe00" <= character <= "\ufe0f"
    return is_selector or unicodedata.category(character) in {"Cf", "Cc", "Cs"}


class VoiceMatcher(Generic[PersonT]):
    """The names that may follow `/as`, indexed once for the people of a roster.

    The longest name or alias wins, ignoring case and accents; a first name counts if only one
    person has it. A name ends at a space, a comma, a colon or the end.
    """

    def __init__(self, people: Iterable[PersonT]) -> None:
        self._owners: dict[str, PersonT] = {}
        for label, person in _labels(list(people)):
            self._owners.setdefault(label, person)
        self._longest = max(map(len, self._owners), default=0)

    def match(self, said: str) -> tuple[PersonT, str] | None:
        """Return the person whose name begins `said`, and the words after it; None if no name does.

        It reads only as many characters as the longest name has.
        """
        words = said.strip()
        best: tuple[PersonT, int] | None = None
        read, longest = "", 0
        for at, character in enumerate(words[: 4 * self._longest], 1):
            read += _fold_character(character)
            label = read.strip()
            if len(label) > self._longest:
                break
            if at < len(words) and words[at] not in _NAME_ENDS:
                continue
            if len(label) > longest and (person := self._owners.get(label)):
                best, longest = (person, at), len(label)
        return (best[0], words[best[1] :].lstrip(_NAME_ENDS)) if best else None


def match_voice(said: str, people: Iterable[PersonT]) -> tuple[PersonT, str] | None:
    """Return the person whose name begins `said`, and the words after it; see `VoiceMatcher`."""
    return VoiceMatcher(people).match(said)


def find_voice(said: str, people: Iterable[PersonT]) -> PersonT:
    """Return the person called exactly `said`.

    Raises:
        VoiceError: Nobody is; the text names the nearest.
    """
    everybody = list(people)
    found = match_voice(said, everybody)
    if found and not found[1]:
        return found[0]
    near = find_similar_names(said, everybody)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there is {_listed(everybody)}"
    raise VoiceError(f"no voice is called {said!r}: {hint}")


def find_similar_names(said: str, people: Iterable[HasNames]) -> list[str]:
    """Return the names most like the beginning of `said`, best first, at most three."""
    words = fold(said[: 2 * MAX_NAME]).split()[:_MOST_WORDS]  # anybody may send 4,096 characters
    if not words:
        return []
    tries = [" ".join(words[:n]) for n in range(1, len(words) + 1)]
    likeness: dict[str, float] = {}
    for name, person in _labels(list(people)):
        best = max(_likeness(attempt, name) for attempt in tries)
        likeness[person.name] = max(best, likeness.get(person.name, 0.0))
    near = [name for name, ratio in likeness.items() if ratio >= _ALIKE]
    return sorted(near, key=lambda name: -likeness[name])[:_SUGGESTIONS]


def _likeness(said: str, name: str) -> float:
    """Return 0 to 1; a beginning of the name, or its first word, is as like as can be."""
    if name.startswith(said) or said == name.split(" ", maxsplit=1)[0]:
        return 1.0
    if 2 * min(len(said), len(name)) < _ALIKE * (len(said) + len(name)):
        return 0.0  # such lengths cannot reach it, and the ratio takes 100 times as long
    matcher = difflib.SequenceMatcher(None, said, name)
    return matcher.ratio() if matcher.quick_ratio() >= _ALIKE else 0.0


def _listed(people: Iterable[HasNames]) -> str:
    return ", ".join(person.name for person in people) or "nobody"


def _labels(people: list[PersonT]) -> list[tuple[str, PersonT]]:
    """Return every folded name and alias, and the first names that only one person has."""
    labels = [
        (fold(label), person) for person in people for label in (person.name, *person.aliases)
    ]
    firsts: dict[str, list[PersonT]] = {}
    for person in people:
        firsts.setdefault(fold(person.name).split(" ")[0], []).append(person)
    taken = {label for label, _ in labels}
    alone = [(f, owners[0]) for f, owners in firsts.items() if len(owners) == 1 and f not in taken]
    return [(label, person) for label, person in labels + alone if label]
