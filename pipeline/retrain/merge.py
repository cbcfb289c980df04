"""Merge a chat's history with new exports and dumps; follow groups that became supergroups."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from pathlib import Path

from model.artifacts import artifact
from model.chat.eligibility import (
    WITHHELD,
    add_voice_header,
    make_line,
    parse_voice_header,
    strip_other_authors,
)
from model.chat.names import make_printable_name
from model.chat.roster import Roster
from model.chat.telegram_ids import CHANNEL_OFFSET, MIGRATION_OFFSET, is_copy_id
from model.errors import ExportError
from pipeline.dataset.build import file_sha256
from pipeline.export.archive import Archive, ExportedChat, open_exports
from pipeline.export.entries import Kind, Row
from pipeline.export.merging import Spool
from pipeline.retrain.history import (
    Cover,
    Head,
    History,
    folder_of,
    histories,
    open_history,
)
from pipeline.versions.consent import Ledger, Notes


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
    chat: ExportedChat
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

    def entries(self) -> Iterator[Row]:
        """Yield all entries of the chat, in order of id."""
        return self.spool.rows(self.chat.chat_id)

    def newer_than(self, moment: datetime, roster: Roster) -> int:
        """Return how many messages people wrote after a moment; bots do not count."""
        bots, at = roster.understudies | roster.bots, int(moment.timestamp())
        return sum(
            one.is_message and one.at > at and one.author not in bots for one in self.entries()
        )

    def drop(self, numbers: Iterable[int]) -> int:
        """Let messages go; return how many of them were there."""
        gone = [number for number in numbers if self.known.pop(number, None) is not None]
        self.spool.delete_rows(self.chat.chat_id, gone)
        return len(gone)

    def keep(self, entries: Iterable[Row], names: Sequence[str | None]) -> None:
        """Take in entries whose names are those of another spool."""
        ours = self.spool.names
        numbers = [ours.setdefault(name, len(ours)) for name in names]
        self.spool.add_rows(self._noted(one, numbers) for one in entries)

    def _noted(self, entry: Row, numbers: Sequence[int]) -> Row:
        self.known[entry.number] = max(entry.edited, self.known.get(entry.number, 0))
        return entry._replace(name=numbers[entry.name])


def withhold(whole: Merged, roster: Roster) -> None:
    """Replace the messages of people who withdrew by placeholders.

    The result gives exactly the prompts that the original messages give with this roster. Copies of
    their words in other people's messages are removed too. A forward may hold anyone's words, so no
    forward is kept once anyone has withdrawn.
    """
    out = {number for person in roster.people if person.learn == "no" for number in person.ids}
    out |= {number for number in whole.ledger.opted_out if roster.find_by_id(number) is None}
    texts = {}
    for message in whole.spool.messages(whole.chat.chat_id):
        is_ours = message.author_id in roster.understudies
        if message.author_id in out:
            texts[message.message_id] = WITHHELD if make_line(message, roster) else ""
        elif message.is_forward and out:
            texts[message.message_id] = WITHHELD
        elif is_ours and (played := parse_voice_header(message.text)):
            line = make_line(message, roster)
            if line is not None and line.speaker is None:
                texts[message.message_id] = add_voice_header(played[0], WITHHELD)
            elif out and (own := strip_other_authors(played[1], roster)) != played[1]:
                texts[message.message_id] = add_voice_header(played[0], own)
        elif out and (own := strip_other_authors(message.text, roster)) != message.text:
            texts[message.message_id] = own
    whole.spool.replace_texts(whole.chat.chat_id, texts)


FOREIGN = 2**40
"""Added to the ids that the bot knows a basic group's messages by; Telegram's are below 2^31."""

GROUP = "private_group"


def is_foreign(number: int) -> bool:
    """Whether an id stands behind FOREIGN; what it is added to may be below zero."""
    return number > FOREIGN // 2


def is_bots_own(kind: str, number: int) -> bool:
    """Whether the bot alone calls a message so, in a dump of a chat of this kind."""
    return kind == GROUP or number < 0


def add_dumped(whole: Merged, entries: Sequence[Row], names: Sequence[str | None]) -> None:
    """Take in a dump's entries: they add what no export speaks for, and edits."""
    whole.played |= _played(entries)
    kind, fresh = whole.chat.kind, []
    for one in (_placed(kind, entry) for entry in entries):
        edited = whole.known.get(one.number)
        if edited is None:
            is_news = not any(cover.holds(one.number) for cover in whole.covers)
        else:
            is_news = one.edited > edited
        if is_news:
            fresh.append(one)
    whole.keep(fresh, names)


