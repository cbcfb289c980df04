"""Represent held-out turns, answers to them, and their lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """A real turn after a rendered context; `seen` if training has it word for word.

    `session` is the number of its conversation.
    """

    voice: str
    context: tuple[str, ...]
    messages: tuple[str, ...]
    seen: bool = False
    session: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply in place of a real turn; without messages if the model produced none.

    It counts as a reply of the turn's voice, even if another voice was asked for.
    """

    asked: Turn
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line and the voice that it should sound like."""

    voice: str
    text: str


def map_to_next_voice(names: Sequence[str]) -> dict[str, str]:
    """Map each name to the next one, and the last to the first."""
    return dict(zip(names, [*names[1:], *names[:1]], strict=True))


def make_real_answers(turns: Iterable[Turn]) -> list[Answer]:
    """Return the real turns as answers, as a perfect model would give them."""
    return [Answer(turn, turn.messages) for turn in turns]


def list_lines(answers: Iterable[Answer]) -> list[Line]:
    """Return the lines of answers."""
    return [Line(answer.asked.voice, text) for answer in answers for text in answer.messages]
