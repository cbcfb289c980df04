"""A chat on its way to be whole again: its entries in a spool, and what was met on the way."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from model.eligible import WITHHELD, line_of, without_others
from model.marker import parse_spoken, spoken
from model.roster import Roster
from pipeline.export.archive import Chat
from pipeline.export.entries import Kind
from pipeline.export.spool import Spool
from pipeline.retrain.history import Cover, Head, History
from pipeline.retrain.ledger import Ledger


class Entry(NamedTuple):
    """A row of a spool, `entries.Row`, by name; `name` is a number of its spool's."""

    chat: int
    number: int
    kind: int
    at: int
    author: int
    name: int
    text: str
    reply: int | None
    flags: int
    edited: int

    @property
    def is_message(self) -> bool:
        """Whether somebody said it."""
        return self.kind == Kind.MESSAGE


@dataclass(frozen=True, slots=True)
class Given:
    """An export or a dump that was merged: its messages, of which so many were `known` before.

    A dump has the time when it was written.
    """

    file: Path
    sha256: str
    messages: int
    known: int
    first: datetime | None
    last: datetime | None
    written_at: datetime | None = None


@dataclass(slots=True)
class Merged:
    """A chat in a spool, and what was met on the way.

    `covers` are the exports' ranges, `known` the ids that are here with the time of their last
    edit, `before` how many messages the history had, `deleted` how many are gone since; `damaged`
    exports delete none. `unplaced` are forgotten messages of a basic group that cannot be told
    among the exports', `played` those who in a dump say nothing but the bot's lines. It `is_moved`
    where the history was a basic group's until now.
    """

    spool: Spool
    history: History
    chat: Chat
    ledger: Ledger
    covers: list[Cover]
    known: dict[int, int]
    before: int = 0
    deleted: int = 0
    unplaced: int = 0
    is_moved: bool = False
    given: list[Given] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)
    played: set[int] = field(default_factory=set)

    @property
    def head(self) -> Head:
        """Return what the next history says of itself."""
        chat, known = self.chat, self.history.head
        hashes = (one.sha256 for one in self.given if one.written_at is None)
        return Head(
            chat.chat_id,
            chat.number or 0,
            chat.name,
            chat.kind,
            tuple(dict.fromkeys(self.covers)),
            tuple(dict.fromkeys([*(known.exports if known else ()), *hashes])),
            known.former if known else None,
        )

    def entries(self) -> Iterator[Entry]:
        """Yield all entries of the chat, in order of id."""
        return map(Entry._make, self.spool.rows(self.chat.chat_id))

    def newer_than(self, moment: datetime, roster: Roster) -> int:
        """Return how many messages people wrote after a moment; bots do not count."""
        bots, at = roster.understudies | roster.bots, int(moment.timestamp())
        return sum(
            one.is_message and one.at > at and one.author not in bots for one in self.entries()
        )

    def drop(self, numbers: Iterable[int]) -> int:
        """Let messages go; return how many of them were there."""
        gone = [number for number in numbers if self.known.pop(number, None) is not None]
        self.spool.drop(self.chat.chat_id, gone)
        return len(gone)

    def keep(self, entries: Iterable[Entry], names: Sequence[str | None]) -> None:
        """Take in entries whose names are those of another spool."""
        ours = self.spool.names
        numbers = [ours.setdefault(name, len(ours)) for name in names]
        self.spool.keep(self._noted(one, numbers) for one in entries)

    def _noted(self, entry: Entry, numbers: Sequence[int]) -> Entry:
        self.known[entry.number] = max(entry.edited, self.known.get(entry.number, 0))
        return entry._replace(name=numbers[entry.name])


def withhold(whole: Merged, roster: Roster) -> None:
    """Replace the messages of people who withdrew by placeholders.

    The result gives exactly the prompts that the original messages give with this roster. Copies of
    their words in other people's messages are removed too. A forward may hold anyone's words, so no
    forward is kept once anyone has withdrawn.
    """
    out = {number for person in roster.people if person.learn == "no" for number in person.ids}
    out |= {number for number in whole.ledger.opted_out if roster.person(number) is None}
    texts = {}
    for message in whole.spool.messages(whole.chat.chat_id):
        is_ours = message.author_id in roster.understudies
        if message.author_id in out:
            texts[message.message_id] = WITHHELD if line_of(message, roster) else ""
        elif message.is_forward and out:
            texts[message.message_id] = WITHHELD
        elif is_ours and (played := parse_spoken(message.text)):
            line = line_of(message, roster)
            if line is not None and line.speaker is None:
                texts[message.message_id] = spoken(played[0], WITHHELD)
            elif out and (own := without_others(played[1], roster)) != played[1]:
                texts[message.message_id] = spoken(played[0], own)
        elif out and (own := without_others(message.text, roster)) != message.text:
            texts[message.message_id] = own
    whole.spool.retell(whole.chat.chat_id, texts)
