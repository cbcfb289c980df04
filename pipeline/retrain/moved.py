"""A basic group that became a supergroup: its history goes on under the supergroup's id and ids.

The supergroup's export holds what was said before, each id less by SHIFT, so that it proves itself
whose it is: the same people said something at the same seconds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from model import artifact
from pipeline.export.archive import Archive, Chat
from pipeline.export.entries import Row
from pipeline.export.ids import CHANNEL_OFFSET, SHIFT
from pipeline.retrain.foreign import FOREIGN, GROUP, is_foreign
from pipeline.retrain.history import Cover, Head, History, folder_of, histories, open_history
from pipeline.retrain.ledger import Ledger
from pipeline.retrain.whole import Entry

_ENOUGH = 0.9  # of what the history has of that time: some was deleted since

Said = tuple[int, int]
"""Who said something, and when."""


@dataclass(frozen=True, slots=True)
class Move:
    """A kept history as its supergroup's, and the chat in the export that proves it."""

    chat: Chat
    history: History
    renumbered: Callable[[int], int]

    def rows(self, names: dict[str | None, int]) -> Iterator[Row]:
        """Yield the history's rows with the supergroup's ids; see History.rows."""
        for one in map(Entry._make, self.history.rows(names)):
            reply = None if one.reply is None else self.renumbered(one.reply)
            yield one._replace(number=self.renumbered(one.number), reply=reply)


def is_supergroup(chat_id: int) -> bool:
    """Whether an id of the Bot API's is a supergroup's, or a channel's."""
    return chat_id < -CHANNEL_OFFSET


def heir(root: Path, chat: artifact.Chat) -> artifact.Chat:
    """Return the supergroup that a chat became in an earlier retraining, else the chat."""
    if is_supergroup(chat.chat_id):
        return chat
    heads = (history.head for history in histories(root))
    later = (head for head in heads if head and head.former == chat.chat_id)
    return next((artifact.Chat(head.chat_id, head.name) for head in later), chat)


def may_be_moved(root: Path, found: Archive, expected: artifact.Chat) -> bool:
    """Whether a file lacks a basic group whose history is kept, and holds a supergroup."""
    if expected.chat_id in found.chats or not any(map(is_supergroup, found.chats)):
        return False
    head = open_history(root, expected.chat_id).head
    return head is not None and head.kind == GROUP


def move_of(root: Path, found: Archive, expected: artifact.Chat) -> Move | None:
    """Return how a basic group's history goes on in an export, None where it does not."""
    history = open_history(root, expected.chat_id)
    if history.head is None or not may_be_moved(root, found, expected):
        return None
    for chat in found.chats.values():
        if not is_supergroup(chat.chat_id) or open_history(root, chat.chat_id).head:
            continue
        if offset := _offset(history, _earlier(found, chat)):
            return _move(root, history, history.head, chat, offset)
    return None


def _earlier(found: Archive, chat: Chat) -> dict[int, Said]:
    """Return by id what a supergroup's export holds of the basic group."""
    entries = map(Entry._make, found.spool.rows(chat.chat_id))
    return {
        one.number: (one.author, one.at) for one in entries if one.is_message and one.number < 0
    }


def _offset(history: History, earlier: Mapping[int, Said]) -> int | None:
    """Return what to add to the history's ids, None where it is another chat's.

    Another account counted the messages otherwise. Then all stand far away, where `settle` lets the
    export's stand for them as it does for the bot's.
    """
    times = [at for _, at in earlier.values()]
    known = {
        one.number: (one.author, one.at)
        for one in map(Entry._make, history.rows({}))
        if times and one.is_message and min(times) <= one.at <= max(times)
    }
    own = {number: said for number, said in known.items() if not is_foreign(number)}
    if _are_most(own, (earlier.get(number - SHIFT) == said for number, said in own.items())):
        return -SHIFT
    there = set(earlier.values())
    if _are_most(known, (said in there for said in known.values())):
        return 2 * FOREIGN - SHIFT
    return None


def _are_most(known: Mapping[int, Said], hits: Iterable[bool]) -> bool:
    return bool(known) and sum(hits) >= _ENOUGH * len(known)


def _move(root: Path, history: History, head: Head, chat: Chat, offset: int) -> Move:
    def renumbered(number: int) -> int:
        return number - SHIFT if is_foreign(number) else number + offset

    moved = Head(
        chat.chat_id,
        chat.number or 0,
        chat.name,
        chat.kind,
        tuple(_moved_cover(cover, offset) for cover in head.covers),
        head.exports,
        head.chat_id,
    )
    ledger = _moved_ledger(history.ledger, renumbered)
    folder = folder_of(root, chat.chat_id)
    return Move(chat, replace(history, folder=folder, ledger=ledger, head=moved), renumbered)


def _moved_cover(cover: Cover, offset: int) -> Cover:
    return replace(cover, first=cover.first + offset, last=cover.last + offset)


def _moved_ledger(ledger: Ledger, renumbered: Callable[[int], int]) -> Ledger:
    """Return a ledger in the supergroup's ids; the bot's own are shifted by its dump."""
    return replace(
        ledger,
        forgotten=frozenset(number - SHIFT for number in ledger.forgotten),
        forgotten_words=frozenset(number - SHIFT for number in ledger.forgotten_words),
        aliases={bots - SHIFT: renumbered(real) for bots, real in ledger.aliases.items()},
    )
