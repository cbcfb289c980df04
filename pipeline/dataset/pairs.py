"""Convert a chat's messages to pairs of a context and the turn that follows it."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from itertools import groupby, pairwise
from pathlib import Path

from model.chat.conversation import Message, Window, context_before, split_sessions, split_turns
from model.chat.eligibility import Line, make_line, make_lines, target_text
from model.chat.prompt import LINE_BREAK, merge_withheld_lines, render_line, split_line
from model.chat.roster import Roster
from model.options import option
from model.redaction.redact import PLACEHOLDER
from pipeline.dataset import options
from pipeline.dataset.roster_file import MIN_MESSAGES
from pipeline.dataset.split import TEST, VALIDATION, is_judge_session
from pipeline.export.archive import ExportedChat
from pipeline.export.merging import START, Spool, count_messages

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
    target. A held-out target is `seen` if it also occurs in training. `surplus` are the indices of
    the texts that their author repeats too often: training leaves them out.
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
    surplus: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """Return a unique id: the chat's id and the turn's first message id."""
        return f"{self.chat_id}/{self.message_ids[0]}"


def sample_evenly(pairs: Iterable[Pair], per_voice: int, seed: int) -> list[Pair]:
    """Sample at most `per_voice` pairs of each voice, ordered by voice."""
    by_voice: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_voice[pair.voice].append(pair)
    rng = random.Random(seed)
    return [
        pair
        for _, own in sorted(by_voice.items())
        for pair in rng.sample(own, min(per_voice, len(own)))
    ]


def select_half(pairs: Iterable[Pair], *, judges: bool) -> tuple[Pair, ...]:
    """Return the training pairs of the judges' sessions, or those of the other half.

    A pair with a context that reaches into a session of the other half is in neither.
    """
    return tuple(
        pair
        for pair in pairs
        if all(
            is_judge_session(pair.chat_id, session) == judges
            for session in range(pair.since, pair.session + 1)
        )
    )


@dataclass(frozen=True, slots=True)
class Session:
    """One session of one topic: its lines, and the pairs with a turn in it.

    `surplus` are the ids of messages that their author repeats too often to learn them.
    """

    number: int
    lines: tuple[Line, ...]
    pairs: tuple[Pair, ...]
    topic_id: int | None = None
    surplus: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A rendered line of a session that a model is trained on as a whole.

    `pauses` means that the turn ends although nobody else speaks next: the same author goes on
    after a pause, or the session ends. `topic_id` is 0 outside a topic.
    """

    topic_id: int
    session: int
    message_id: int
    line: str
    is_target: bool
    pauses: bool


def session_lines(session: Session, removed: Collection[int]) -> Iterator[SessionLine]:
    """Yield the lines of a session; messages with an id in `removed` are not targets.

    A line is a target as a whole: a caption after `[photo]` is only context here.
    """
    for turn, after in pairwise([*split_turns(session.lines), []]):
        pauses = not after or after[0].author_id == turn[0].author_id
        for line in turn:
            yield SessionLine(
                session.topic_id or 0,
                session.number,
                line.message_id,
                render_line(line),
                line.message_id not in removed and target_text(line) == line.text,
                pauses and line is turn[-1],
            )


def split_days(lines: Iterable[Line], gap: timedelta, hour: int | None) -> Iterator[list[Line]]:
    """Split a topic's lines into sessions, and these at an hour (UTC) of each day, if given.

    A topic may never pause while the sessions of others begin and end. Its messages of months would
    be in no split if they were one session.
    """
    for session in split_sessions(lines, gap):
        if hour is None:
            yield session
        else:
            shift = timedelta(hours=hour)
            days = groupby(session, key=lambda line: (line.sent_at - shift).date())
            yield from (list(day) for _, day in days)


class _RecentLines:
    """The last lines of a topic that a window may include, with their texts and sessions."""

    def __init__(self, window: Window, hour: int | None) -> None:
        self._window = window
        self._hour = hour
        self._lines: list[Line] = []
        self._texts: list[str] = []
        self._sessions: list[int] = []

    def add_earlier(self, lines: Iterable[Line]) -> None:
        """Add lines that precede session 0; their sessions have negative numbers."""
        sessions = list(split_days(lines, self._window.gap, self._hour))
        for number, session in enumerate(sessions, -len(sessions)):
            self._add(number, session)

    def add_turn(
        self, chat_id: int, session: int, turn: Sequence[Line], surplus: set[int]
    ) -> Pair | None:
        """Add a turn; return its pair, or None without a context or without a target.

        `surplus` are the ids of messages that their author repeats too often.
        """
        context = context_before(self._lines, turn[0].sent_at, self._window)
        targets = [(line, text) for line in turn if (text := target_text(line))]
        target = tuple(text for _, text in targets)
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
                surplus=tuple(
                    index for index, (line, _) in enumerate(targets) if line.message_id in surplus
                ),
            )
        self._add(session, turn)
        return pair

    def _add(self, session: int, lines: Sequence[Line]) -> None:
        reach = self._window.lookback
        self._lines = [*self._lines, *lines][-reach:]
        self._texts = [*self._texts, *map(render_line, lines)][-reach:]
        self._sessions = [*self._sessions, *(session for _ in lines)][-reach:]


