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
from model.chat.names import fold, make_json_printable
from model.chat.roster import Roster
from model.chat.words import UNSPACED
from model.errors import ArtifactError
from model.files import write_text

LOOKBACK_LINES = 30
"""Number of newest lines that the features look at."""

FEATURES = (
    *("replied", "replied_other", "named", "named_other", "question", "exchange", "absent"),
    *("lines_since", "minutes_since", "share", "others", "run", "opening", "length", "pace"),
    *("pause", "hour_sin", "hour_cos"),
)
"""The names of the values of `compute_features`, which explains them."""

ANSWER_TIME_LIMIT = timedelta(minutes=2)
"""A later line is not an answer: the chat had fallen silent."""

STRANGER = ""
"""The author's name in `VoiceWeights.after` for everybody who is not a friend."""

LEVELS = tuple(range(5, 101, 5))
"""How chatty the bot may be: at each level a voice joins this percentage of `MAX_JOIN_RATE`."""

MAX_JOIN_RATE = 0.6
"""How often a voice joins at the highest level, as a share of how often its friend answers.

It is below 1 because people change: on conversations that they were not trained on, some voices
exceed their threshold half again as often (docs/development/experiments.md). A quiet bot disturbs
nobody.
"""

FILE_NAME = "propensity.json"

_FORMAT = 1
_MAX_WEIGHT = 1_000
_RECENT_LINES = 10
_MAX_RUN = 5  # lines
_MAX_PACE = 10  # lines a minute
_MAX_MINUTES = 120.0
_MAX_LENGTH = 1_500.0  # characters
_WORD = re.compile(r"\w+")
_QUESTION = re.compile(r"\?(?!\w)|[？؟\u037e]")


@dataclass(frozen=True, slots=True)
class LineFacts:
    """The facts about a line that the features need, without its words.

    `by` is the friend who wrote it, `to` the author of the line it replies to, `named` the friends
    whose names it contains; None is anybody else. `ours` marks lines of our own bot, in any voice,
    and `repeats` a line that its author wrote before, word for word.
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
        """Whether a voice may answer unprompted: never our bot's lines, nor repeated ones."""
        return not (self.ours or self.repeats)

    def has_same_author(self, other: "LineFacts") -> bool:
        """Whether two lines have the same author; all strangers count as one author."""
        return (self.by, self.ours) == (other.by, other.ours)


def is_conversation_line(message: Message, roster: Roster) -> bool:
    """Whether a message is our bot's in a voice, or by somebody whose messages may be used."""
    line = make_line(message, roster)
    return line is not None and line.speaker is not None


def split_conversations(
    lines: Iterable[Line], roster: Roster, gap: timedelta, finder: "MentionFinder | None" = None
) -> Iterator[list[LineFacts]]:
    """Yield the conversations of one chat and topic, separated by pauses of `gap` or longer.

    Pass the roster's `finder` when calling this for each session of a chat. Replies and repetitions
    are recognised within `LOOKBACK_LINES`.
    """
    finder = finder or _make_finder(roster)
    for session in split_sessions((line for line in lines if line.speaker is not None), gap):
        recent: deque[tuple[Line, str]] = deque(maxlen=LOOKBACK_LINES - 1)
        conversation = []
        for line in session:
            words = fold(line.text)
            author = roster.find_by_id(line.author_id)
            replied = next((one for one, _ in recent if one.message_id == line.reply_to), None)
            addressee = roster.find_by_id(replied.author_id) if replied else None
            facts = LineFacts(
                at=line.sent_at,
                by=author.name if author else None,
                to=addressee.name if addressee else None,
                named=finder.find_mentions(words),
                question=bool(_QUESTION.search(line.text)),
                length=len(line.text),
                ours=line.author_id in roster.understudies,
                repeats=any(
                    one.author_id == line.author_id and earlier == words for one, earlier in recent
                ),
            )
            conversation.append(facts)
            recent.append((line, words))
        yield conversation


