"""Split a chat's messages into sessions of lines, and pair their turns with contexts."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from itertools import groupby, pairwise
from pathlib import Path

from model.chat.conversation import Message, Window, context_before, split_sessions, split_turns
from model.chat.eligibility import Line, make_line, target_text
from model.chat.prompt import LINE_BREAK, merge_withheld_lines, render_line, split_line
from model.chat.roster import Roster
from model.options import check_options, option
from model.redaction.redact import PLACEHOLDER
from pipeline.dataset import options
from pipeline.dataset.roster_file import MIN_MESSAGES
from pipeline.dataset.split import SPLITS, TEST, VALIDATION, SplitName, is_judge_session
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
    turn's session, `since` that of the oldest context line. `split` is None if the turn was removed
    or is in no split, or if its context reaches into another one. `surplus` are the indices of the
    texts that their author repeats too often: training leaves them out. A held-out target is `seen`
    if it also occurs in training.
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
    split: SplitName | None = None
    surplus: tuple[int, ...] = ()
    seen: bool = False

    @property
    def id(self) -> str:
        """Return a unique id: the chat's id and the turn's first message id."""
        return f"{self.chat_id}/{self.message_ids[0]}"

    @property
    def folded_target(self) -> str:
        """Return what is compared to tell whether a held-out target occurs in training."""
        return "\n".join(self.target).casefold()

    @property
    def is_learned(self) -> bool:
        """Whether it stays in its split: training leaves out targets of nothing but surplus."""
        is_surplus = self.split == "train" and len(self.surplus) == len(self.target)
        return self.split is not None and not is_surplus

    def without_surplus(self) -> "Pair":
        """Return it without the texts that training leaves out."""
        if not self.surplus:
            return self
        kept = (text for index, text in enumerate(self.target) if index not in self.surplus)
        return replace(self, target=tuple(kept), surplus=())


def group_by_split(pairs: Iterable[Pair]) -> dict[SplitName, tuple[Pair, ...]]:
    """Return the pairs of each split as they are learned and judged."""
    found: dict[SplitName, list[Pair]] = {name: [] for name in SPLITS}
    for pair in pairs:
        if pair.split is not None:
            found[pair.split].append(pair)
    trained = {pair.folded_target for pair in found["train"]}
    return {
        "train": tuple(pair.without_surplus() for pair in found["train"] if pair.is_learned),
        **{
            name: tuple(
                replace(pair, surplus=(), seen=pair.folded_target in trained)
                for pair in found[name]
            )
            for name in SPLITS[1:]
        },
    }


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


def select_half(pairs: Iterable[Pair], *, for_judge: bool) -> tuple[Pair, ...]:
    """Return the training pairs of the judge's sessions, or those of the other half.

    A pair with a context that reaches into a session of the other half is in neither.
    """
    return tuple(
        pair
        for pair in pairs
        if all(
            is_judge_session(pair.chat_id, session) == for_judge
            for session in range(pair.since, pair.session + 1)
        )
    )


@dataclass(frozen=True, slots=True)
class Session:
    """One session of one topic, with its lines; `topic_id` is 0 outside a topic.

    `surplus` are the ids of messages that their author repeats too often to learn them, `removed`
    those of the turns that the user removed. `split` is None in a gap, and before the chat is
    split.
    """

    number: int
    topic_id: int
    lines: tuple[Line, ...]
    surplus: frozenset[int] = frozenset()
    removed: frozenset[int] = frozenset()
    split: SplitName | None = None


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A rendered line of a session that a model is trained on as a whole.

    `pauses` means that the turn ends although nobody else speaks next: the same author continues
    after a pause, or the session ends. `topic_id` is 0 outside a topic.
    """

    topic_id: int
    session: int
    message_id: int
    line: str
    is_target: bool
    pauses: bool


def session_lines(session: Session) -> Iterator[SessionLine]:
    """Yield the lines of a session; surplus and removed messages are not targets.

    A line is a target as a whole: a caption after `[photo]` is only context here.
    """
    left_out = session.surplus | session.removed
    for turn, after in pairwise([*split_turns(session.lines), []]):
        pauses = not after or after[0].author_id == turn[0].author_id
        for line in turn:
            yield SessionLine(
                session.topic_id,
                session.number,
                line.message_id,
                render_line(line),
                line.message_id not in left_out and target_text(line) == line.text,
                pauses and line is turn[-1],
            )


def split_days(lines: Iterable[Line], gap: timedelta, hour: int | None) -> Iterator[list[Line]]:
    """Split a topic's lines into sessions, and these at an hour (UTC) of each day, if given.

    A topic may never pause while the sessions of others begin and end. Months of its messages would
    be in no split if they were one session.
    """
    for session in split_sessions(lines, gap):
        if hour is None:
            yield session
        else:
            shift = timedelta(hours=hour)
            days = groupby(session, key=lambda line: (line.sent_at - shift).date())
            yield from (list(day) for _, day in days)


