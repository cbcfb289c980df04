"""Compute the figures of a chat for its report: who talks when, with whom, and how."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

import numpy as np
import pandas as pd
from nltk.tokenize.casual import EMOTICON_RE
from numpy.typing import NDArray

from model.chat.permissions import Facts, permissions
from model.chat.roster import Roster
from model.chat.words import (
    EMOJI,
    Characteristic,
    find_characteristic_words,
    split_shown_words,
)
from model.speaking.voice_classifier import LINE_HABITS, measure_habits
from pipeline.dataset.pairs import Pair
from pipeline.dataset.storage import Conversations, Dataset

OTHERS = "[others]"
"""Everybody who is not named: strangers, and people who refused or withdrew.

The name of a person has no brackets, so nobody is called this.
"""

_WORDS, _EMOJI, _FAVOURITES = 12, 6, 4
_MIN_COUNT = 5
"""Minimum uses of a word that is shown: a rare word may be private."""

_MAX_TURNS = 20_000
"""Maximum turns read of a person, evenly spaced."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a person writes: means over their lines, and the length of their turns.

    `words` and `emoji` are characteristic of the person, `favourites` the most frequent emoji.
    `rates` are means by the names in `model.speaking.voice_classifier.LINE_HABITS`.
    """

    lines: int
    characters: float
    messages_per_turn: float
    rates: Mapping[str, float]
    words: tuple[Characteristic, ...]
    emoji: tuple[Characteristic, ...]
    favourites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PersonFigures:
    """One person; without consent there are no hours and no habits.

    `messages` are a voice's messages in its own words, and the lines of anybody else.
    """

    name: str
    messages: int
    share: float
    note: str = ""
    hours: tuple[int, ...] = ()
    habits: Habits | None = None


@dataclass(frozen=True, slots=True)
class ChatFigures:
    """A chat's figures, in the local time of its export.

    `hours` counts lines by weekday, from Monday, and hour: [7, 24]. `days` counts them by day.
    `replies` counts turns by their author and the author whom they answer.
    """

    zone: str
    messages: int
    hours: NDArray[np.int64]
    days: "pd.Series[int]"
    people: tuple[PersonFigures, ...]
    replies: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Visible:
    """The names of people whose words may be shown, and of those who have not answered yet.

    Nobody else is named.
    """

    agreed: frozenset[str] = frozenset()
    undecided: frozenset[str] = frozenset()

    def __and__(self, other: "Visible") -> "Visible":
        """Return what both allow."""
        agreed = self.agreed & other.agreed
        named = (self.agreed | self.undecided) & (other.agreed | other.undecided)
        return Visible(agreed, named - agreed)


def find_visible(roster: Roster, facts: Facts) -> Visible:
    """Return who is visible according to the roster, or their own `/optin`.

    An `/optout` from any of their accounts hides them.
    """
    agreed, undecided = set[str](), set[str]()
    for person, own in permissions(roster.people, facts):
        if "no" not in {own.learn, own.imitate}:
            (agreed if own.imitate == "yes" or own.has_agreed else undecided).add(person.name)
    return Visible(frozenset(agreed), frozenset(undecided))


def compute_figures(dataset: Dataset, visible: Visible, zone: tzinfo | None = None) -> ChatFigures:
    """Return a dataset's figures; `zone` replaces the export's own time.

    Raises:
        DatasetError: The dataset cannot be read.
    """
    lines = _tabulate_lines(dataset.conversations(), visible.agreed | visible.undecided)
    local, zone_name = _to_local(lines["at"], dataset.summary.utc_offsets, zone)
    hours = pd.crosstab(local.dt.day_of_week, local.dt.hour)
    hours = hours.reindex(index=range(7), columns=range(24), fill_value=0)
    counts = lines["by"].value_counts()
    by_hour = pd.crosstab(lines["by"], local.dt.hour).reindex(columns=range(24), fill_value=0)
    habits = measure_people(dataset, visible.agreed)
    own = {voice.name: voice.messages for voice in dataset.summary.voices}
    people = [
        PersonFigures(
            name=name,
            messages=own.get(str(name), int(count)),
            share=count / len(lines),
            note="has not agreed yet" if name in visible.undecided else "",
            hours=tuple(map(int, by_hour.loc[name])) if name in visible.agreed else (),
            habits=habits.get(name),
        )
        for name, count in counts.items()
    ]
    return ChatFigures(
        zone=zone_name,
        messages=dataset.summary.messages,
        hours=hours.to_numpy(np.int64),
        days=local.dt.floor("D").value_counts().sort_index(),
        people=tuple(people),
        replies=_count_replies(lines),
    )


def measure_people(dataset: Dataset, agreed: Collection[str]) -> dict[str, Habits]:
    """Return the habits of the people who agreed, from the turns of all splits.

    Their words are compared with those of all voices. Nothing else about other people is returned.
    """
    turns: dict[str, list[Pair]] = {}
    for pair in (*dataset.train, *dataset.validation, *dataset.test):
        turns.setdefault(pair.voice, []).append(pair)
    for name, own in turns.items():  # the tokenizer reads about 10,000 messages a second
        turns[name] = own[:: -(-len(own) // _MAX_TURNS)]
    hidden = dataset.roster.list_name_words(agreed)
    words, emoji = {}, {}
    for name, own in turns.items():
        texts = [text for pair in own for text in pair.target]
        words[name] = Counter(word for text in texts for word in split_shown_words(text))
        emoji[name] = Counter(found for text in texts for found in find_emoji(text))
        for word in hidden & words[name].keys():
            del words[name][word]
    typical = find_characteristic_words(words, _WORDS, _MIN_COUNT)
    typical_emoji = find_characteristic_words(emoji, _EMOJI, _MIN_COUNT)
    return {
        name: _measure_habits(own, typical[name], typical_emoji[name], emoji[name])
        for name, own in turns.items()
        if name in agreed
    }


def find_emoji(text: str) -> list[str]:
    """Return a text's emoji and typed smileys such as `:)`."""
    return [*EMOJI.findall(text), *(found[0] for found in EMOTICON_RE.finditer(text))]


