"""A chat's messages as pairs of a context and the turn that answers it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from model.conversation import Message, Window, context_before, sessions, turns
from model.eligible import Line, line_of, target_text
from model.prompt import joined, render_line
from model.roster import Roster
from pipeline.doubts import doubts

Keeps = Callable[[Message], bool]
"""Whether what a message says may be a target; it is context in any case."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What was said, and what a friend said next.

    `message_ids` are all of the turn's, `target` what of them may be learned: a photo begins a
    turn, and its words are not the model's to say. `context` are rendered lines, oldest first.
    `session` is the number of the turn's session, `since` that of its oldest context's. `marks` say
    what is doubtful about the target; it is `seen` where it is a training target too.
    """

    chat_id: int
    message_ids: tuple[int, ...]
    context_ids: tuple[int, ...]
    voice: str
    context: tuple[str, ...]
    target: tuple[str, ...]
    sent_at: datetime
    session: int = 0
    since: int = 0
    marks: tuple[str, ...] = ()
    seen: bool = False

    @property
    def id(self) -> str:
        """Return a name for the pair that no other one has: its chat and the turn's first id."""
        return f"{self.chat_id}/{self.message_ids[0]}"


@dataclass(frozen=True, slots=True)
class Session:
    """One session of one topic: its lines, and the pairs whose turns are in it."""

    number: int
    lines: tuple[Line, ...]
    pairs: tuple[Pair, ...]

    @property
    def start(self) -> datetime:
        """Return when it began."""
        return self.lines[0].sent_at


class _Recent:
    """The last lines of a topic, within a window's reach: as lines, as text, by session."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._lines: list[Line] = []
        self._texts: list[str] = []
        self._sessions: list[int] = []

    def answer(self, chat_id: int, session: int, turn: Sequence[Line]) -> Pair | None:
        """Take in a turn; return it as the answer to what came before it, None if it is none."""
        context = context_before(self._lines, turn[0].sent_at, self._window)
        target = tuple(text for line in turn if (text := target_text(line)))
        pair = None
        if context and target and (voice := turn[0].speaker):
            seen = joined(self._texts[-len(context) :])
            pair = Pair(
                chat_id=chat_id,
                message_ids=tuple(line.message_id for line in turn),
                context_ids=tuple(line.message_id for line in context),
                voice=voice,
                context=seen,
                target=target,
                sent_at=turn[0].sent_at,
                session=session,
                since=self._sessions[-len(context)],
                marks=doubts(seen, target),
            )
        self._take_in(session, turn)
        return pair

    def _take_in(self, session: int, turn: Sequence[Line]) -> None:
        reach = self._window.reach
        self._lines = [*self._lines, *turn][-reach:]
        self._texts = [*self._texts, *map(render_line, turn)][-reach:]
        self._sessions = [*self._sessions, *(session for _ in turn)][-reach:]


def sessions_of(
    messages: Iterable[Message],
    roster: Roster,
    window: Window,
    keeps: Keeps = lambda _: True,
) -> Iterator[Session]:
    """Yield one chat's sessions with their pairs, topic by topic, numbered from 0.

    `messages` come topic by topic too, each in order. A turn that nothing came before, and one of
    whose words nothing may be learned, make no pair.
    """
    number = 0
    places = groupby(messages, key=lambda message: (message.chat_id, message.topic_id))
    for (chat_id, _), topic in places:
        recent = _Recent(window)
        for lines in sessions(_lines(topic, roster, keeps), window.gap):
            pairs = tuple(
                pair for turn in turns(lines) if (pair := recent.answer(chat_id, number, turn))
            )
            yield Session(number, tuple(lines), pairs)
            number += 1


def _lines(topic: Iterable[Message], roster: Roster, keeps: Keeps) -> Iterator[Line]:
    for message in topic:
        if line := line_of(message, roster):
            may_be = line.is_target and keeps(message)
            yield line if may_be == line.is_target else replace(line, is_target=False)
