"""Open one or more exports and list their chats."""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path

from model.chat.names import fold, make_printable_name
from model.chat.telegram_ids import is_valid_integer, to_chat_id
from model.errors import ExportError, describe_error
from pipeline.export.entries import Entries, Tally
from pipeline.export.merging import Spool
from pipeline.export.reader import CHUNK, Event, Fault, Heading, Told, layout_of, parse, slices
from pipeline.export.tolerant import rewritten

HOW = "in Telegram Desktop open the chat, then ⋮ → Export chat history, format JSON"

_OTHER_FORMS = (
    (b"\xff\xfe\x00\x00", "in UTF-32, save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "in UTF-32, save it as UTF-8"),
    (b"\xff\xfe", "in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "in UTF-16: save it as UTF-8"),
    (b"\x1f\x8b", "packed with gzip, unpack it first"),
    (b"PK\x03\x04", "a zip file, unpack it first"),
)
_DATE = re.compile(rb'"date": ?"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)"')
_DATE_LENGTH = 64  # at most


def export_file(path: Path) -> Path:
    """Return the result.json meant by a file or by the folder that holds one.

    Raises:
        ExportError: There is none.
    """
    if path.is_dir():
        if not (path / "result.json").is_file():
            html = " but an HTML export" if (path / "messages.html").is_file() else ""
            raise ExportError(f"there is no result.json in {path}{html}: {HOW}")
        return path / "result.json"
    if not path.is_file():
        raise ExportError(f"there is no file {path}: give an export's folder or its result.json")
    return path


def export_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files meant by files or folders, the oldest export first.

    How old one is its latest date tells, which may stand anywhere: an account's last chats are
    those that were left. Of equal age, they keep their order.

    Raises:
        ExportError: There is none, or one cannot be read.
    """
    files = list(dict.fromkeys(export_file(path) for path in paths))
    for file in files:
        _refuse_other_form(file)
    return sorted(files, key=_newest) if len(files) > 1 else files


def read(
    file: Path, wants: Callable[[Heading], bool], told: Told = lambda _: None
) -> Iterator[Event]:
    """Yield what a file holds; of chats that are not wanted the headings alone.

    `told` hears of each part that was read, of all bytes together but for a byte-order mark.

    Raises:
        ExportError: It cannot be read.
    """
    try:
        if layout := layout_of(file):
            yield from slices(file, layout, wants, told)
        else:
            yield from rewritten(file, wants, told)
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}") from error


def _refuse_other_form(file: Path) -> None:
    """Raise ExportError if a file is compressed, in another encoding, or JSON Lines."""
    try:
        with file.open("rb") as stream:
            begin = stream.read(CHUNK)
            found = next((says for mark, says in _OTHER_FORMS if begin.startswith(mark)), None)
            if found is None and _is_lines(begin):
                found = "JSON Lines (one value per line), not the exporter's own file"
            if found:
                raise ExportError(f"{file} is {found}: give the file as Telegram wrote it; {HOW}")
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}") from error


def _is_lines(begin: bytes) -> bool:
    """Whether a file begins with two lines that are each a complete JSON object."""
    lines = begin.lstrip().split(b"\n", 2)[:2]
    return len(lines) == 2 and all(map(parse, lines))  # noqa: PLR2004


def _newest(file: Path) -> bytes:
    """Return the latest date of a file, as it stands there."""
    latest = rest = b""
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            latest = max([latest, *_DATE.findall(rest + chunk)])
            rest = chunk[-_DATE_LENGTH:]
    return latest


ShowProgress = Callable[[Path], AbstractContextManager[Told]]
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
class ExportedChat:
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

    def take_in(self, group: "ExportedChat") -> None:
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
    chats: dict[int, ExportedChat] = field(default_factory=dict)

    def open(self, chat: ExportedChat) -> ExportedChat:
        """Return the chat of this id; of what several exports say of it the last holds."""
        if chat.number is None:  # which chat it is nobody knows: it stays one of its own
            chat.chat_id -= len(self.chats)
        known = self.chats.setdefault(chat.chat_id, chat)
        known.kind = chat.kind
        if chat.has_name and chat.name != known.name:
            known.former_names.append(known.name)
            known.name = chat.name
        return known

    def only(self, wanted: str | None) -> ExportedChat:
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
        what = "several chats" if found else f"no chat {make_printable_name(wanted or '')!r}"
        biggest = sorted(found or chats, key=lambda chat: -sizes[chat.chat_id])
        listed = "".join(
            f"\n  {chat.chat_id:>16}  {sizes[chat.chat_id]:>9,} messages"
            f"  {make_printable_name(chat.name)}"
            for chat in biggest[:MAX_LISTED]
        )
        if (more := len(biggest) - MAX_LISTED) > 0:
            listed += f"\n  and {more:,} more"
        raise ExportError(
            f"the export holds {what}: choose one with --chat NAME or --chat ID{listed}"
        )


@contextmanager
def open_exports(
    paths: Sequence[Path],
    wanted: str | None = None,
    zone: tzinfo | None = None,
    step: Callable[[str], None] = lambda _: None,
    show: ShowProgress = lambda _: nullcontext(lambda _: None),
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
    files: Sequence[Path], wanted: str | None, show: ShowProgress
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


def _is_meant(chat: ExportedChat, wanted: str) -> bool:
    ids = {chat.chat_id, chat.number, *chat.joined, *(-group for group in chat.joined)}
    names = {fold(name) for name in (chat.name, *chat.former_names)}
    return fold(wanted) in names or wanted.strip() in {str(one) for one in ids}


def _chat(heading: Heading) -> ExportedChat:
    number = heading.number
    chat_id = UNKNOWN if number is None else to_chat_id(heading.kind, number)
    return ExportedChat(chat_id, number, heading.name or UNNAMED, heading.kind or "unknown")


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
    chat: ExportedChat | None = None
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
            last = number if is_valid_integer(number) else None
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