def compute_features(conversation: Sequence[LineFacts], voice: str) -> tuple[float, ...]:
    """Return the features that predict whether a friend answers the newest line, each -1 to 1.

    replied, replied_other   it replies to a line of this friend, of another friend
    named, named_other       it names this friend, another friend
    question                 it asks a question
    exchange                 this friend wrote the line before its author's lines
    absent                   this friend has no recent line
    lines_since              lines since this friend's last one, as a logarithm
    minutes_since            minutes since then, as a logarithm, up to two hours
    share, others            share of the last ten lines by this friend, and by anybody except this
                             friend and its author
    run                      consecutive lines of its author, up to five
    opening                  it starts the conversation
    length                   its characters, as a logarithm
    pace                     lines of the last minute, up to ten
    pause                    the pause before it, as a logarithm
    hour_sin, hour_cos       the time of day in UTC, on a circle
    """
    recent = conversation[-LOOKBACK_LINES:]
    newest, last_ten = recent[-1], recent[-_RECENT_LINES:]
    own = next((n for n, line in enumerate(reversed(recent)) if line.by == voice), None)
    run = sum(1 for _ in takewhile(newest.has_same_author, reversed(recent)))
    lines_since = LOOKBACK_LINES if own is None else own
    minutes_since = _MAX_MINUTES if own is None else _minutes(recent[-1 - own].at, newest.at)
    angle = (newest.at.hour + newest.at.minute / 60) / 24 * math.tau
    return (
        float(newest.to == voice),
        float(newest.to not in {None, voice}),
        float(voice in newest.named),
        float(any(name != voice for name in newest.named)),
        float(newest.question),
        float(own == run),
        float(own is None),
        _log_share(lines_since, LOOKBACK_LINES),
        _log_share(minutes_since, _MAX_MINUTES),
        sum(line.by == voice for line in last_ten) / _RECENT_LINES,
        sum(line.by != voice and not newest.has_same_author(line) for line in last_ten)
        / _RECENT_LINES,
        min(run, _MAX_RUN) / _MAX_RUN,
        float(len(recent) == 1),
        _log_share(newest.length, _MAX_LENGTH),
        min(lines_per_minute(conversation), _MAX_PACE) / _MAX_PACE,
        _log_share(_minutes(recent[-2].at, newest.at), _MAX_MINUTES) if recent[1:] else 1.0,
        math.sin(angle),
        math.cos(angle),
    )


def lines_per_minute(conversation: Sequence[LineFacts]) -> int:
    """Return the number of lines in the minute up to the newest, at most `LOOKBACK_LINES`."""
    newest = conversation[-1].at
    recent = conversation[-LOOKBACK_LINES:]
    return sum(newest - line.at < timedelta(minutes=1) for line in recent)


def _minutes(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start) / timedelta(minutes=1))


def _log_share(value: float, most: float) -> float:
    """Return the logarithm of a value as a share of the maximum's logarithm."""
    return math.log1p(min(value, most)) / math.log1p(most)


class MentionFinder:
    """Finds the friends that a text mentions: by name, alias, or a first name that only one has.

    The time depends on the length of the text, not on the number of friends.
    """

    def __init__(self, roster: Roster) -> None:
        self._names = [person.name for person in roster.people]
        self._by_word: dict[str, _Labels] = defaultdict(_Labels)  # by their first word
        # By their first character if that is not a letter, such as an emoji.
        self._by_sign: dict[str, _Labels] = defaultdict(_Labels)
        self._unspaced = _Labels()
        first_names = Counter(fold(name.split()[0]) for name in self._names)
        for owner, person in enumerate(roster.people):
            if person.learn != "yes":
                continue
            labels = {fold(person.name), *map(fold, person.aliases)}
            first = fold(person.name.split()[0])
            if first_names[first] == 1:
                labels.add(first)
            for label in labels - {""}:
                if UNSPACED.search(label):
                    index = self._unspaced
                elif word := _WORD.match(label):
                    index = self._by_word[word[0]]
                else:
                    index = self._by_sign[label[0]]
                index.add(label, owner)

    def find_mentions(self, words: str) -> tuple[str, ...]:
        """Return the friends mentioned in folded words, in the roster's order."""
        owners: set[int] = set()
        for word in _WORD.finditer(words):
            if labels := self._by_word.get(word[0]):
                owners.update(labels.find_at(words, word.start(), is_whole_word=True))
        if self._by_sign:
            for start, sign in enumerate(words):
                if (labels := self._by_sign.get(sign)) and not _is_letter_at(words, start - 1):
                    owners.update(labels.find_at(words, start, is_whole_word=True))
        if self._unspaced.lengths and UNSPACED.search(words):
            for start in range(len(words)):
                owners.update(self._unspaced.find_at(words, start, is_whole_word=False))
        return tuple(self._names[owner] for owner in sorted(owners))


class _Labels:
    """Names and aliases with their owners, looked up by each length that occurs."""

    def __init__(self) -> None:
        self.lengths: set[int] = set()
        self._owners: dict[str, list[int]] = {}

    def add(self, label: str, owner: int) -> None:
        """Add a label of an owner."""
        self.lengths.add(len(label))
        self._owners.setdefault(label, []).append(owner)

    def find_at(self, words: str, start: int, *, is_whole_word: bool) -> Iterator[int]:
        """Yield the owners of labels at a position; after a whole word no letter may follow."""
        for length in self.lengths:
            owners = self._owners.get(words[start : start + length])
            if owners and not (is_whole_word and _is_letter_at(words, start + length)):
                yield from owners


def _is_letter_at(words: str, position: int) -> bool:
    """Whether there is a letter or digit at this position."""
    return 0 <= position < len(words) and _WORD.match(words, position) is not None


@lru_cache(maxsize=8)
def _make_finder(roster: Roster) -> MentionFinder:
    return MentionFinder(roster)


