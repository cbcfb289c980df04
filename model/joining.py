"""Estimate when a voice would join a conversation unprompted: features and a logistic model."""

import json
import math
import random
import re
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from model.chat.conversation import Message, split_sessions
from model.chat.eligibility import Line, make_line, make_lines
from model.chat.names import fold
from model.chat.roster import Person, Roster
from model.errors import ArtifactError
from model.files import write_text

LOOKBACK_LINES = 30
"""Number of newest lines that the features look at."""

FEATURES = (
    *("replied", "replied_other", "named", "named_other", "question", "exchange", "absent"),
    *("lines_since", "minutes_since", "share", "others", "run", "opening", "length", "pace"),
    *("pause", "hour_sin", "hour_cos"),
)
"""What `compute_features` returns, in its order; see there."""

_LATELY = 10  # lines
_RUN = 5  # lines
_HEATED = 10  # lines a minute
_MINUTES = 120.0
_LETTERS = 1_500.0
_WORD = re.compile(r"\w+")
_QUESTION = re.compile(r"\?(?!\w)|[？؟\u037e]")
# Scripts that put no spaces between words: a name in them stands anywhere.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class LineFacts:
    """One line without its words.

    `by` is the friend who said it, `to` whose line it replies to, `named` who is named in it; None
    is anybody else. `ours` is what our own bot said, in whatever voice; `repeats` what its author
    said word for word before.
    """

    at: datetime
    by: str | None
    to: str | None = None
    named: tuple[str, ...] = ()
    question: bool = False
    length: int = 0
    ours: bool = False
    repeats: bool = False

    @property
    def may_be_answered(self) -> bool:
        """Whether it may be answered unasked: our bot never talks to itself, nor to echoes."""
        return not (self.ours or self.repeats)


def is_conversation_line(message: Message, roster: Roster) -> bool:
    """Whether a message is a line of somebody who may be learned from, or our bot's in a voice."""
    line = make_line(message, roster)
    return line is not None and line.speaker is not None


def split_conversations(
    lines: Iterable[Line], roster: Roster, gap: timedelta, names: "MentionFinder | None" = None
) -> Iterator[list[LineFacts]]:
    """Yield the conversations of one chat and topic, separated by silences of `gap` or longer.

    `names` is the roster's index. Pass it when calling this for each session of a chat.
    """
    names = names or _index_of(roster)
    known = (line for line in lines if line.speaker is not None)
    for session in split_sessions(known, gap):
        yield _heard(session, roster, names)


def compute_features(conversation: Sequence[LineFacts], voice: str) -> tuple[float, ...]:
    """Return what tells whether a friend answers the newest line, each from -1 to 1.

    replied, replied_other   it replies to a line of theirs, of another friend
    named, named_other       it names them, another friend
    question                 it asks something
    exchange                 who spoke before its author was they
    absent                   they said nothing lately
    lines_since              how many lines ago they spoke last, as a logarithm
    minutes_since            how long ago, likewise, up to two hours
    share, others            their part of the last ten lines, the part of those who are neither
                             they nor its author
    run                      how many lines its author said in a row, up to five
    opening                  it begins the conversation
    length                   its letters, as a logarithm
    pace                     lines of the last minute, up to ten
    pause                    the silence before it, as a logarithm
    hour_sin, hour_cos       the time of day in UTC, on a circle
    """
    recent = conversation[-LOOKBACK_LINES:]
    newest, lately = recent[-1], recent[-_LATELY:]
    own = next((n for n, said in enumerate(reversed(recent)) if said.by == voice), None)
    run = sum(1 for _ in takewhile(lambda said: _is_same(said, newest), reversed(recent)))
    since = LOOKBACK_LINES if own is None else own
    silent = _MINUTES if own is None else _minutes(recent[-1 - own].at, newest.at)
    angle = (newest.at.hour + newest.at.minute / 60) / 24 * math.tau
    return (
        float(newest.to == voice),
        float(newest.to not in {None, voice}),
        float(voice in newest.named),
        float(any(name != voice for name in newest.named)),
        float(newest.question),
        float(own == run),
        float(own is None),
        _log(since, LOOKBACK_LINES),
        _log(silent, _MINUTES),
        sum(said.by == voice for said in lately) / _LATELY,
        sum(said.by != voice and not _is_same(said, newest) for said in lately) / _LATELY,
        min(run, _RUN) / _RUN,
        float(len(recent) == 1),
        _log(newest.length, _LETTERS),
        min(lines_per_minute(conversation), _HEATED) / _HEATED,
        _log(_minutes(recent[-2].at, newest.at), _MINUTES) if recent[1:] else 1.0,
        math.sin(angle),
        math.cos(angle),
    )


def lines_per_minute(conversation: Sequence[LineFacts]) -> int:
    """Return how many lines were said in the minute up to the newest, at most `LOOKBACK_LINES`."""
    newest = conversation[-1].at
    return sum(newest - said.at < timedelta(minutes=1) for said in conversation[-LOOKBACK_LINES:])