def pair_sessions(
    messages: Iterable[Message],
    roster: Roster,
    window: Window,
    is_surplus: Callable[[Message], bool] = lambda _: False,
    before: Sequence[Message] = (),
    quiet_hour: int | None = None,
) -> Iterator[Session]:
    """Yield one chat's sessions with their pairs, topic by topic, numbered from 0.

    `messages` are ordered by topic, then time. Turns without a context or without a target make no
    pair. `is_surplus` recognises messages that their author repeats too often. `before` are
    messages of the first topic in earlier sessions, which have negative numbers. A session ends at
    `quiet_hour` (UTC) at the latest; contexts reach across.
    """
    number = 0
    surplus: set[int] = set()

    def make_topic_lines(topic: Iterable[Message]) -> Iterator[Line]:
        for message in topic:
            if line := make_line(message, roster):
                if line.is_target and is_surplus(message):
                    surplus.add(line.message_id)
                yield line

    topics = groupby(messages, key=lambda message: (message.chat_id, message.topic_id))
    for (chat_id, topic_id), topic in topics:
        recent = _RecentLines(window, quiet_hour)
        recent.add_earlier(make_lines(before, roster))
        before = ()
        for lines in split_days(make_topic_lines(topic), window.gap, quiet_hour):
            pairs = tuple(
                pair
                for turn in split_turns(lines)
                if (pair := recent.add_turn(chat_id, number, turn, surplus))
            )
            own = frozenset(line.message_id for line in lines) & surplus
            surplus -= own
            yield Session(number, tuple(lines), pairs, topic_id, own)
            number += 1


MIN_REPEATS = 10
"""Training keeps at least about this many copies of a text that one author repeats."""
_REPEATED_SHARE = 0.1
"""Largest share of an author's messages that training keeps of one text of one word."""
_CHARACTERS = 8  # that count as a word, in scripts without spaces and in "hahahaha…"

_SPREAD = 2_654_435_761  # Knuth's multiplicative hash, which spreads neighbouring numbers


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options of `build`; the defaults take the whole chat.

    Only the `last` messages, or those `since` a time, are used. Local times of old exports are in
    `zone`, by default this machine's. People with fewer than `min_messages` are not voices.
    `test_share` and `validation_share` are shares of all messages. With `skip_damaged`, any amount
    of damage in an export is accepted. With 0 `processes`, the number of cores and the length
    of the chat decide; more than one needs a main module that can be imported.
    """

    window: Window = field(default_factory=Window)
    chat: str | None = option(None, options.CHAT)
    roster: Path | None = option(None, options.ROSTER, default_text="roster.toml beside the export")
    last: int | None = option(None, "Use only the last N messages", least=1)
    since: datetime | None = option(
        None, "Use messages since this day, such as 2024-03-31", metavar="DATE"
    )
    min_messages: int = option(MIN_MESSAGES, options.MIN_MESSAGES)
    test_share: float = option(
        TEST, "Share of messages in the test split", above=0, most=0.9, panel="Conversations"
    )
    validation_share: float = VALIDATION
    review: Path | None = option(None, "CSV file of doubtful pairs; mark those to drop")
    zone: tzinfo | None = option(None, options.TIMEZONE)
    public: bool = option(
        False, "The chat is public: the bot may speak anywhere", name="public-chat"
    )
    skip_damaged: bool = option(False, options.SKIP_DAMAGED)
    processes: int = option(
        1, "Processes that pair messages", least=0, default_text="by cores and messages",
        panel="Conversations",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PairingRules:
    """What decides about a chat's pairs, apart from its messages.

    `repeats` maps the author and text of messages that are repeated too often to their number, and
    to how many of them stay. A session ends at `quiet_hour` (UTC) at the latest.
    """

    roster: Roster
    window: Window
    repeats: Mapping[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    quiet_hour: int | None = None

    def is_surplus(self, message: Message) -> bool:
        """Whether training leaves a message out because its author repeats it too often.

        A hash of the id selects the copies that stay, so that they are spread over the years.
        """
        found = self.repeats.get((message.author_id, message.text))
        if found is None:
            return False
        times, limit = found
        # Use the high bits: for equally spaced ids the low bits of the products are similar.
        return message.message_id * _SPREAD % 2**32 * times >> 32 >= limit


class ChatMessages:
    """The messages of a chat from which pairs are made, and the rules for it."""

    def __init__(
        self, spool: Spool, chat: ExportedChat, roster: Roster, choices: BuildOptions
    ) -> None:
        self.chat, self.choices, self._spool = chat, choices, spool
        since = (int(choices.since.timestamp()), START[1]) if choices.since else START
        last = spool.find_start(chat.chat_id, choices.last) if choices.last else START
        self._start = max(since, last)
        repeated = spool.find_repeated(chat.chat_id, MIN_REPEATS, self._start)
        repeats = {
            (author, text): (times, limit)
            for (author, text), (times, written) in repeated.items()
            if times > (limit := limit_repeats(text, written))
        }
        quiet_hour = spool.find_quiet_hour(chat.chat_id)
        self.rules = PairingRules(roster, choices.window, repeats, quiet_hour)

    def __iter__(self) -> Iterator[Message]:
        """Yield the messages by topic, then time."""
        return self._spool.messages(self.chat.chat_id, self._start)

    def count(self) -> int:
        """Return about how many messages there are."""
        return self._spool.counts(self.chat.chat_id).messages

    def count_by_author(self) -> Counter[int]:
        """Return the number of messages of each account in its own words, by its id."""
        return count_messages(self._spool.authors(self.chat.chat_id, self._start))


def count_placeholders(lines: Iterable[Line]) -> Counter[str]:
    """Count the placeholders of private data in lines."""
    found = Counter[str]()
    for line in lines:
        if "[" in line.text:
            found.update(PLACEHOLDER.findall(line.text))
    return found


def limit_repeats(text: str, written: int) -> int:
    """Return how many copies of a text training keeps of an author who wrote `written` messages.

    It is a tenth of the messages for one word, and falls with the square of the length in words:
    people say "lol" a thousand times, but no sentence. Ten copies always stay.
    """
    length = max(1.0, len(text.split()), len(text) / _CHARACTERS)
    return max(MIN_REPEATS, int(written * _REPEATED_SHARE / length**2))
