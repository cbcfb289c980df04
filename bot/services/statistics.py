"""Count when the friends who agreed write, and find their characteristic words."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from model.chat.conversation import Message
from model.chat.eligibility import make_line, target_text
from model.chat.person import Person
from model.chat.roster import Roster
from model.chat.words import EMOJI, find_characteristic_words, split_shown_words

MAX_MESSAGES = 20_000
"""Number of newest messages that are counted."""
_MAX_READ, _MAX_SECONDS = 10_000, 2.0
"""Number of newest messages whose words are counted, and how long this may take.

Redacting an ordinary message takes 0.02 ms, a hostile one 4 ms.
"""
_WORDS, _EMOJI = 8, 3
_MIN_COUNT = 3
"""Minimum uses of a word that is shown: a rare word may be private."""


@dataclass(frozen=True, slots=True)
class PersonStatistics:
    """A friend's number of messages, characteristic words and favourite emoji."""

    name: str
    messages: int
    words: tuple[str, ...]
    emoji: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statistics:
    """What `/stats` shows of the stored messages of friends who agreed.

    `hours` has the messages of each weekday, from Monday, and hour, in the local time of the bot's
    machine. `sources` are the ids of the messages. The person with the most messages comes first.
    """

    messages: int
    since: datetime
    hours: tuple[tuple[int, ...], ...]
    people: tuple[PersonStatistics, ...]
    sources: frozenset[int]

    @property
    def busiest(self) -> tuple[int, int]:
        """Return the weekday and the hour with the most messages."""
        cells = [(day, hour) for day in range(7) for hour in range(24)]
        return max(cells, key=lambda cell: self.hours[cell[0]][cell[1]])


def compute_statistics(
    messages: Sequence[Message], roster: Roster, agreed: Iterable[Person]
) -> Statistics | None:
    """Return the statistics of messages, which come newest first; None if none count.

    Only messages by people who `agreed` count, and no commands.
    """
    by_id = {number: person for person in agreed for number in person.ids}
    own = [one for one in messages if one.author_id in by_id and not one.text.startswith("/")]
    if not own:
        return None
    hours = [[0] * 24 for _ in range(7)]
    written: Counter[str] = Counter()
    for message in own:
        local = message.sent_at.astimezone()
        hours[local.weekday()][local.hour] += 1
        written[by_id[message.author_id].name] += 1
    words: dict[str, Counter[str]] = {name: Counter() for name in written}
    emoji: dict[str, Counter[str]] = {name: Counter() for name in written}
    end = time.monotonic() + _MAX_SECONDS
    for message in takewhile(lambda _: time.monotonic() < end, own[:_MAX_READ]):
        if (line := make_line(message, roster)) and (text := target_text(line)):
            name = by_id[message.author_id].name
            words[name].update(split_shown_words(text))
            emoji[name].update(EMOJI.findall(text))
    hidden = roster.list_name_words({person.name for person in by_id.values()})
    for counts in words.values():
        for word in hidden & counts.keys():
            del counts[word]
    typical = find_characteristic_words(words, _WORDS, _MIN_COUNT)
    people = [
        PersonStatistics(
            name,
            count,
            tuple(one.word for one in typical[name]),
            tuple(one for one, _ in emoji[name].most_common(_EMOJI)),
        )
        for name, count in sorted(written.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Statistics(
        messages=len(own),
        since=own[-1].sent_at.astimezone(),
        hours=tuple(map(tuple, hours)),
        people=tuple(people),
        sources=frozenset(one.message_id for one in own),
    )
