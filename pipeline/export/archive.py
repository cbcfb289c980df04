"""Open one or more exports and list their chats."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from model.chat.names import fold, make_printable_name
from model.chat.telegram_ids import is_valid_integer, to_chat_id
from model.errors import ExportError, describe_error
from pipeline.export.entries import RowParser, Tally
from pipeline.export.files import EXPORT_HOWTO, ExportFile, find_exports
from pipeline.export.merging import Spool
from pipeline.export.reader import Fault, Heading
from pipeline.terminal import SILENT, Progress

UNNAMED = "a chat without a name"
MAX_LISTED = 20
"""If there are more chats, only the largest are listed."""

_DUPLICATE_ID = "an id that another message also has"
_UNKNOWN_ID = -(2**62)
"""The id of a chat whose own lines are damaged."""

_GROUP = "private_group"
_SUPERGROUPS = ("private_supergroup", "public_supergroup")
_MAX_PLACES = 100


@dataclass(frozen=True, slots=True)
class DamagedPlace:
    """Damage `offset` bytes into a file; `after` is the id of the last message before it."""

    file: Path
    offset: int
    after: int | None
    description: str


@dataclass(slots=True)
class ExportedChat:
    """A chat in the exports; `number` is its id in them, `joined` are its former basic groups.

    `unread` counts the bytes of each file that cannot be read, `sizes` holds the files' sizes.
    """

    chat_id: int
    number: int | None
    name: str
    kind: str
    tally: Tally = field(default_factory=Tally)
    joined: list[int] = field(default_factory=list)
    former_names: list[str] = field(default_factory=list)
    places: list[DamagedPlace] = field(default_factory=list)
    unread: Counter[Path] = field(default_factory=Counter)
    sizes: dict[Path, int] = field(default_factory=dict)

    @property
    def has_name(self) -> bool:
        """Whether the export contains the chat's name."""
        return self.name != UNNAMED

    def add_fault(self, fault: Fault, file: Path, after: int | None) -> None:
        """Count a fault; record the places of the first hundred."""
        counter = self.tally.skipped if fault.is_lost else self.tally.repaired
        counter[fault.description] += 1
        if fault.unread:
            self.unread[file] += fault.unread
        if len(self.places) < _MAX_PLACES:
            self.places.append(DamagedPlace(file, fault.offset, after, fault.description))

    def add_group(self, group: "ExportedChat") -> None:
        """Add the basic group that became this supergroup."""
        self.joined.append(group.chat_id)
        self.former_names.append(group.name)
        self.tally.add(group.tally)
        self.places += group.places
        self.unread.update(group.unread)
        self.sizes |= group.sizes

    def unread_share(self, file: Path) -> float:
        """Return the share of a file that cannot be read."""
        return self.unread[file] / max(1, self.sizes[file])

    def matches(self, wanted: str) -> bool:
        """Whether this is one of the chat's names or ids."""
        ids = {self.chat_id, self.number, *self.joined, *(-group for group in self.joined)}
        names = {fold(name) for name in (self.name, *self.former_names)}
        return fold(wanted) in names or wanted.strip() in {str(user_id) for user_id in ids}


@dataclass(slots=True)
class Archive:
    """The contents of the exports: files, chats by their Bot API id, and entries in the spool."""

    spool: Spool
    files: tuple[ExportFile, ...]
    chats: dict[int, ExportedChat] = field(default_factory=dict)

    def add(self, chat: ExportedChat) -> ExportedChat:
        """Return the chat with this id; the last of several exports determines its name."""
        if chat.number is None:  # it may be any chat, so it stays a chat of its own
            chat.chat_id -= len(self.chats)
        existing = self.chats.setdefault(chat.chat_id, chat)
        existing.kind = chat.kind
        if chat.has_name and chat.name != existing.name:
            existing.former_names.append(existing.name)
            existing.name = chat.name
        return existing

    def only(self, wanted: str | None) -> ExportedChat:
        """Return the chat with this name or id, or the only one.

        Raises:
            ExportError: There is none, or there are several: the text lists them.
        """
        chats = self.chats.values()
        found = [chat for chat in chats if wanted is None or chat.matches(wanted)]
        if len(found) == 1:
            return found[0]
        sizes = {one: self.spool.counts(one).messages for one in self.chats}
        with_messages = [chat for chat in found if sizes[chat.chat_id]]
        if len(with_messages) == 1:
            return with_messages[0]
        what = "several chats" if found else f"no chat {make_printable_name(wanted or '')!r}"
        largest = sorted(found or chats, key=lambda chat: -sizes[chat.chat_id])
        listed = "".join(
            f"\n  {chat.chat_id:>16}  {sizes[chat.chat_id]:>9,} messages  "
            f"{make_printable_name(chat.name)}"
            for chat in largest[:MAX_LISTED]
        )
        if (more := len(largest) - MAX_LISTED) > 0:
            listed += f"\n  and {more:,} more"
        raise ExportError(
            f"the export contains {what}: choose one with --chat NAME or --chat ID{listed}"
        )


