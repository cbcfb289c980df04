"""What of a model's candidates may be said at all: no fragments, no repetition, no slips."""

import re
from collections.abc import Iterable, Sequence

from model.copying import RUN, runs, words_of
from model.eligible import is_speakable
from model.prompt import LINE_BREAK, split_line
from model.redact import private_parts

_SENTENCE_END = re.compile(r"[.!?…。！？]+(?=\s|$)")
REJECTIONS = ("empty", "brackets", "damaged", "label", "private", "opening", "repeats", "copied")
"""Reasons to reject a candidate. The last three: it lacks the required opening words, it repeats
the conversation or itself, or it repeats a training message."""

_CIRCLE = 4
"""Words in a row that come twice only where a model goes in circles."""


def is_sayable(messages: Sequence[str], names: Iterable[str]) -> bool:
    """Whether a candidate is acceptable, see `why_unsayable`."""
    return not why_unsayable(messages, names)


def why_unsayable(messages: Sequence[str], names: Iterable[str]) -> str:
    """Return which of `REJECTIONS` applies to a candidate, or "".

    It must have words, no bracket, no broken character, no private data, and no `Name:` of these
    names, which would be somebody else's line.
    """
    text = "\n".join(messages)
    if not messages or not all(map(is_speakable, messages)):
        return "brackets" if "[" in text else "empty"
    if "[" in text:
        return "brackets"
    if "\ufffd" in text:
        return "damaged"
    if ":" in text and any(_has_label(text, name) for name in names):
        return "label"
    return "private" if private_parts(text) else ""


def is_fresh(messages: Sequence[str], context: Sequence[str]) -> bool:
    """Whether a candidate neither repeats what was said nor itself.

    A short everyday line may come again, but not right after itself.
    """
    said = [_parts(split_line(line)[1].replace(LINE_BREAK, "\n")) for line in context]
    stale = [words for words in said if len(words) >= _CIRCLE] + said[-1:]
    spoken = [_parts(message) for message in messages]
    if any(words in stale or spoken.count(words) > 1 for words in spoken):
        return False
    turn = [word for words in spoken for word in words]
    heard = {run for words in said for run in runs(words, RUN)}
    return heard.isdisjoint(runs(turn, RUN)) and not _goes_in_circles(turn)


def speakers(context: Iterable[str]) -> list[str]:
    """Return the names before rendered lines, oldest first; a withheld line has none."""
    return [name for name, _ in map(split_line, context) if name is not None]


def whole_sentences(messages: tuple[str, ...]) -> tuple[str, ...]:
    """Return a turn that was cut for its length without its unfinished end, () if all of it is."""
    if not messages:
        return ()
    *whole, last = messages
    ends = [match.end() for match in _SENTENCE_END.finditer(last)]
    return (*whole, last[: ends[-1]]) if ends else tuple(whole)


def _has_label(text: str, name: str) -> bool:
    """Whether `name:` is in a text, in any case as a word, in its own at the end of one too."""
    as_word = rf"(?<!\w){re.escape(name)}\s*:"
    return f"{name}:" in text or re.search(as_word, text, re.IGNORECASE) is not None


def _parts(message: str) -> list[str]:
    """Return a message's words, or the message where it has none, such as a lone emoji."""
    return words_of(message) or [message.strip()]


def _goes_in_circles(words: Sequence[str]) -> bool:
    """Whether four words in a row come twice."""
    found = list(runs(words, _CIRCLE))
    return len(set(found)) < len(found)
