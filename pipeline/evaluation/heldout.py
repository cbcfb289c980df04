"""Represent held-out turns, answers to them, and their lines."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.dataset.pairs import Pair
from pipeline.training.encoding import hide_voice


@dataclass(frozen=True, slots=True)
class HeldOutTurn:
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
    """A reply in place of a real turn; without messages if the model produced none."""

    asked: HeldOutTurn
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeldOutLine:
    """One line, the voice that it should sound like, and the session of its turn."""

    voice: str
    text: str
    session: int = 0


def make_turns(pairs: Iterable[Pair]) -> list[HeldOutTurn]:
    """Return the turns of pairs."""
    return [
        HeldOutTurn(pair.voice, pair.context, pair.target, pair.seen, pair.session)
        for pair in pairs
    ]


def silence_voice(turn: HeldOutTurn) -> HeldOutTurn | None:
    """Return a turn whose context has no line of its voice, None if no line is left."""
    context = hide_voice(turn.context, turn.voice)
    return replace(turn, context=context) if context else None


def take_turns(turns: Iterable[HeldOutTurn], per_voice: int) -> tuple[HeldOutTurn, ...]:
    """Return each voice's first turns, at most `per_voice`."""
    taken = Counter[str]()
    kept = []
    for turn in turns:
        if taken[turn.voice] < per_voice:
            taken[turn.voice] += 1
            kept.append(turn)
    return tuple(kept)


def make_real_answers(turns: Iterable[HeldOutTurn]) -> list[Answer]:
    """Return the real turns as answers, as a perfect model would give them."""
    return [Answer(turn, turn.messages) for turn in turns]


def list_lines(answers: Iterable[Answer]) -> list[HeldOutLine]:
    """Return the lines of answers."""
    return [
        HeldOutLine(answer.asked.voice, text, answer.asked.session)
        for answer in answers
        for text in answer.messages
    ]