class MentionFinder:
    """Finds which friends a text names: by name, alias, or a first name that only one has.

    The time depends on the length of the text, not on the number of friends.
    """

    def __init__(self, roster: Roster) -> None:
        self._names = [person.name for person in roster.people]
        firsts = Counter(fold(name.split()[0]) for name in self._names)
        self._words: dict[str, _Labels] = defaultdict(_Labels)  # by their first word
        self._signs: dict[str, _Labels] = defaultdict(
            _Labels
        )  # by their first character if it is a sign, such as an emoji
        self._anywhere = _Labels()
        for place, person in enumerate(roster.people):
            if person.learn != "yes":
                continue
            labels = {fold(person.name), *map(fold, person.aliases)}
            first = fold(person.name.split()[0])
            if firsts[first] == 1:
                labels.add(first)
            for label in labels - {""}:
                self._labels_for(label).add(label, place)

    def find_mentions(self, words: str) -> tuple[str, ...]:
        """Return the friends named in folded words, in the roster's order."""
        found: set[int] = set()
        for run in _WORD.finditer(words):
            if labels := self._words.get(run[0]):
                found.update(labels.at(words, run.start(), is_apart=True))
        if self._signs:
            for start, sign in enumerate(words):
                if (labels := self._signs.get(sign)) and _is_apart(words, start - 1):
                    found.update(labels.at(words, start, is_apart=True))
        if self._anywhere.lengths and _UNSPACED.search(words):
            for start in range(len(words)):
                found.update(self._anywhere.at(words, start, is_apart=False))
        return tuple(self._names[place] for place in sorted(found))

    def _labels_for(self, label: str) -> "_Labels":
        if _UNSPACED.search(label):
            return self._anywhere
        word = _WORD.match(label)
        return self._words[word[0]] if word else self._signs[label[0]]


class _Labels:
    """Names and aliases with their owners, looked up by each length that occurs."""

    def __init__(self) -> None:
        self.lengths: set[int] = set()
        self._owners: dict[str, list[int]] = {}

    def add(self, label: str, owner: int) -> None:
        """Add a label of an owner."""
        self.lengths.add(len(label))
        self._owners.setdefault(label, []).append(owner)

    def at(self, words: str, start: int, *, is_apart: bool) -> Iterator[int]:
        """Yield the owners of labels at a position; with `is_apart`, no letter may follow."""
        for length in self.lengths:
            owners = self._owners.get(words[start : start + length])
            if owners and not (is_apart and not _is_apart(words, start + length)):
                yield from owners


def _is_apart(words: str, place: int) -> bool:
    """Whether there is no letter or digit at this position."""
    return not 0 <= place < len(words) or not _WORD.match(words, place)


@lru_cache(maxsize=8)
def _index_of(roster: Roster) -> MentionFinder:
    return MentionFinder(roster)


def _heard(session: Iterable[Line], roster: Roster, names: MentionFinder) -> list[LineFacts]:
    """Return a conversation's facts; a reply and a repeat are known among the recent lines."""
    recent: deque[tuple[Line, str]] = deque(maxlen=LOOKBACK_LINES - 1)
    heard = []
    for line in session:
        words = fold(line.text)
        replied = next((one for one, _ in recent if one.message_id == line.reply_to), None)
        heard.append(
            LineFacts(
                at=line.sent_at,
                by=_name(roster.find_by_id(line.author_id)),
                to=_name(roster.find_by_id(replied.author_id)) if replied else None,
                named=names.find_mentions(words),
                question=bool(_QUESTION.search(line.text)),
                length=len(line.text),
                ours=line.author_id in roster.understudies,
                repeats=any(
                    one.author_id == line.author_id and said == words for one, said in recent
                ),
            )
        )
        recent.append((line, words))
    return heard


def _name(person: Person | None) -> str | None:
    return person.name if person else None


def _is_same(said: LineFacts, other: LineFacts) -> bool:
    """Whether two lines have one author; strangers count as one, our bot as another."""
    return (said.by, said.ours) == (other.by, other.ours)


def _minutes(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start) / timedelta(minutes=1))


def _log(value: float, most: float) -> float:
    return math.log1p(min(value, most)) / math.log1p(most)


FILE_NAME = "propensity.json"
ANSWER_TIME_LIMIT = timedelta(minutes=2)
"""What is said later answers no more: the chat had fallen silent."""

STRANGER = ""
"""Stands among the names of those answered for anybody who is no friend."""

LEVELS = tuple(range(5, 101, 5))
"""How chatty the bot may be: at each level a voice joins in so many percent of `MAX_JOIN_RATE`."""

MAX_JOIN_RATE = 0.6
"""A voice joins at most so often as its friend answers.

Not 1: people change, and in talk that they were not learned from some reach a bar half again as
often (docs/chatty.md). Nobody minds a bot that talks too little.
"""

_FORMAT = 1
_HEAVIEST = 1_000


