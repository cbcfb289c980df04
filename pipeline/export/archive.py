"""All chats of one or several exports: found, read, merged and joined."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path

from model.errors import ExportError, describe_error
from model.naming import fold, visible_name
from pipeline.export.entries import Entries, Tally
from pipeline.export.events import Fault, Heading, Told
from pipeline.export.files import HOW, export_files, read
from pipeline.export.ids import chat_id_of, is_whole
from pipeline.export.spool import Spool

ShowReading = Callable[[Path], AbstractContextManager[Told]]
"""Shows how much of a file is read: is entered before, and told each time how many bytes more."""

UNNAMED = "a chat without a name"
SAME_ID = "an id that another message has too"
UNKNOWN = -(2**62)
"""Stands for the id of a chat whose own lines are damaged."""

MAX_LISTED = 20
"""If there are more chats, only the largest are listed."""

_GROUP = "private_group"
_SUPERGROUPS = ("private_supergroup", "public_supergroup")
_MOST_PLACES = 100


@dataclass(frozen=True, slots=True)
class Trouble:
    """A damaged place: `offset` in bytes from the file's start, `after` the id read before it."""

    file: Path
    offset: int
    after: int | None
    what: str


@dataclass(slots=True)
class Chat:
    """A chat of the exports; `number` is its id as they write it, `joined` are basic groups.

    `unread` counts the bytes of each file that damage made unreadable, `sizes` are the files'.
    """

    chat_id: int
    number: int | None
    name: str
    kind: str
    tally: Tally = field(default_factory=Tally)
    joined: list[int] = field(default_factory=list)
    former_names: list[str] = field(default_factory=list)
    places: list[Trouble] = field(default_factory=list)
    unread: Counter[Path] = field(default_factory=Counter)
    sizes: dict[Path, int] = field(default_factory=dict)

    @property
    def has_name(self) -> bool:
        """Whether the export says what the chat is called."""
        return self.name != UNNAMED

    def note(self, fault: Fault, file: Path, after: int | None) -> None:
        """Count a fault; the first hundred keep their places."""
        counter = self.tally.skipped if fault.is_lost else self.tally.repaired
        counter[fault.what] += 1
        if fault.unread:
            self.unread[file] += fault.unread
        if len(self.places) < _MOST_PLACES:
            self.places.append(Trouble(file, fault.offset, after, fault.what))

    def take_in(self, group: "Chat") -> None:
        """Become one with the basic group that this chat was."""
        self.joined.append(group.chat_id)
        self.former_names.append(group.name)
        self.tally.repaired.update(group.tally.repaired)
        self.tally.skipped.update(group.tally.skipped)
        self.tally.messages_skipped += group.tally.messages_skipped
        self.places += group.places
        self.unread.update(group.unread)
        self.sizes |= group.sizes

    def unread_share(self, file: Path) -> float:
        """Return how much of a file damage made unreadable."""
        return self.unread[file] / max(1, self.sizes[file])


@dataclass(slots=True)
class Archive:
    """What was read: the files, the chats by their Bot API's id, their entries in the spool."""

    spool: Spool
    files: tuple[Path, ...]
    chats: dict[int, Chat] = field(default_factory=dict)

    def open(self, chat: Chat) -> Chat:
        """Return the chat of this id; of what several exports say of it the last holds."""
        if chat.number is None:  # which chat it is nobody knows: it stays one of its own
            chat.chat_id -= len(self.chats)
        known = self.chats.setdefault(chat.chat_id, chat)
        known.kind = chat.kind
        if chat.has_name and chat.name != known.name:
            known.former_names.append(known.name)
            known.name = chat.name
        return known

    def only(self, wanted: str | None) -> Chat:
        """Return the chat of this name or id, or the only one.

        Raises:
            ExportError: There is none, or there are several: the text lists them.
        """
        chats = self.chats.values()
        found = [chat for chat in chats if wanted is None or _is_meant(chat, wanted)]
        if len(found) == 1:
            return found[0]
        sizes = {one: self.spool.counts(one).messages for one in self.chats}
        with_messages = [chat for chat in found if sizes[chat.chat_id]]
        if len(with_messages) == 1:
            return with_messages[0]
        what = "several chats" if found else f"no chat {visible_name(wanted or '')!r}"
        biggest = sorted(found or chats, key=lambda chat: -sizes[chat.chat_id])
        listed = "".join(
            f"\n  {chat.chat_id:>16}  {sizes[chat.chat_id]:>9,} messages  {visible_name(chat.name)}"
            for chat in biggest[:MAX_LISTED]
        )
        if (more := len(biggest) - MAX_LISTED) > 0:
            listed += f"\n  and {more:,} more"
        raise ExportError(
            f"the export holds {what}: choose one with --chat NAME or --chat ID{listed}"
        )


