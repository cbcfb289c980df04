"""Normalise names, and make text printable."""

import re
import unicodedata
from functools import lru_cache
from typing import Any

MAX_NAME = 40
"""Maximum characters of a name in prompts, where it starts each of its owner's lines."""

UNKNOWN_NAME = "somebody"
"""Name in prompts of an author whose name is unknown or private."""

ANYONE_WORDS = frozenset({"anyone", "anybody", "alguem", "qualquer"})
"""Words after `/as`, folded, that let the model choose who speaks."""

MAX_SHOWN_NAME = 80
"""Maximum characters of a name that is shown to a user."""

JOINERS = "\u200c\u200d"
"""Invisible characters that Persian and Hindi names, and emoji, need."""

_NOT_PRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_FORBIDDEN = re.compile(r"[\s:\[\]\u2581🎭]+")
_LETTER_FORM = re.compile(
    r"LATIN (?:SMALL LETTER|LETTER SMALL CAPITAL) (?:DOTLESS )?([A-Z])(?: WITH .+)?"
)


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
    return "".join(map(fold_character, text)).strip()


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


@lru_cache(1 << 14)
def fold_character(character: str) -> str:
    """Return a character without case or accents, "" if it is invisible."""
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