def _tabulate_lines(conversations: Conversations, named: Collection[str]) -> pd.DataFrame:
    """Return a row for each line of a person, in the order of the conversations."""

    def shown(name: str) -> str:
        return name if name in named else OTHERS

    every = (conversation for split in conversations.values() for conversation in split)
    rows = [
        (number, line.at, shown(line.by or ""), line.to and shown(line.to))
        for number, conversation in enumerate(every)
        for line in conversation
        if not line.ours
    ]
    table = pd.DataFrame(rows, columns=["conversation", "at", "by", "to"])
    return table.assign(at=pd.to_datetime(table["at"], utc=True))


def _to_local(
    at: "pd.Series[pd.Timestamp]", changes: Sequence[tuple[str, int]], zone: tzinfo | None
) -> tuple["pd.Series[pd.Timestamp]", str]:
    """Return times without a zone, as the clocks of the export showed them, and the zone's name."""
    if zone is not None:
        return at.dt.tz_convert(zone).dt.tz_localize(None), str(zone)
    if not changes:
        return at.dt.tz_localize(None), "UTC"
    starts = pd.to_datetime([day for day, _ in changes]).to_numpy()
    offsets = np.array([minutes for _, minutes in changes]).astype("timedelta64[m]")
    utc = at.dt.tz_localize(None)
    periods = np.maximum(np.searchsorted(starts, utc.to_numpy(), side="right") - 1, 0)
    names = sorted({_name_offset(minutes) for _, minutes in changes})
    return utc + offsets[periods], "the export's time, " + " and ".join(names)


def _name_offset(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    sign = "−" if minutes < 0 else "+"
    return f"UTC{sign}{hours}{f':{rest:02d}' if rest else ''}" if minutes else "UTC"


def _count_replies(lines: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Count turns by author and addressee.

    A reply answers the author of the line it replies to; any other turn answers the author of the
    turn before it in the conversation.
    """
    is_start = (lines["by"] != lines["by"].shift()) | (
        lines["conversation"] != lines["conversation"].shift()
    )
    turns = lines[is_start]
    before = turns["by"].shift().where(turns["conversation"] == turns["conversation"].shift())
    addressee = turns["to"].fillna(before)
    pairs = pd.DataFrame({"by": turns["by"], "to": addressee}).dropna()
    pairs = pairs[(pairs["by"] != pairs["to"])]
    counts = pairs.value_counts()
    return {(str(by), str(to)): int(count) for (by, to), count in counts.items()}


def _measure_habits(
    turns: Sequence[Pair],
    words: tuple[Characteristic, ...],
    emoji: tuple[Characteristic, ...],
    emoji_counts: Mapping[str, int],
) -> Habits:
    texts = [text for pair in turns for text in pair.target]
    table = pd.DataFrame([measure_habits(text) for text in texts], columns=LINE_HABITS)
    favourites = sorted(emoji_counts, key=lambda one: (-emoji_counts[one], one))
    return Habits(
        lines=len(texts),
        characters=sum(map(len, texts)) / len(texts),
        messages_per_turn=len(texts) / len(turns),
        rates={str(name): float(rate) for name, rate in table.mean().items()},
        words=words,
        emoji=emoji,
        favourites=tuple(favourites[:_FAVOURITES]),
    )
