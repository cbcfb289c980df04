"""Normalise names, make text printable, and find the voice that a text names."""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from model.errors import VoiceError

if TYPE_CHECKING:
    from model.chat.roster import Person  # which imports this module


MAX_NAME = 40
"""Maximum characters of a name in prompts, where it starts each of its owner's lines."""

UNKNOWN_NAME = "somebody"
"""Name in prompts of an author whose name is unknown or private."""

ANYONE_WORDS = frozenset({"anyone", "anybody", "alguem", "qualquer"})
"""Words after `/as`, folded, with which the model chooses who speaks."""

MAX_SHOWN_NAME = 80
"""Maximum characters of a name that is shown to a user."""

JOINERS = "\u200c\u200d"
"""Invisible characters that Persian and Hindi names, and emoji, need."""

_NOT_PRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_FORBIDDEN = re.compile(r"[\s:\[\]\u2581🎭]+")
_LETTER_FORM = re.compile(
    r"LATIN (?:SMALL LETTER|LETTER SMALL CAPITAL) (?:DOTLESS )?([A-Z])(?: WITH .+)?"
)
_NAME_ENDS = " ,:\n\t"
_MAX_SUGGESTIONS = 3
_MAX_SUGGESTION_WORDS = 5
_MIN_SIMILARITY = 0.6  # difflib's default cut-off for close matches


def clean_name(name: str) -> str:
    """Return a name that can start a prompt's line: without colons, brackets and line breaks.

    Joiners, which Persian and Hindi names need, stay; other invisible characters are removed.
    """
    seen = "".join(c for c in name if c in JOINERS or c.isspace() or not _is_invisible(c))
    # Cut first: Unicode normalisation takes quadratic time on a row of accents.
    bare = _FORBIDDEN.sub(" ", seen).strip()[: 4 * MAX_NAME]
    cut = unicodedata.normalize("NFC", bare)[:MAX_NAME].strip()
    return cut if fold(cut) else UNKNOWN_NAME


def fold(text: str) -> str:
    """Return text without case, accents and invisible characters, for comparing names."""
    if text.isascii() and text.isprintable():
        return text.lower().strip()
    return "".join(map(_fold_character, text)).strip()


def make_printable(text: str) -> str:
    """Return text on one line, without control characters and changes of direction.

    Line breaks and tabs become spaces. Joiners and selectors stay: emoji and Persian need them.
    """
    return "".join(
        c if c in JOINERS or unicodedata.category(c) not in _NOT_PRINTABLE else " " * c.isspace()
        for c in text
    )


def make_printable_lines(text: str) -> str:
    """Apply `make_printable` to each line of a text."""
    return "\n".join(map(make_printable, text.split("\n")))


def make_json_printable(value: Any) -> Any:  # noqa: ANN401  JSON's border
    """Apply `make_printable` to all texts and keys in a JSON value."""
    if isinstance(value, str):
        return make_printable(value)
    if isinstance(value, list):
        return [make_json_printable(item) for item in value]
    if isinstance(value, dict):
        return {make_printable(key): make_json_printable(item) for key, item in value.items()}
    return value


def make_printable_name(name: str) -> str:
    """Return the name of a chat or a person, safe to show: on one line and not too long."""
    words = " ".join(make_printable(name[: 4 * MAX_SHOWN_NAME]).split())
    return words if len(words) <= MAX_SHOWN_NAME else f"{words[:MAX_SHOWN_NAME].rstrip()}…"


def escape_control_characters(text: str) -> str:
    r"""Return JSON with the characters that `make_printable` removes escaped as `\u202e`.

    Line breaks stay: in JSON they occur only between values.
    """

    def escape(character: str) -> str:
        if character == "\n" or character in JOINERS:
            return character
        if unicodedata.category(character) not in _NOT_PRINTABLE:
            return character
        pairs = character.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{pairs[at : at + 2].hex()}" for at in range(0, len(pairs), 2))

    return "".join(map(escape, text))


class VoiceMatcher:
    """Matches the start of a text with the names of people; indexes the names once.

    The longest name or alias wins, ignoring case and accents; a first name counts if only one
    person has it. A name ends at a space, a comma, a colon or the end. An alias or first name that
    is also another person's name in Telegram belongs to both.
    """

    def __init__(self, people: Iterable["Person"]) -> None:
        self._owners: dict[str, list[Person]] = {}
        for label, person in _list_labels(list(people)):
            owners = self._owners.setdefault(label, [])
            if person not in owners:
                owners.append(person)
        self._longest = max(map(len, self._owners), default=0)

    def match(self, text: str) -> tuple["Person", str] | None:
        """Return the person whose name starts a text, and the words after it; or None.

        If several people have this name, return the one whose name in prompts it is, or None.
        """
        label, rest = self._find_label(text)
        owners = self._owners.get(label, [])
        if len(owners) == 1 or (owners and fold(owners[0].name) == label):
            return owners[0], rest
        return None

    def match_all(self, text: str) -> list["Person"]:
        """Return everybody who has the name that starts a text."""
        return self._owners.get(self._find_label(text)[0], [])

    def _find_label(self, text: str) -> tuple[str, str]:
        """Return the longest name that starts a text, folded, and the words after it.

        It reads only as many characters as the longest name has.
        """
        words = text.strip()
        best = ("", 0)
        read = ""
        for at, character in enumerate(words[: 4 * self._longest], 1):
            read += _fold_character(character)
            label = read.strip()
            if len(label) > self._longest:
                break
            if at < len(words) and words[at] not in _NAME_ENDS:
                continue
            if len(label) > len(best[0]) and label in self._owners:
                best = (label, at)
        return best[0], words[best[1] :].lstrip(_NAME_ENDS)