def make_sessions(
    messages: Iterable[Message], rules: "SessionRules", removed: Collection[str] = ()
) -> Iterator[Session]:
    """Yield one chat's sessions, topic by topic, numbered from 0.

    `messages` are ordered by topic, then time; `removed` are the ids of pairs.
    """
    number = 0
    surplus: set[int] = set()

    def make_topic_lines(topic: Iterable[Message]) -> Iterator[Line]:
        for message in topic:
            if line := make_line(message, rules.roster):
                if line.is_target and rules.is_surplus(message):
                    surplus.add(line.message_id)
                yield line

    topics = groupby(messages, key=lambda message: (message.chat_id, message.topic_id))
    for (chat_id, topic_id), topic in topics:
        for lines in split_days(make_topic_lines(topic), rules.window.gap, rules.quiet_hour):
            own = frozenset(line.message_id for line in lines) & surplus
            surplus -= own
            left_out = frozenset(
                line.message_id
                for turn in (split_turns(lines) if removed else ())
                if f"{chat_id}/{turn[0].message_id}" in removed
                for line in turn
            )
            yield Session(number, topic_id or 0, tuple(lines), own, left_out)
            number += 1


def make_pairs(sessions: Iterable[Session], chat_id: int, window: Window) -> Iterator[Pair]:
    """Yield the pairs of a chat's sessions, which are ordered by topic, then time.

    Contexts reach across sessions. Turns without a context or without a target make no pair.
    """
    for _, topic in groupby(sessions, key=lambda session: session.topic_id):
        recent = _RecentLines(window)
        for session in topic:
            for turn in split_turns(session.lines):
                if pair := recent.add_turn(chat_id, session, turn):
                    yield pair


class _RecentLines:
    """The last lines of a topic that a window may include, with their texts and sessions."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._lines: list[Line] = []
        self._texts: list[str] = []
        self._sessions: list[Session] = []

    def add_turn(self, chat_id: int, session: Session, turn: Sequence[Line]) -> Pair | None:
        """Add a turn; return its pair, or None without a context or without a target."""
        context = context_before(self._lines, turn[0].sent_at, self._window)
        targets = [(line, text) for line in turn if (text := target_text(line))]
        pair = None
        if context and targets and (voice := turn[0].speaker):
            since = self._sessions[-len(context)]
            is_whole = since.split == session.split and turn[0].message_id not in session.removed
            pair = Pair(
                chat_id=chat_id,
                message_ids=tuple(line.message_id for line in turn),
                context_ids=tuple(line.message_id for line in context),
                voice=voice,
                context=merge_withheld_lines(self._texts[-len(context) :]),
                target=tuple(text for _, text in targets),
                sent_at=turn[0].sent_at,
                session=session.number,
                since=since.number,
                split=session.split if is_whole else None,
                surplus=tuple(
                    index
                    for index, (line, _) in enumerate(targets if session.surplus else ())
                    if line.message_id in session.surplus
                ),
            )
        reach = self._window.lookback
        self._lines = [*self._lines, *turn][-reach:]
        self._texts = [*self._texts, *map(render_line, turn)][-reach:]
        self._sessions = [*self._sessions, *(session for _ in turn)][-reach:]
        return pair


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
    roster: Path | None = option(
        None, options.ROSTER, default_text="roster.toml next to the export"
    )
    last: int | None = option(None, "Use only the last N messages", least=1)
    since: datetime | None = option(
        None, "Use messages since this day, such as 2024-03-31", metavar="DATE"
    )
    min_messages: int = option(MIN_MESSAGES, options.MIN_MESSAGES)
    test_share: float = option(
        TEST, "Share of messages in the test split", above=0, most=0.9, panel="Conversations"
    )
    validation_share: float = VALIDATION
    review: Path | None = option(None, "Write doubtful pairs to this CSV file; mark those to drop")
    zone: tzinfo | None = option(None, options.TIMEZONE)
    public: bool = option(
        False, "The chat is public: the bot may speak anywhere", name="public-chat"
    )
    skip_damaged: bool = option(False, options.SKIP_DAMAGED)
    processes: int = option(
        1, "Worker processes for redaction", least=0, default_text="by cores and messages",
        panel="Conversations",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check_options(self)


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What determines a chat's sessions, apart from its messages.

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
    """The messages of a chat from which pairs are created, and the rules for it."""

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
        self.rules = SessionRules(roster, choices.window, repeats, quiet_hour)

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
