"""A chat's messages as pairs of a context and the turn that answers it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from model.conversation import Message, Window, context_before, sessions, turns
from model.eligible import Line, lines_of, target_text
from model.prompt import render_context
from model.roster import Roster


@dataclass(frozen=True, slots=True)
class Pair:
    """What was said, and what a friend said next.

    `message_ids` are all of the turn's, `target` what of them may be learned: a photo begins a
    turn, and its words are not the model's to say. `context` are rendered lines, oldest first.
    """

    chat_id: int
    message_ids: tuple[int, ...]
    context_ids: tuple[int, ...]
    voice: str
    context: tuple[str, ...]
    target: tuple[str, ...]
    sent_at: datetime

    @property
    def id(self) -> str:
        """Return a name for the pair that no other one has: its chat and the turn's first id."""
        return f"{self.chat_id}/{self.message_ids[0]}"


@dataclass(frozen=True, slots=True)
class Session:
    """One session of one topic: its lines, and the pairs whose turns are in it."""

    lines: tuple[Line, ...]
    pairs: tuple[Pair, ...]

    @property
    def start(self) -> datetime:
        """Return when it began."""
        return self.lines[0].sent_at


def sessions_of(messages: Iterable[Message], roster: Roster, window: Window) -> list[Session]:
    """Return one chat's sessions with their pairs, by when they began.

    `messages` are in order. A turn that nothing came before, and one of whose words nothing may
    be learned, make no pair.
    """
    topics: dict[int | None, list[Message]] = {}
    for message in messages:
        topics.setdefault(message.topic_id, []).append(message)
    found = [
        session
        for topic in topics.values()
        for session in _topic_sessions(topic[0].chat_id, lines_of(topic, roster), window)
    ]
    return sorted(found, key=lambda session: session.start)


def _topic_sessions(chat_id: int, lines: Sequence[Line], window: Window) -> Iterator[Session]:
    start = 0
    for session in sessions(lines, window.gap):
        pairs: list[Pair] = []
        for turn in turns(session):
            earlier = lines[max(0, start - window.reach) : start]
            if pair := _pair(chat_id, context_before(earlier, turn[0].sent_at, window), turn):
                pairs.append(pair)
            start += len(turn)
        yield Session(tuple(session), tuple(pairs))


def _pair(chat_id: int, context: Sequence[Line], turn: Sequence[Line]) -> Pair | None:
    voice = turn[0].speaker
    target = tuple(text for line in turn if (text := target_text(line)))
    if voice is None or not context or not target:
        return None
    return Pair(
        chat_id=chat_id,
        message_ids=tuple(line.message_id for line in turn),
        context_ids=tuple(line.message_id for line in context),
        voice=voice,
        context=render_context(context),
        target=target,
        sent_at=turn[0].sent_at,
    )
