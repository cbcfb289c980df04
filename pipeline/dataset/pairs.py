"""Convert a chat's messages to pairs of a context and the turn that follows it."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from itertools import groupby
from pathlib import Path

from model.chat.conversation import Message, Window, context_before, split_sessions, split_turns
from model.chat.eligibility import Line, make_line, target_text
from model.chat.names import make_printable_name
from model.chat.prompt import LINE_BREAK, merge_withheld_lines, render_line, split_line
from model.chat.roster import Roster
from model.errors import DatasetError, ExportError
from model.redaction.redact import PLACEHOLDER
from pipeline.dataset.roster_file import MIN_MESSAGES
from pipeline.dataset.split import TEST, VALIDATION, SessionSpans
from pipeline.export.archive import ExportedChat
from pipeline.export.merging import START, Spool

_LINK = re.compile(r"(?:https?://|www\.|t\.me/)\S+", re.IGNORECASE)
_NUMBER = re.compile(r"[\d\s.,:/+%€$£-]*\d[\d\s.,:/+%€$£-]*")
_MANY_DIGITS = re.compile(r"(?:\d[\s.-]?){7,}")
_DIGIT = re.compile(r"\d")
_LONG = 500  # characters: in ordinary chat about one turn in ten thousand is longer
_LOUD = 20  # characters

LINK, NUMBER, DIGITS, ECHO, LONG, LOUD = (
    "lone link",
    "lone number",
    "many digits",
    "echo",
    "long",
    "capitals",
)


def find_doubts(context: Sequence[str], target: Sequence[str]) -> tuple[str, ...]:
    """Return the reasons to doubt a target, given the rendered lines of its context."""
    text = "\n".join(target)
    _, last = split_line(context[-1])
    has_digit = _DIGIT.search(text) is not None
    return tuple(
        name
        for name, applies in (
            (LINK, text[:1] in "hHwWtT" and bool(_LINK.fullmatch(text))),
            (NUMBER, has_digit and bool(_NUMBER.fullmatch(text))),
            (DIGITS, has_digit and bool(_MANY_DIGITS.search(text))),
            (ECHO, text.replace("\n", LINE_BREAK) == last),
            (LONG, len(text) > _LONG),
            (LOUD, len(text) > _LOUD and text.isupper()),
        )
        if applies
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """A context and the turn of a voice that follows it.

    `message_ids` are all messages of the turn; `target` holds the texts that may be learned, which
    excludes media. `context` holds rendered lines, oldest first. `session` is the number of the
    turn's session, `since` that of the oldest context line. `marks` are the reasons to doubt the
    target. A held-out target is `seen` if it also occurs in training.
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
        """Return a unique id: the chat's id and the turn's first message id."""
        return f"{self.chat_id}/{self.message_ids[0]}"


@dataclass(frozen=True, slots=True)
class Session:
    """One session of one topic: its lines, and the pairs with a turn in it."""

    number: int
    lines: tuple[Line, ...]
    pairs: tuple[Pair, ...]


