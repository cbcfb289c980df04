"""What is judged: held-out turns, the answers of an arm to the same contexts, and their lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """What a friend really said after some rendered lines; `seen` if in training word for word.

    `session` is the number of its conversation.
    """

    voice: str
    context: tuple[str, ...]
    messages: tuple[str, ...]
    seen: bool = False
    session: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What an arm said in place of a real turn; no messages where it was speechless.

    It is judged as the words of the turn's voice, whoever was asked to speak.
    """

    asked: Turn
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """One line, and whose it should be."""

    voice: str
    text: str


def next_voices(names: Sequence[str]) -> dict[str, str]:
    """Return each name with the one after it, the last one's with the first."""
    return dict(zip(names, [*names[1:], *names[:1]], strict=True))


def said_in(turns: Iterable[Turn]) -> list[Said]:
    """Return the lines of real turns."""
    return [Said(turn.voice, text) for turn in turns for text in turn.messages]


def said_by(answers: Iterable[Answer]) -> list[Said]:
    """Return the lines of an arm's answers."""
    return [Said(answer.asked.voice, text) for answer in answers for text in answer.messages]


def real(turns: Iterable[Turn]) -> list[Answer]:
    """Return real turns as the answers of a perfect arm."""
    return [Answer(turn, turn.messages) for turn in turns]