@dataclass(frozen=True, slots=True)
class VoiceWeights:
    """One voice's regression: in the order of `FEATURES`, and by whose message it is.

    `thresholds` are what its chance must reach, in the order of `LEVELS`.
    """

    bias: float
    features: tuple[float, ...]
    after: Mapping[str, float]
    thresholds: tuple[float, ...]

    def probability(self, values: Sequence[float], author: str) -> float:
        """Return the probability at these features, after a message of this author."""
        products = (a * b for a, b in zip(self.features, values, strict=True))
        score = self.bias + self.after.get(author, 0.0) + sum(products)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, score))))


@dataclass(frozen=True, slots=True)
class Propensity:
    """The voices' regressions by name."""

    voices: Mapping[str, VoiceWeights]

    def probability(self, conversation: Sequence[LineFacts], voice: str) -> float:
        """Return how likely this friend is the one who answers the newest line.

        0 for whoever wrote it, for one whose habits are unknown, and for what wakes nobody.
        """
        newest, weights = conversation[-1], self.voices.get(voice)
        if weights is None or newest.by == voice or not newest.may_be_answered:
            return 0.0
        return weights.probability(compute_features(conversation, voice), newest.by or STRANGER)

    def probabilities(
        self, messages: Sequence[Message], roster: Roster, gap: timedelta
    ) -> dict[str, float]:
        """Return each voice's chance to answer the last of one chat and topic's messages.

        The last `LOOKBACK_LINES` lines are enough. Empty where the newest is
        not: a command, a forward, another bot's, or of somebody who may not be learned from.
        """
        if not messages or not is_conversation_line(messages[-1], roster):
            return {}
        *_, conversation = split_conversations(make_lines(messages, roster), roster, gap)
        return {
            person.name: self.probability(conversation, person.name) for person in roster.voices
        }

    def choose_joiner(
        self, chances: Mapping[str, float], chatty: float, chance: random.Random
    ) -> str | None:
        """Return who joins now, None for nobody: of those over their bar the likeliest.

        At level 0 nobody ever does. Between two levels the upper one's bar holds, and of those who
        reach it so many are drawn that all in all the level's share joins.

        Raises:
            ValueError: The level is not from 0 to 100.
        """
        if not 0 <= chatty <= LEVELS[-1]:
            raise ValueError(f"a level of {chatty} is not from 0 (never) to 100 (most)")
        step = bisect_left(LEVELS, chatty)
        known = {voice: likely for voice, likely in chances.items() if voice in self.voices}
        reach = [
            voice for voice in known if 0 < known[voice] >= self.voices[voice].thresholds[step]
        ]
        if not reach or chance.random() * LEVELS[step] >= chatty:
            return None
        return max(reach, key=known.__getitem__)


def write_propensity(propensity: Propensity, folder: Path) -> None:
    """Write propensity.json into an artifact's folder."""
    voices = {
        name: {
            "bias": weights.bias,
            "features": dict(zip(FEATURES, weights.features, strict=True)),
            "after": dict(weights.after),
            "bars": list(weights.thresholds),
        }
        for name, weights in propensity.voices.items()
    }
    value = {"format": _FORMAT, "voices": voices}
    write_text(folder / FILE_NAME, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def read_propensity(folder: Path) -> Propensity | None:
    """Read an artifact's propensity.json; None where it has none, as older ones.

    Raises:
        ArtifactError: It is damaged, or of another version.
    """
    path = folder / FILE_NAME
    try:
        return _propensity(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (
        AttributeError, KeyError, OSError, OverflowError, RecursionError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise ArtifactError(f"{path} is damaged ({error}): train again") from error


def _propensity(value: Mapping[str, Any]) -> Propensity:
    if value["format"] != _FORMAT:
        raise ValueError(f"format {value['format']!r} is not {_FORMAT}")
    _check_keys(value, {"format", "voices"})
    return Propensity({name: _weights(read) for name, read in value["voices"].items()})


def _weights(value: Mapping[str, Any]) -> VoiceWeights:
    _check_keys(value, {"bias", "features", "after", "bars"})
    _check_keys(value["features"], set(FEATURES))
    return VoiceWeights(
        bias=_number(value["bias"]),
        features=tuple(_number(value["features"][name]) for name in FEATURES),
        after={name: _number(weight) for name, weight in value["after"].items()},
        thresholds=_bars(value["bars"]),
    )


def _bars(value: Any) -> tuple[float, ...]:  # noqa: ANN401  JSON's border
    bars = tuple(map(_number, value))
    if len(bars) != len(LEVELS) or list(bars) != sorted(bars, reverse=True):
        raise ValueError(f"bars are {len(LEVELS)} falling chances, {value!r} is not")
    return bars


def _check_keys(value: Mapping[str, Any], wanted: set[str]) -> None:
    if wrong := set(value) ^ wanted:
        raise ValueError(f"{min(wrong)!r} is missing or unknown")


def _number(value: Any) -> float:  # noqa: ANN401  JSON's border
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -_HEAVIEST <= value <= _HEAVIEST:
        raise TypeError(f"a weight is a number from {-_HEAVIEST} to {_HEAVIEST}, {value!r} is not")
    return float(value)