def settle(whole: Merged) -> None:
    """Let an export's message stand for the bot's of a basic group, once there is one."""
    foreign = [one for one in whole.entries() if is_foreign(one.number)]
    if not foreign:
        return
    places: dict[tuple[int, int], list[Row]] = defaultdict(list)
    earliest = min(one.at for one in foreign)
    for one in whole.entries():
        if one.is_message and one.at >= earliest and not is_foreign(one.number):
            places[one.author, one.at].append(one)
    aliases, gone, edited = dict(whole.ledger.aliases), [], []
    for one in foreign:
        if same := places.get((one.author, one.at)):
            real = next((other for other in same if other.text == one.text), same[0])
            same.remove(real)
            aliases[one.number - FOREIGN] = real.number
            gone.append(one.number)
            if one.edited > real.edited:
                edited.append(real._replace(text=one.text, edited=one.edited))
        elif any(cover.tells_of(one.number, one.at) for cover in whole.covers):
            gone.append(one.number)
            whole.deleted += any(cover.holds(one.number) for cover in whole.covers)
    whole.drop(gone)
    whole.keep(edited, list(whole.spool.names))
    now = {bots: aliases.get(real - FOREIGN, real) for bots, real in aliases.items()}
    whole.ledger = replace(whole.ledger, aliases=now)
    _aim(whole)


def forget(whole: Merged) -> None:
    """Let the forgotten messages go, under every id that they have.

    Of one that no export showed yet it stays known who said something when: the next may show it.
    """
    aliases, silent = dict(whole.ledger.aliases), set()
    written = _written_by_people(whole)
    words = set(whole.ledger.forgotten_words)
    for number in whole.ledger.forgotten:
        known = aliases.get(number, FOREIGN + number)
        if (known if is_bots_own(whole.chat.kind, number) else number) in written:
            words.add(number)
        if not is_bots_own(whole.chat.kind, number):
            whole.drop([number])
        elif number not in aliases and FOREIGN + number not in whole.known:
            whole.unplaced += 1
        elif is_foreign(real := aliases.setdefault(number, FOREIGN + number)):
            silent.add(real)
        else:
            whole.drop([real])
    _silence(whole, silent)
    whole.ledger = replace(whole.ledger, aliases=aliases, forgotten_words=frozenset(words))


def _written_by_people(whole: Merged) -> set[int]:
    """Return the ids of people's messages, or nothing if no message is to be forgotten."""
    if not whole.ledger.forgotten:
        return set()
    ours = whole.played | whole.ledger.understudies
    return {
        one.number
        for one in whole.entries()
        if one.is_message and one.author not in ours and parse_voice_header(one.text) is None
    }


def _silence(whole: Merged, numbers: Collection[int]) -> None:
    """Leave of messages no words, and nothing that counts as one."""
    silent = [
        one._replace(kind=Kind.SERVICE, name=0, text="")
        for one in (whole.entries() if numbers else ())
        if one.number in numbers
    ]
    whole.keep(silent, list(whole.spool.names))


def _placed(kind: str, entry: Row) -> Row:
    """Return a dump's entry as the merged chat has it."""
    number, reply = entry.number, entry.reply
    if is_bots_own(kind, number):
        number += FOREIGN
    if reply is not None and is_bots_own(kind, reply):
        reply += FOREIGN
    return entry._replace(number=number, reply=reply)


def _aim(whole: Merged) -> None:
    """Let replies to what has another id by now aim at that."""
    aliases = whole.ledger.aliases
    aimed = [
        one._replace(reply=aliases[one.reply - FOREIGN])
        for one in whole.entries()
        if one.reply is not None and one.reply - FOREIGN in aliases
    ]
    whole.keep(aimed, list(whole.spool.names))


def _played(entries: Iterable[Row]) -> set[int]:
    """Return who says nothing but lines with the bot's marker."""
    said: dict[int, bool] = {}
    for one in entries:
        if one.is_message:
            is_played = parse_voice_header(one.text) is not None
            said[one.author] = said.get(one.author, True) and is_played
    return {author for author, only in said.items() if only}


_ENOUGH = 0.9  # of what the history has of that time: some was deleted since

Said = tuple[int, int]
"""Who said something, and when."""


@dataclass(frozen=True, slots=True)
class Move:
    """A kept history as its supergroup's, and the chat in the export that proves it."""

    chat: ExportedChat
    history: History
    renumbered: Callable[[int], int]

    def rows(self, names: dict[str | None, int]) -> Iterator[Row]:
        """Yield the history's rows with the supergroup's ids; see History.rows."""
        for one in self.history.rows(names):
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