class _RecentLines:
    """The last lines of a topic that a window may include, with their texts and sessions."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._lines: list[Line] = []
        self._texts: list[str] = []
        self._sessions: list[int] = []

    def add_turn(self, chat_id: int, session: int, turn: Sequence[Line]) -> Pair | None:
        """Add a turn; return its pair, or None without a context or without a target."""
        context = context_before(self._lines, turn[0].sent_at, self._window)
        target = tuple(text for line in turn if (text := target_text(line)))
        pair = None
        if context and target and (voice := turn[0].speaker):
            rendered = merge_withheld_lines(self._texts[-len(context) :])
            pair = Pair(
                chat_id=chat_id,
                message_ids=tuple(line.message_id for line in turn),
                context_ids=tuple(line.message_id for line in context),
                voice=voice,
                context=rendered,
                target=target,
                sent_at=turn[0].sent_at,
                session=session,
                since=self._sessions[-len(context)],
                marks=find_doubts(rendered, target),
            )
        reach = self._window.lookback
        self._lines = [*self._lines, *turn][-reach:]
        self._texts = [*self._texts, *map(render_line, turn)][-reach:]
        self._sessions = [*self._sessions, *(session for _ in turn)][-reach:]
        return pair


def pair_sessions(
    messages: Iterable[Message],
    roster: Roster,
    window: Window,
    may_be_target: Callable[[Message], bool] = lambda _: True,
) -> Iterator[Session]:
    """Yield one chat's sessions with their pairs, topic by topic, numbered from 0.

    `messages` are ordered by topic, then time. Turns without a context or without a target make no
    pair. A message that `may_be_target` rejects is only context.
    """
    number = 0
    places = groupby(messages, key=lambda message: (message.chat_id, message.topic_id))
    for (chat_id, _), topic in places:
        recent = _RecentLines(window)
        for lines in split_sessions(_to_lines(topic, roster, may_be_target), window.gap):
            pairs = tuple(
                pair
                for turn in split_turns(lines)
                if (pair := recent.add_turn(chat_id, number, turn))
            )
            yield Session(number, tuple(lines), pairs)
            number += 1


def _to_lines(
    topic: Iterable[Message], roster: Roster, may_be_target: Callable[[Message], bool]
) -> Iterator[Line]:
    for message in topic:
        if line := make_line(message, roster):
            is_target = line.is_target and may_be_target(message)
            yield line if is_target == line.is_target else replace(line, is_target=False)


MAX_REPEATS = 10
"""About this many copies of a message that one author repeats word for word are targets."""

_SPREAD = 2_654_435_761  # Knuth's multiplicative hash, which spreads neighbouring numbers


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options of `build`; the defaults take the whole chat.

    Only the `last` messages, or those `since` a time, are used. Local times of old exports are in
    `zone`, by default this machine's. People with fewer than `min_messages` are not voices.
    `test_share` and `validation_share` are shares of all messages. With `skip_damaged`, any amount
    of damage in an export is accepted.
    """

    window: Window = field(default_factory=Window)
    chat: str | None = None
    roster: Path | None = None
    last: int | None = None
    since: datetime | None = None
    min_messages: int = MIN_MESSAGES
    test_share: float = TEST
    validation_share: float = VALIDATION
    review: Path | None = None
    zone: tzinfo | None = None
    public: bool = False
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        """Check `last`.

        Raises:
            DatasetError: It leaves no message.
        """
        if self.last is not None and self.last < 1:
            raise DatasetError(f"--last {self.last} leaves no messages: give 1 or more")


class PairBuilder:
    """Converts a chat's messages to pairs and counts them."""

    def __init__(
        self,
        spool: Spool,
        chat: ExportedChat,
        roster: Roster,
        choices: BuildOptions,
        on_message: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self.chat, self.roster, self.choices = chat, roster, choices
        self._spool, self._on_message = spool, on_message
        since = (int(choices.since.timestamp()), START[1]) if choices.since else START
        last = spool.find_start(chat.chat_id, choices.last) if choices.last else START
        self._start = max(since, last)
        self._repeats = spool.find_repeated(chat.chat_id, MAX_REPEATS, self._start)
        self.spans = SessionSpans()
        self.messages = self.repeated = 0
        self.lines: Counter[str] = Counter()
        self.authors: set[int] = set()
        self.redacted: Counter[str] = Counter()

    def sessions(self) -> Iterator[Session]:
        """Yield the chat's sessions with their pairs."""
        for session in pair_sessions(
            self._messages(), self.roster, self.choices.window, self._may_be_target
        ):
            start, end = (
                line.sent_at.timestamp() for line in (session.lines[0], session.lines[-1])
            )
            self.spans.add(int(start), int(end), len(session.lines))
            for line in session.lines:
                self.authors.add(line.author_id)
                if line.is_target and line.speaker:
                    self.lines[line.speaker] += 1
                if "[" in line.text:
                    self.redacted.update(PLACEHOLDER.findall(line.text))
            yield session

    def check_authors(self) -> None:
        """Check that at least two people talk in the chat.

        Raises:
            ExportError: Fewer than two people talk.
        """
        chat = make_printable_name(self.chat.name)
        if not self.messages and self.choices.since:
            raise ExportError(
                f"there are no messages in {chat} since {self.choices.since:%Y-%m-%d}: "
                "give --since an earlier day"
            )
        if not self.authors:
            raise ExportError(
                f"nobody talks in {chat}: it holds only commands, forwards and messages of bots"
            )
        if len(self.authors) == 1:
            person = self.roster.find_by_id(min(self.authors))
            raise ExportError(
                f"only {person.name if person else 'one person'} speaks in {chat}: "
                "training needs two or more people who talk"
            )

    def _messages(self) -> Iterator[Message]:
        for message in self._spool.messages(self.chat.chat_id, self._start):
            self.messages += 1
            self._on_message(message)
            yield message

    def _may_be_target(self, message: Message) -> bool:
        """Whether a message may be a target; if it was repeated too often, only a few copies may.

        A hash of the id selects these few, so that they are spread over the years.
        """
        times = self._repeats.get((message.author_id, message.text))
        # Use the high bits: for equally spaced ids the low bits of the products are similar.
        if times is None or message.message_id * _SPREAD % 2**32 * times >> 32 < MAX_REPEATS:
            return True
        self.repeated += 1
        return False
