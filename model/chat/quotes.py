"""Remove quoted and copied words of other people from a message."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from model.chat.names import fold

MAX_LABEL = 80
"""Characters of a line within which a name must end; Telegram's longest names fit."""

_QUOTED = re.compile(r"\s*>+(?:\s|$|[^\W_](?!<))")
"""A quotation mark as in mail, but not the faces `>_<`, `>:(` and `>o<`."""
_BEFORE_NAME = re.compile(r"[\s>@•*–—\"“«'-]*(?:\[[^\[\]\n]{1,40}\][ \t]*)?")
_AFTER_NAME = re.compile(r"\s*[:：]|, \[")
"""The end of a name before copied words: a colon, or the date that Telegram's apps write."""


def strip_quotes(text: str) -> str:
    """Return text without the lines that begin with a quotation mark as in mail, such as `> hi`."""
    if ">" not in text:
        return text
    return "\n".join(line for line in text.split("\n") if not _QUOTED.match(line))


def strip_copies(text: str, labels: Mapping[str, bool]) -> str:
    """Return text without copied messages of people whose words must not be used.

    `labels` maps the folded names that may precede copied words to whether these words are removed.
    `Eva: words` is removed with the following lines, up to an empty line or another name.
    """
    if not labels or not any(sign in text for sign in (":", "：", ", [")):
        return text
    kept, is_copy = [], False
    for line in text.split("\n"):
        if not line.strip():
            is_copy = False
        elif (known := labels.get(_label(line))) is not None:
            is_copy = known
        if not is_copy:
            kept.append(line)
    return "\n".join(kept)


def build_copy_labels(names: Iterable[tuple[Iterable[str], bool]]) -> dict[str, bool]:
    """Return the labels of people's names, each with whether their words must be removed.

    A first name counts too. If two people share a label, it is enough that one's words must be.
    """
    found: dict[str, bool] = {}
    for called, is_excluded in names:
        for label in _labels(called):
            found[label] = found.get(label, False) or is_excluded
    return found if any(found.values()) else {}


def _labels(called: Iterable[str]) -> Iterator[str]:
    for name in called:
        if words := fold(name).split():
            yield " ".join(words)
            yield next((word for word in words if any(map(str.isalpha, word))), words[0])


def _label(line: str) -> str:
    """Return the folded name at the start of a line, before a colon or a date, or ""."""
    start = _BEFORE_NAME.match(line)
    at = start.end() if start else 0
    end = _AFTER_NAME.search(line, at, at + MAX_LABEL)
    return _folded(line[at : end.start()]) if end else ""


@lru_cache(4096)
def _folded(name: str) -> str:
    """Return a folded name with single spaces; plain ASCII only needs lower case."""
    is_plain = name.isascii() and name.isprintable()
    return " ".join((name.casefold() if is_plain else fold(name)).split())


def clear_cache() -> None:
    """Drop the cached names, which are parts of messages."""
    _folded.cache_clear()