@dataclass(frozen=True, slots=True)
class VoiceWeights:
    """One voice's logistic regression.

    `features` has the order of `FEATURES`; `after` holds a weight for each author of the newest
    line. `thresholds` are the minimum probabilities to join, in the order of `LEVELS`.
    """

    bias: float
    features: tuple[float, ...]
    after: Mapping[str, float]
    thresholds: tuple[float, ...]

    def probability(self, values: Sequence[float], author: str) -> float:
        """Return the probability for these features, after a message of this author."""
        products = (a * b for a, b in zip(self.features, values, strict=True))
        score = self.bias + self.after.get(author, 0.0) + sum(products)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, score))))


@dataclass(frozen=True, slots=True)
class Propensity:
    """The voices' regressions by name."""

    voices: Mapping[str, VoiceWeights]

    def probability(self, conversation: Sequence[LineFacts], voice: str) -> float:
        """Return the probability that this friend answers the newest line.

        It is 0 for the author, for a friend without weights, and if the line may not be answered.
        """
        newest, weights = conversation[-1], self.voices.get(voice)
        if weights is None or newest.by == voice or not newest.may_be_answered:
            return 0.0
        return weights.probability(compute_features(conversation, voice), newest.by or STRANGER)

    def probabilities(
        self, messages: Sequence[Message], roster: Roster, gap: timedelta
    ) -> dict[str, float]:
        """Return each voice's probability to answer the last message of one chat and topic.

        Pass at least the last `LOOKBACK_LINES` conversation lines and the messages between them.
        The result is empty if the last message is not a conversation line: a command, a forward,
        another bot's, or of somebody whose messages must not be used.
        """
        if not messages or not is_conversation_line(messages[-1], roster):
            return {}
        *_, conversation = split_conversations(make_lines(messages, roster), roster, gap)
        return {
            person.name: self.probability(conversation, person.name) for person in roster.voices
        }

    def choose_joiner(
        self, probabilities: Mapping[str, float], chatty: float, rng: random.Random
    ) -> str | None:
        """Return the voice that joins now: the likeliest above its threshold, or None.

        At level 0 nobody joins. Between two levels the threshold of the upper one applies; joins
        are then dropped at random to reach the rate of the level in between.

        Raises:
            ValueError: The level is not from 0 to 100.
        """
        if not 0 <= chatty <= LEVELS[-1]:
            raise ValueError(f"the level must be from 0 (never) to 100 (most), not {chatty}")
        step = bisect_left(LEVELS, chatty)
        candidates = {
            voice: probability
            for voice, probability in probabilities.items()
            if voice in self.voices and 0 < probability >= self.voices[voice].thresholds[step]
        }
        if not candidates or rng.random() * LEVELS[step] >= chatty:
            return None
        return max(candidates, key=candidates.__getitem__)


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
    """Read an artifact's propensity.json; return None for older artifacts, which have none.

    Raises:
        ArtifactError: It is damaged, or from another version.
    """
    path = folder / FILE_NAME
    try:
        return _parse_propensity(make_json_printable(json.loads(path.read_text("utf-8"))))
    except FileNotFoundError:
        return None
    except (
        AttributeError, KeyError, OSError, OverflowError, RecursionError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise ArtifactError(f"{path} is damaged ({error}): train again") from error


def _parse_propensity(value: Mapping[str, Any]) -> Propensity:
    if value["format"] != _FORMAT:
        raise ValueError(f"format {value['format']!r} is not {_FORMAT}")
    _check_keys(value, {"format", "voices"})
    return Propensity({name: _parse_weights(one) for name, one in value["voices"].items()})


def _parse_weights(value: Mapping[str, Any]) -> VoiceWeights:
    _check_keys(value, {"bias", "features", "after", "bars"})
    _check_keys(value["features"], set(FEATURES))
    thresholds = tuple(map(_check_weight, value["bars"]))
    if len(thresholds) != len(LEVELS) or list(thresholds) != sorted(thresholds, reverse=True):
        raise ValueError(
            f"bars must be {len(LEVELS)} decreasing probabilities, not {value['bars']!r}"
        )
    return VoiceWeights(
        bias=_check_weight(value["bias"]),
        features=tuple(_check_weight(value["features"][name]) for name in FEATURES),
        after={name: _check_weight(weight) for name, weight in value["after"].items()},
        thresholds=thresholds,
    )


def _check_keys(value: Mapping[str, Any], expected: set[str]) -> None:
    if wrong := set(value) ^ expected:
        raise ValueError(f"{min(wrong)!r} is missing or unknown")


def _check_weight(value: Any) -> float:  # noqa: ANN401  JSON's border
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -_MAX_WEIGHT <= value <= _MAX_WEIGHT:
        raise TypeError(
            f"a weight must be a number from {-_MAX_WEIGHT} to {_MAX_WEIGHT}, not {value!r}"
        )
    return float(value)
