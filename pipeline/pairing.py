"""A chat's messages on their way to pairs: which are taken, and what is met on the way."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path

from model.conversation import Message, Window
from model.errors import DatasetError, ExportError
from model.naming import visible_name
from model.redact import PLACEHOLDER
from model.roster import Roster
from pipeline.export.archive import Chat
from pipeline.export.spool import START, Place, Spool
from pipeline.pairs import Session, sessions_of
from pipeline.roster_file import MIN_MESSAGES
from pipeline.split import TEST, VALIDATION, Spans

MAX_REPEATS = 10
"""Of one message that a friend sent word for word more often, about so many are targets."""

_SPREAD = 2_654_435_761  # Knuth's multiplicative hash: neighbours land far apart


@dataclass(frozen=True, slots=True)
class Choices:
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


class Pairing:
    """Pairs a chat's messages and counts what it meets on the way."""

    def __init__(
        self,
        spool: Spool,
        chat: Chat,
        roster: Roster,
        choices: Choices,
        watch: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self.chat, self.roster, self.choices = chat, roster, choices
        self._spool, self._watch = spool, watch
        self._begin = _start(spool, chat.chat_id, choices)
        self._often = spool.repeated(chat.chat_id, MAX_REPEATS, self._begin)
        self.spans = Spans()
        self.messages = self.repeated = 0
        self.lines: Counter[str] = Counter()
        self.authors: set[int] = set()
        self.redacted: Counter[str] = Counter()

    def sessions(self) -> Iterator[Session]:
        """Yield the chat's sessions with their pairs, counting what is in them."""
        for session in sessions_of(self._messages(), self.roster, self.choices.window, self._keeps):
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
        chat = visible_name(self.chat.name)
        if not self.messages and self.choices.since:
            raise ExportError(
                f"nobody wrote in {chat} since {self.choices.since:%Y-%m-%d}: "
                "give --since an earlier day"
            )
        if not self.authors:
            raise ExportError(f"nobody talks in {chat}: it holds only commands, forwards or bots")
        if len(self.authors) == 1:
            person = self.roster.person(min(self.authors))
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


def _start(spool: Spool, chat_id: int, choices: Choices) -> Place:
    since = (int(choices.since.timestamp()), START[1]) if choices.since else START
    last = spool.place_before(chat_id, choices.last) if choices.last else START
    return max(since, last)
