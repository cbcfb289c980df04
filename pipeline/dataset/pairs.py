"""Cut a chat into pairs of a context and the turn that follows it."""

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
from pipeline.export.merging import START, Position, Spool

_LINK = re.compile(r"(?:https?://|www\.|t\.me/)\S+", re.IGNORECASE)
_NUMBER = re.compile(r"[\d\s.,:/+%€$£-]*\d[\d\s.,:/+%€$£-]*")
_MANY_DIGITS = re.compile(r"(?:\d[\s.-]?){7,}")
_DIGIT = re.compile(r"\d")
_LONG = 500  # characters: the longest tenth of a thousand turns in ordinary chat
_LOUD = 20  # letters

LINK, NUMBER, DIGITS, ECHO, LONG, LOUD = (
    "lone link",
    "lone number",
    "many digits",
    "echo",
    "long",
    "capitals",
)


def doubts(context: Sequence[str], target: Sequence[str]) -> tuple[str, ...]:
    """Return why a person might not want this target, for these rendered lines of context."""
    text = "\n".join(target)
    _, last = split_line(context[-1])
    has_digit = _DIGIT.search(text) is not None
    return tuple(
        name
        for name, is_so in (
            (LINK, text[:1] in "hHwWtT" and bool(_LINK.fullmatch(text))),
            (NUMBER, has_digit and bool(_NUMBER.fullmatch(text))),
            (DIGITS, has_digit and bool(_MANY_DIGITS.search(text))),
            (ECHO, text.replace("\n", LINE_BREAK) == last),
            (LONG, len(text) > _LONG),
            (LOUD, len(text) > _LOUD and text.isupper()),
        )
        if is_so
    )


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
            seen = merge_withheld_lines(self._texts[-len(context) :])
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
        reach = self._window.lookback
        self._lines = [*self._lines, *turn][-reach:]
        self._texts = [*self._texts, *map(render_line, turn)][-reach:]
        self._sessions = [*self._sessions, *(session for _ in turn)][-reach:]


def pair_sessions(
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
        for lines in split_sessions(_lines(topic, roster, keeps), window.gap):
            pairs = tuple(
                pair
                for turn in split_turns(lines)
                if (pair := recent.answer(chat_id, number, turn))
            )
            yield Session(number, tuple(lines), pairs)
            number += 1


def _lines(topic: Iterable[Message], roster: Roster, keeps: Keeps) -> Iterator[Line]:
    for message in topic:
        if line := make_line(message, roster):
            may_be = line.is_target and keeps(message)
            yield line if may_be == line.is_target else replace(line, is_target=False)


MAX_REPEATS = 10
"""Of one message that a friend sent word for word more often, about so many are targets."""

_SPREAD = 2_654_435_761  # Knuth's multiplicative hash: neighbours land far apart


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What of a chat to take, and how; the defaults take everything.

    `last` messages or those `since` a time; local times of old exports are those of `zone`, else
    of this machine. Who wrote fewer than `min_messages` becomes no voice; `test_share` and
    `validation_share` are the test's and the validation's parts of all messages. With
    `skip_damaged` an export counts however much of it is damaged.
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
        """Refuse a number of messages that leaves none."""
        if self.last is not None and self.last < 1:
            raise DatasetError(f"--last {self.last} leaves no message: give 1 or more")


class PairBuilder:
    """Pairs a chat's messages and counts what it meets on the way."""

    def __init__(
        self,
        spool: Spool,
        chat: ExportedChat,
        roster: Roster,
        choices: BuildOptions,
        watch: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self.chat, self.roster, self.choices = chat, roster, choices
        self._spool, self._watch = spool, watch
        self._begin = _start(spool, chat.chat_id, choices)
        self._often = spool.find_repeated(chat.chat_id, MAX_REPEATS, self._begin)
        self.spans = SessionSpans()
        self.messages = self.repeated = 0
        self.lines: Counter[str] = Counter()
        self.authors: set[int] = set()
        self.redacted: Counter[str] = Counter()

    def sessions(self) -> Iterator[Session]:
        """Yield the chat's sessions with their pairs, counting what is in them."""
        for session in pair_sessions(
            self._messages(), self.roster, self.choices.window, self._keeps
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
        """Make sure that people talk with each other here.

        Raises:
            ExportError: Nobody does.
        """
        chat = make_printable_name(self.chat.name)
        if not self.messages and self.choices.since:
            raise ExportError(
                f"nobody wrote in {chat} since {self.choices.since:%Y-%m-%d}: "
                "give --since an earlier day"
            )
        if not self.authors:
            raise ExportError(f"nobody talks in {chat}: it holds only commands, forwards or bots")
        if len(self.authors) == 1:
            person = self.roster.find_by_id(min(self.authors))
            raise ExportError(
                f"only {person.name if person else 'one person'} speaks in {chat}: "
                "a model learns from two or more who talk"
            )

    def _messages(self) -> Iterator[Message]:
        for message in self._spool.messages(self.chat.chat_id, self._begin):
            self.messages += 1
            self._watch(message)
            yield message

    def _keeps(self, message: Message) -> bool:
        """Whether a message may be a target: of those said word for word too often, a few are.

        Which few its id decides, so that they are spread over the years.
        """
        times = self._often.get((message.author_id, message.text))
        # The high bits: the low ones of a product are alike where ids are at equal distances.
        if times is None or message.message_id * _SPREAD % 2**32 * times >> 32 < MAX_REPEATS:
            return True
        self.repeated += 1
        return False


def _start(spool: Spool, chat_id: int, choices: BuildOptions) -> Position:
    since = (int(choices.since.timestamp()), START[1]) if choices.since else START
    last = spool.find_start(chat_id, choices.last) if choices.last else START
    return max(since, last)