@contextmanager
def open_exports(
    paths: Sequence[Path],
    wanted: str | None = None,
    zone: tzinfo | None = None,
    progress: Progress = SILENT,
) -> Iterator[Archive]:
    """Read the exports at these paths: the wanted chat with its former groups, or all chats.

    Local times of old exports are in `zone`, by default this machine's. Messages dated after
    tomorrow count as damaged and are skipped.

    Raises:
        ExportError: A path is not an export, or a file cannot be read.
    """
    with read_exports(find_exports(paths, progress), wanted, zone, progress) as archive:
        yield archive


@contextmanager
def read_exports(
    files: Sequence[ExportFile],
    wanted: str | None = None,
    zone: tzinfo | None = None,
    progress: Progress = SILENT,
) -> Iterator[Archive]:
    """Read files that were found; see `open_exports`.

    Raises:
        ExportError: A file is not an export, or cannot be read.
    """
    now = datetime.now(UTC)
    is_wanted = _select_chats(files, wanted, progress)
    try:
        with closing(Spool()) as spool:
            archive = Archive(spool, tuple(files))
            for number, file in enumerate(files):
                with progress.count(f"Reading {file}", file.size) as on_bytes:
                    _read_file(number, file, archive, is_wanted, zone, now, on_bytes)
            _join_groups(archive)
            for chat_id in archive.chats:
                spool.assign_topics(chat_id)
            yield archive
    except sqlite3.OperationalError as error:
        raise ExportError(
            f"the system's temporary folder cannot hold the chat ({describe_error(error)}): "
            "free some space, or set SQLITE_TMPDIR to another folder"
        ) from error


def _select_chats(
    files: Sequence[ExportFile], wanted: str | None, progress: Progress
) -> Callable[[Heading], bool]:
    """Return a function that selects the chats to read: all, or the wanted one and its groups.

    Whether a basic group became a supergroup is known only when both have been read.
    """
    if wanted is None:
        return lambda _: True
    matching = list_exported_chats(files, wanted, progress)
    if not matching:
        return lambda _: True  # the error message lists all chats
    kinds, ids = {chat.kind for chat in matching}, {chat.chat_id for chat in matching}
    partners: set[str | None] = set()
    if _GROUP in kinds:
        partners.update(_SUPERGROUPS)
    if kinds.intersection(_SUPERGROUPS):
        partners.add(_GROUP)
    return lambda heading: heading.kind in partners or _to_chat(heading).chat_id in ids


def list_exported_chats(
    files: Sequence[ExportFile],
    wanted: str | None = None,
    progress: Progress = SILENT,
) -> list[ExportedChat]:
    """Return the chats in these files, or the wanted one, without messages.

    Raises:
        ExportError: A file cannot be read.
    """
    chats: list[ExportedChat] = []
    for file in files:
        index = file.index(progress)
        chats += map(_to_chat, index.headings)
    return [chat for chat in chats if wanted is None or chat.matches(wanted)]


def _to_chat(heading: Heading) -> ExportedChat:
    number = heading.number
    chat_id = _UNKNOWN_ID if number is None else to_chat_id(heading.kind, number)
    return ExportedChat(chat_id, number, heading.name or UNNAMED, heading.kind or "unknown")


def _read_file(
    number_of_file: int,
    file: ExportFile,
    archive: Archive,
    is_wanted: Callable[[Heading], bool],
    zone: tzinfo | None,
    now: datetime,
    on_bytes: Callable[[int], None],
) -> None:
    """Read one file, whose local times are in `zone`, into the archive.

    Raises:
        ExportError: It contains no chat.
    """
    chat: ExportedChat | None = None
    parser = RowParser(_UNKNOWN_ID, archive.spool.names, Tally(), zone, now)
    has_chat, last, fault = False, None, None
    for event in file.read(is_wanted, lambda chunk: on_bytes(len(chunk))):
        if isinstance(event, Heading):
            has_chat, last = True, None
            chat = archive.add(_to_chat(event)) if is_wanted(event) else None
            if chat:
                chat.sizes[file.path] = file.size
                parser = RowParser(chat.chat_id, archive.spool.names, chat.tally, zone, now)
        elif isinstance(event, Fault):
            fault = event
            if chat:
                chat.add_fault(event, file.path, last)
        elif chat:
            if copies := archive.spool.add_file_rows(number_of_file, parser.parse(event)):
                chat.tally.repaired[_DUPLICATE_ID] += copies
            number = event[-1].get("id")
            last = number if is_valid_integer(number) else None
    if not has_chat:
        problem = (
            f"not JSON ({fault.description})"
            if fault
            else "JSON, but not a chat export from Telegram Desktop"
        )
        raise ExportError(f"{file} is {problem}: {EXPORT_HOWTO}")


def _join_groups(archive: Archive) -> None:
    """Merge each basic group into the supergroup that it became."""
    for chat in [chat for chat in archive.chats.values() if chat.kind in _SUPERGROUPS]:
        groups = {c.chat_id: c.name for c in archive.chats.values() if c.kind == _GROUP}
        for old in archive.spool.find_former_groups(chat.chat_id, groups):
            archive.spool.merge_group(old, chat.chat_id)
            chat.add_group(archive.chats.pop(old))
