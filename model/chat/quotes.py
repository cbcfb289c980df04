"""Remove quoted and copied words of other people from a message."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from model.chat.names import fold

MAX_LABEL = 80
"""Maximum characters of a line before the end of a name; Telegram's longest names fit."""

_QUOTED = re.compile(r"\s*>+(?:\s|$|[^\W_](?!<))")
"""A quotation mark as in e-mail, but not the faces `>_<`, `>:(` and `>o<`."""
_BEFORE_NAME = re.compile(r"[\s>@•*–—\"“«'-]*(?:\[[^\[\]\n]{1,40}\][ \t]*)?")
_AFTER_NAME = re.compile(r"\s*[:：]|, \[")
"""The end of a name before copied words: a colon, or the date that Telegram's apps write."""


def strip_quotes(text: str) -> str:
    """Return text without lines that start with a quotation mark as in e-mail, such as `> hi`."""
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
        elif (is_excluded := labels.get(_find_label(line))) is not None:
            is_copy = is_excluded
        if not is_copy:
            kept.append(line)
    return "\n".join(kept)


def build_copy_labels(people: Iterable[tuple[Iterable[str], bool]]) -> dict[str, bool]:
    """Return the labels for `strip_copies` from each person's names and whether to remove copies.

    A first name counts too. If several people share a label, copies under it are removed if those
    of any of them must be. The result is empty if no copies must be removed.
    """
    labels: dict[str, bool] = {}
    for names, is_excluded in people:
        for name in names:
            if words := fold(name).split():
                first = next((word for word in words if any(map(str.isalpha, word))), words[0])
                for label in (" ".join(words), first):
                    labels[label] = labels.get(label, False) or is_excluded
    return labels if any(labels.values()) else {}


def clear_cache() -> None:
    """Drop the cached names, which are parts of messages."""
    _fold_name.cache_clear()


def _find_label(line: str) -> str:
    """Return the folded name at the start of a line, before a colon or a date, or ""."""
    start = _BEFORE_NAME.match(line)
    at = start.end() if start else 0
    end = _AFTER_NAME.search(line, at, at + MAX_LABEL)
    return _fold_name(line[at : end.start()]) if end else ""


@lru_cache(4096)
def _fold_name(name: str) -> str:
    """Return a folded name with single spaces; plain ASCII only needs lower case."""
    is_plain = name.isascii() and name.isprintable()
    return " ".join((name.casefold() if is_plain else fold(name)).split())