@contextmanager
def opened(
    paths: Sequence[Path],
    wanted: str | None = None,
    zone: tzinfo | None = None,
    step: Callable[[str], None] = lambda _: None,
    show: ShowReading = lambda _: nullcontext(lambda _: None),
) -> Iterator[Archive]:
    """Read the exports at these paths: the wanted chat with what it grew out of, or all chats.

    Local times of old exports are those of `zone`, else of this machine.

    Raises:
        ExportError: One is no export, or cannot be read.
    """
    files = export_files(paths)
    wants = _choice(files, wanted, show)
    with _room(), closing(Spool()) as spool:
        archive = Archive(spool, tuple(files))
        for number, file in enumerate(files):
            step(f"reading {file}")
            with show(file) as told:
                _read(number, file, archive, wants, zone, told)
        _join(archive)
        for chat_id in archive.chats:
            spool.find_topics(chat_id)
        yield archive


@contextmanager
def _room() -> Iterator[None]:
    """Say what to do where the temporary folder cannot hold what is read.

    Raises:
        ExportError: It cannot.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ExportError(
            f"the system's temporary folder cannot hold the chat ({describe_error(error)}): "
            "free some space, or set SQLITE_TMPDIR to another folder"
        ) from error


def _choice(
    files: Sequence[Path], wanted: str | None, show: ShowReading
) -> Callable[[Heading], bool]:
    """Return which chats to read: all, or the wanted one and those that it may be one with.

    Only groups become supergroups; whether one did is known when both are read.
    """
    if wanted is None:
        return lambda _: True
    headings: list[Heading] = []
    for file in files:
        with show(file) as told:
            events = read(file, lambda _: False, told)
            headings += [event for event in events if isinstance(event, Heading)]
    meant = [chat for chat in map(_chat, headings) if _is_meant(chat, wanted)]
    if not meant:
        return lambda _: True  # all of them are listed
    kinds, ids = {chat.kind for chat in meant}, {chat.chat_id for chat in meant}
    partners: set[str | None] = set()
    if _GROUP in kinds:
        partners.update(_SUPERGROUPS)
    if kinds.intersection(_SUPERGROUPS):
        partners.add(_GROUP)
    return lambda heading: heading.kind in partners or _chat(heading).chat_id in ids


def _is_meant(chat: Chat, wanted: str) -> bool:
    ids = {chat.chat_id, chat.number, *chat.joined, *(-group for group in chat.joined)}
    names = {fold(name) for name in (chat.name, *chat.former_names)}
    return fold(wanted) in names or wanted.strip() in {str(one) for one in ids}


def _chat(heading: Heading) -> Chat:
    number = heading.number
    chat_id = UNKNOWN if number is None else chat_id_of(heading.kind, number)
    return Chat(chat_id, number, heading.name or UNNAMED, heading.kind or "unknown")


def _read(
    number_of_file: int,
    file: Path,
    archive: Archive,
    wants: Callable[[Heading], bool],
    zone: tzinfo | None,
    told: Told,
) -> None:
    """Read one file into the archive.

    Raises:
        ExportError: No chat is in it.
    """
    chat: Chat | None = None
    entries = Entries(UNKNOWN, archive.spool.names, Tally(), zone)
    found, last, fault = False, None, None
    for event in read(file, wants, told):
        if isinstance(event, Heading):
            found, last = True, None
            chat = archive.open(_chat(event)) if wants(event) else None
            if chat:
                chat.sizes[file] = file.stat().st_size
                entries = Entries(chat.chat_id, archive.spool.names, chat.tally, zone)
        elif isinstance(event, Fault):
            fault = event
            if chat:
                chat.note(event, file, last)
        elif chat:
            if copies := archive.spool.keep_of(number_of_file, entries.rows(event)):
                chat.tally.repaired[SAME_ID] += copies
            number = event[-1].get("id")
            last = number if is_whole(number) else None
    if not found:
        what = (
            f"no JSON ({fault.what})" if fault else "JSON, but no chat export of Telegram Desktop"
        )
        raise ExportError(f"{file} is {what}: {HOW}")


def _join(archive: Archive) -> None:
    """Let each basic group stand in the supergroup that it became."""
    for chat in [chat for chat in archive.chats.values() if chat.kind in _SUPERGROUPS]:
        groups = {c.chat_id: c.name for c in archive.chats.values() if c.kind == _GROUP}
        for old in archive.spool.moved_from(chat.chat_id, groups):
            archive.spool.move(old, chat.chat_id)
            chat.take_in(archive.chats.pop(old))