def _earlier(found: Archive, chat: ExportedChat) -> dict[int, Said]:
    """Return by id what a supergroup's export holds of the basic group."""
    entries = found.spool.rows(chat.chat_id)
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
        for one in history.rows({})
        if times and one.is_message and min(times) <= one.at <= max(times)
    }
    own = {number: said for number, said in known.items() if not is_foreign(number)}
    if _are_most(
        own, (earlier.get(number - MIGRATION_OFFSET) == said for number, said in own.items())
    ):
        return -MIGRATION_OFFSET
    there = set(earlier.values())
    if _are_most(known, (said in there for said in known.values())):
        return 2 * FOREIGN - MIGRATION_OFFSET
    return None


def _are_most(known: Mapping[int, Said], hits: Iterable[bool]) -> bool:
    return bool(known) and sum(hits) >= _ENOUGH * len(known)


def _move(root: Path, history: History, head: Head, chat: ExportedChat, offset: int) -> Move:
    def renumbered(number: int) -> int:
        return number - MIGRATION_OFFSET if is_foreign(number) else number + offset

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
        forgotten=frozenset(number - MIGRATION_OFFSET for number in ledger.forgotten),
        forgotten_words=frozenset(number - MIGRATION_OFFSET for number in ledger.forgotten_words),
        aliases={
            bots - MIGRATION_OFFSET: renumbered(real) for bots, real in ledger.aliases.items()
        },
    )


def number_now(whole: Merged, chat_id: int, number: int) -> int:
    """Return what a message of this chat, or of the basic group that it was, is called now."""
    aliases, was_group = whole.ledger.aliases, chat_id != whole.chat.chat_id
    now = number - MIGRATION_OFFSET if was_group else number
    if is_foreign(number):
        return aliases.get(now - FOREIGN, now)
    return aliases.get(now + FOREIGN, now) if was_group else now  # another account counts otherwise


def forgotten_now(whole: Merged) -> frozenset[int]:
    """Return what the forgotten messages are called now."""
    kind, ledger = whole.chat.kind, whole.ledger
    return frozenset(
        ledger.aliases.get(number, FOREIGN + number) if is_bots_own(kind, number) else number
        for number in ledger.forgotten
    )


def struck_now(whole: Merged, struck: Iterable[str]) -> frozenset[str]:
    """Return by today's ids the pairs that were struck out of an earlier dataset; see Pair.id."""
    pairs = (map(int, pair.split("/")) for pair in struck)
    return frozenset(
        f"{whole.chat.chat_id}/{number_now(whole, chat, number)}" for chat, number in pairs
    )


_NAMED = 5  # chats that a refusal names
_OTHER = "give exports of that chat, or another folder with --models"
_PROOF = "if that group became this supergroup, give the supergroup's export once"


