"""Learn a long message once: models memorise what they learn several times."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from model.chat.prompt import split_line
from model.chat.words import split_words
from pipeline.dataset.pairs import Pair, SessionLine

MIN_WORDS = 6
"""Words of a long message. Shorter ones, such as "good morning", may be learned each time."""


def learn_lines_once(sessions: Iterable[Sequence[SessionLine]]) -> list[list[SessionLine]]:
    """Return sessions in which later copies of a long message are context only.

    Copies have the same words, whoever sent them.
    """
    seen: set[tuple[str, ...]] = set()
    return [
        [
            replace(line, is_target=_is_first(seen, [split_line(line.line)[1]]))
            if line.is_target
            else line
            for line in session
        ]
        for session in sessions
    ]


def learn_pairs_once(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return pairs without those whose long target is a copy of an earlier one's."""
    seen: set[tuple[str, ...]] = set()
    return tuple(pair for pair in pairs if _is_first(seen, pair.target))


def _is_first(seen: set[tuple[str, ...]], texts: Iterable[str]) -> bool:
    """Return whether these texts are short, or long and new; add them to what was seen."""
    words = tuple(word for text in texts for word in split_words(text))
    if len(words) < MIN_WORDS:
        return True
    if words in seen:
        return False
    seen.add(words)
    return True