def find_voice(name: str, people: Iterable["Person"]) -> "Person":
    """Return the person with exactly this name, alias or unique first name.

    Raises:
        VoiceError: There is none; the message suggests similar names.
    """
    everybody = list(people)
    found = VoiceMatcher(everybody).match(name)
    if found and not found[1]:
        return found[0]
    similar = find_similar_names(name, everybody)
    if similar:
        hint = f"did you mean {' or '.join(similar)}?"
    elif everybody:
        hint = f"the voices are {', '.join(person.name for person in everybody)}"
    else:
        hint = "there are no voices"
    raise VoiceError(f"no voice is called {name!r}: {hint}")


def find_similar_names(text: str, people: Iterable["Person"]) -> list[str]:
    """Return at most three names that are similar to the start of a text, best first."""
    words = fold(text[: 2 * MAX_NAME]).split()[:_MAX_SUGGESTION_WORDS]  # a message may be long
    if not words:
        return []
    starts = [" ".join(words[:n]) for n in range(1, len(words) + 1)]
    similarities: dict[str, float] = {}
    for label, person in _list_labels(list(people)):
        best = max(_compute_similarity(start, label) for start in starts)
        similarities[person.name] = max(best, similarities.get(person.name, 0.0))
    similar = [name for name, similarity in similarities.items() if similarity >= _MIN_SIMILARITY]
    return sorted(similar, key=lambda name: -similarities[name])[:_MAX_SUGGESTIONS]


def _compute_similarity(text: str, label: str) -> float:
    """Return 0 to 1; 1 if the text is the start of the label, or its first word."""
    if label.startswith(text) or text == label.split(" ", maxsplit=1)[0]:
        return 1.0
    if 2 * min(len(text), len(label)) < _MIN_SIMILARITY * (len(text) + len(label)):
        return 0.0  # these lengths cannot reach the minimum, and the ratio takes 100 times as long
    matcher = difflib.SequenceMatcher(None, text, label)
    return matcher.ratio() if matcher.quick_ratio() >= _MIN_SIMILARITY else 0.0


def _list_labels(people: list["Person"]) -> list[tuple[str, "Person"]]:
    """Return every folded name, then aliases, then the first names that only one person has.

    Then these names again for each other person whom Telegram showed under them. Names in prompts
    are repeated for the last shown name only: anybody may have joked with a friend's name once.
    Words with which the model chooses who speaks are left out.
    """
    names = {fold(person.name) for person in people}
    labels = [(fold(person.name), person) for person in people]
    labels += [(fold(alias), person) for person in people for alias in person.aliases]
    by_first_name: dict[str, list[Person]] = defaultdict(list)
    for person in people:
        by_first_name[fold(person.name).split(" ")[0]].append(person)
    taken = {label for label, _ in labels}
    labels += [
        (first, owners[0])
        for first, owners in by_first_name.items()
        if len(owners) == 1 and first not in taken
    ]
    others = {label for label, _ in labels} - names
    for person in people:
        shown = [fold(clean_name(name)) for name in person.names]
        shared = {*others.intersection(shown), *names.intersection(shown[-1:])}
        labels += [(label, person) for label in shared]
    return [(label, person) for label, person in labels if label and label not in ANYONE_WORDS]


@lru_cache(1 << 14)
def _fold_character(character: str) -> str:
    # One character at a time: folding a whole text would only reorder accents, which are removed.
    if _is_invisible(character) and not character.isspace():
        return ""
    decomposed = unicodedata.normalize("NFKD", character.casefold())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return "".join(map(_find_base_letter, bare.casefold()))  # of "𝓔", decomposition makes "E"


def _find_base_letter(character: str) -> str:
    """Return the letter of which this is a form without decomposition, as "ł" is of "l"."""
    found = _LETTER_FORM.fullmatch(unicodedata.name(character, ""))
    return found[1].lower() if found else character


def _is_invisible(character: str) -> bool:
    """Whether this is a control, format or surrogate character, or a variation selector."""
    is_selector = "\ufe00" <= character <= "\ufe0f"
    return is_selector or unicodedata.category(character) in {"Cf", "Cc", "Cs"}