@contextmanager
def merged(
    root: Path,
    exports: Sequence[Path],
    dumps: Sequence[Notes],
    expected: artifact.Chat | None,
    wanted: str | None = None,
    zone: tzinfo | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> Iterator[Merged]:
    """Merge into what a folder of models keeps of a chat; that is not changed yet.

    `exports` come oldest first. `expected` is the chat that the model learned; without one it is
    the first export's, the `wanted` one where there are several. A basic group's history goes on
    in the export of the supergroup that it became.

    Raises:
        ExportError: A file is of another chat, or no export.
        DatasetError: The history is damaged.
    """
    with closing(Spool()) as spool:
        whole: Merged | None = None
        for file in exports:
            with open_exports([file], None if expected else wanted, zone, step) as found:
                move = None if whole or not expected else move_of(root, found, expected)
                chat = move.chat if move else _chosen(found, file, expected, wanted)
                expected = artifact.Chat(chat.chat_id, chat.name)
                whole = whole or _begun(root, spool, chat, move)
                _add_export(whole, found, chat, file)
        if whole:
            settle(whole)
        for notes in sorted(dumps, key=lambda one: one.written_at):
            with open_exports([notes.file], None, zone, step) as found:
                chat = _chosen(found, notes.file, expected, None, _advice(root, found, expected))
                expected = artifact.Chat(chat.chat_id, chat.name)
                whole = whole or _begun(root, spool, chat)
                _add_dump(whole, found, chat, notes)
        if whole is None:
            raise ExportError("no export is given: name the result.json that Telegram wrote")
        _make_whole(whole, dumps)
        yield whole


def _chosen(
    found: Archive,
    file: Path,
    expected: artifact.Chat | None,
    wanted: str | None,
    advice: str = _OTHER,
) -> ExportedChat:
    """Return the chat to merge.

    Raises:
        ExportError: It is not in the file; the text names both chats.
    """
    if expected is None:
        return found.only(wanted)
    if expected.chat_id in found.chats:
        return found.chats[expected.chat_id]
    some = list(found.chats.values())[:_NAMED]
    holds = ", ".join(
        make_printable_name(one.name) + (f" ({one.chat_id})" if one.name == expected.title else "")
        for one in some
    )
    raise ExportError(
        f"{file} is of {holds}, not of {make_printable_name(expected.title)} ({expected.chat_id}): "
        f"{advice}"
    )


def _advice(root: Path, found: Archive, expected: artifact.Chat | None) -> str:
    """Return what to do about a dump where it is of another chat."""
    return _PROOF if expected and may_be_moved(root, found, expected) else _OTHER


def _begun(root: Path, spool: Spool, chat: ExportedChat, move: Move | None = None) -> Merged:
    """Return the chat's history as what all else is merged into."""
    history = move.history if move else open_history(root, chat.chat_id)
    spool.add_rows((move or history).rows(spool.names))
    covers = list(history.head.covers) if history.head else []
    own = ExportedChat(chat.chat_id, chat.number, chat.name, chat.kind)
    whole = Merged(spool, history, own, history.ledger, covers, {}, is_moved=move is not None)
    for one in whole.entries():
        whole.known[one.number] = one.edited
        whole.before += one.is_message
    return whole


def _make_whole(whole: Merged, dumps: Sequence[Notes]) -> None:
    """Bring together what all files say."""
    settle(whole)
    whole.ledger = whole.ledger.with_notes(dumps)
    forget(whole)
    whole.spool.assign_topics(whole.chat.chat_id)


def _add_export(whole: Merged, found: Archive, chat: ExportedChat, file: Path) -> None:
    """Take in an export: it says what there is in its range, except where a newer one says it."""
    whole.chat.name = chat.name
    whole.chat.tally.repaired.update(chat.tally.repaired)
    whole.chat.tally.skipped.update(chat.tally.skipped)
    whole.chat.unread.update(chat.unread)
    whole.chat.sizes |= chat.sizes
    whole.given.append(_given(whole, found, chat, file))
    cover = _cover(found.spool, chat.chat_id)
    if cover is None:
        return
    newer = [other for other in whole.covers if other.newest > cover.newest]

    def is_decided(number: int) -> bool:
        return any(other.holds(number) for other in newer)

    whole.keep(
        (
            one
            for one in _entries(found, chat)
            if one.number in whole.known or not is_decided(one.number)
        ),
        list(found.spool.names),
    )
    whole.covers.append(cover)
    if chat.tally.skipped:
        whole.damaged.append(file)
        return
    there = {one.number for one in _entries(found, chat)}
    known = [number for number in whole.known if cover.holds(number) and number not in there]
    whole.deleted += whole.drop(number for number in known if not is_decided(number))


def _add_dump(whole: Merged, found: Archive, chat: ExportedChat, notes: Notes) -> None:
    """Take in a dump.

    Raises:
        ExportError: Its notes are of another chat than its messages.
    """
    if notes.chat_id != chat.chat_id:
        raise ExportError(
            f"{notes.file} holds messages of chat {chat.chat_id} and what was told in chat "
            f"{notes.chat_id}: write it again with `understudy-bot dump`"
        )
    given = _given(whole, found, chat, notes.file)
    whole.given.append(replace(given, written_at=notes.written_at))
    add_dumped(whole, list(_entries(found, chat)), list(found.spool.names))


def _entries(found: Archive, chat: ExportedChat) -> Iterator[Row]:
    return found.spool.rows(chat.chat_id)


def _cover(spool: Spool, chat_id: int) -> Cover | None:
    counts = spool.counts(chat_id)
    if counts.first is None or counts.last is None:
        return None
    messages = (one for one in spool.rows(chat_id) if one.is_message and not is_copy_id(one.number))
    first = last = next(messages).number
    for one in messages:
        last = one.number  # they come in order of id
    newest = min(counts.last.timestamp(), time.time())  # no later export outdates the future
    return Cover(first, last, int(counts.first.timestamp()), int(newest))


def _given(whole: Merged, found: Archive, chat: ExportedChat, file: Path) -> Given:
    counts = found.spool.counts(chat.chat_id)
    known = sum(one.is_message and one.number in whole.known for one in _entries(found, chat))
    return Given(file, file_sha256(file), counts.messages, known, counts.first, counts.last)
