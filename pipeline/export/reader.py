r"""Read a Telegram export in bounded memory: its chats, their messages, and any damage.

A file is read from front to back in chunks. Its layout does not matter: it may be as Telegram
Desktop writes it, or saved again by another program with different white space or key order.
Messages are parsed in batches. A batch with damage is parsed message by message, so that damage
costs at most the message it is in.
"""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson

from model.chat.telegram_ids import is_valid_integer
from model.errors import ExportError

CHUNK = 1 << 15
"""Bytes read at once, about 75 messages; larger chunks slow down Python's garbage collector."""

CUT_SHORT = "the file ends without its closing brackets: the export was interrupted"
LOST = "no message can be read here"
DAMAGED_BRACKETS = "damaged brackets"
DAMAGED_HEADING = "a damaged line about the chat itself"
NOT_JSON = "invalid JSON"

Item = dict[str, Any]
"""One entry of an export's `messages`, as parsed JSON."""

OnChunk = Callable[[bytes], None]
"""Receives each part of the file that is read, in order."""

LateKeys = Mapping[int, Item]
"""Each chat's own keys, by the byte offset of its messages."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The beginning of a chat; `number` is its id in the export, None if damaged."""

    name: str | None
    kind: str | None
    number: int | None


@dataclass(frozen=True, slots=True)
class Fault:
    """Damage at a byte of the file; `is_lost` if it cost a message.

    `unread` counts the bytes that could not be read.
    """

    offset: int
    description: str
    is_lost: bool
    unread: int = 0


Event = Heading | Fault | list[Item]
"""Items come in lists, one list per batch."""

_AHEAD = 512  # bytes that hold the beginning of any message
_MAX_MESSAGE = 1 << 21  # bytes: a longer message has a damaged end
_SHORT_REACH = 256  # bytes: the limit of a search where many values have no end
_MAX_WASTE = 4  # bytes searched without a result, for each byte of the file
_FREE_WASTE = 1 << 16  # bytes of the file that are counted in advance
_MAX_KEYS = 64  # first keys of messages, and places to look for one of them
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+([{}\[\]])", re.DOTALL)
_TOKEN = re.compile(rb'[^"{}\[\]]*+(?:(' + _STRING + rb")(\s*+:)?|([{}\[\]]))", re.DOTALL)
_SCALAR = re.compile(rb"\s*(" + _STRING + rb"|[-+.\w]++)\s*(?=[,\]}])", re.DOTALL)
_BETWEEN_TOKENS = re.compile(rb"\s*+(?:(?:-?\d[-+.\deE]*+|true|false|null)\s*+)?,?\s*+")
_BETWEEN_MESSAGES = re.compile(rb"[\s,]*+")
_ID_FIRST = re.compile(rb'\{\s*"id"\s*:')
_FIRST_KEY = re.compile(rb'\{\s*"(\w{1,40})"\s*:')
_MESSAGE = rb'\{\s*"id"\s*:\s*-?\d+\s*,\s*"type"\s*:\s*"(?:message|service|unsupported)"'
_MESSAGE_START = re.compile(_MESSAGE)
_MARK = re.compile(rb'"messages"\s*:\s*\[|' + _MESSAGE)
_OWN_KEY = re.compile(
    rb'"(name|type|id)"\s*:\s*(' + _STRING + rb"|-?\d+|null)(?=\s*[,}])", re.DOTALL
)
_UNFINISHED_KEY = re.compile(rb'"(?:name|type|id)"\s*+:\s*+"(?:[^"\\]++|\\.)*+\\?\Z', re.DOTALL)
_CLOSES = {b"}": b"{", b"]": b"["}
_CHAT_PATHS = (b"{", b'{ {"chats" ["list" {', b'{ {"left_chats" ["list" {')

_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|x([0-9A-Fa-f]{2})|(.)|$)", re.DOTALL)
_JSON_ESCAPES = b'"\\/bfnrt'
_SURROGATE = re.compile(rb"\\u[Dd][89A-Fa-f]")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]")
_UNQUOTED = re.compile(
    rb'("document_id"\s*:\s*)((?!-?\d+\s*[,}\r\n])[^"\s][^"\r\n]*?)(\s*,?\s*)$', re.MULTILINE
)


def read_events(
    path: Path,
    is_wanted: Callable[[Heading], bool],
    on_chunk: OnChunk = lambda _: None,
    late_keys: LateKeys | None = None,
) -> Iterator[Event]:
    """Yield a file's content; unwanted chats yield only their headings.

    If a chat's own keys come after its messages, they are taken from `late_keys`. Without these,
    the file is read once more to find them.

    Raises:
        ExportError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            late = (lambda: _scan(path)[1]) if late_keys is None else (lambda: late_keys)
            yield from _Reader(file, is_wanted, late, on_chunk).events()
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error


def read_headings(path: Path, on_chunk: OnChunk = lambda _: None) -> tuple[list[Heading], LateKeys]:
    """Return the beginnings of a file's chats, and their own keys.

    Raises:
        ExportError: It cannot be read.
    """
    try:
        headings, keys = _scan(path, on_chunk)
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error
    if any(heading.kind is None or heading.number is None for heading in headings):
        events = read_events(path, lambda _: False, late_keys=keys)
        headings = [event for event in events if isinstance(event, Heading)]
    return headings, keys


def _scan(path: Path, on_chunk: OnChunk = lambda _: None) -> tuple[list[Heading], LateKeys]:
    """Return the beginnings of a file's chats as they are read, and then all of their own keys."""
    with path.open("rb") as file:
        reader = _Reader(file, lambda _: False, dict, on_chunk)
        headings = [event for event in reader.events() if isinstance(event, Heading)]
    return headings, reader.closed


@dataclass(slots=True)
class _Frame:
    """An open bracket, the key before it, and the name, type and id found in it.

    `messages_at` is the byte offset of a chat's messages. `odd_at` is that of the first
    line with a key that is not a readable name, type or id.
    """

    opener: bytes
    key: bytes = b""
    keys: Item = field(default_factory=dict)
    messages_at: int | None = None
    odd_at: int | None = None


class _Reader:
    """Reads a file from front to back; `at` is the position in `buffer`, which starts at `offset`.

    `frames` are the open brackets. They are trusted while `_is_sound`. `closed` holds the keys of
    finished chats by the offset of their messages.
    """

    def __init__(
        self,
        file: IO[bytes],
        is_wanted: Callable[[Heading], bool],
        read_late_keys: Callable[[], LateKeys],
        on_chunk: OnChunk,
    ) -> None:
        if file.read(len(BOM_UTF8)) == BOM_UTF8:
            on_chunk(BOM_UTF8)
        else:
            file.seek(0)
        self.file, self.is_wanted = file, is_wanted
        self.offset, self.at, self.buffer = file.tell(), 0, b""
        self.frames: list[_Frame] = []
        self.key = b""
        self.closed: dict[int, Item] = {}
        self._read_late_keys, self._on_chunk = read_late_keys, on_chunk
        self._late_keys: LateKeys | None = None
        self._heading: Heading | None = None  # not yet announced
        self._heading_faults: list[Fault] = []
        self._trailing_faults: list[Fault] = []
        self._is_sound = self._is_empty = True
        self._is_open = self._is_chat_wanted = self._has_chat = self._is_shifted = False
        self._slow_until = self._closed_at = 0
        self._wasted = self._unmarked_until = 0
        self._mark_at = -1  # the offset of the first mark after the position searched last
        self._first_keys: set[bytes] = set()

    def events(self) -> Iterator[Event]:
        """Yield everything in the file."""
        while self._next_byte():
            mark = _MARK.search(self.buffer, self.at)
            if mark is None and self._read_more():
                if len(self.buffer) - self.at > _MAX_MESSAGE:
                    self._walk(len(self.buffer) - _AHEAD)
                elif len(self.buffer) - self.at > 2 * CHUNK:
                    self._walk(len(self.buffer) - CHUNK)
                continue
            self._walk(mark.start() if mark else len(self.buffer))
            yield from self._trailing_faults
            self._trailing_faults = []
            if mark is None:
                self.at = len(self.buffer)
            else:
                self.at = mark.start()
                yield from self._read_list(mark.end() - self.at)
        size = self.offset + len(self.buffer)
        if self.frames:
            yield Fault(size, CUT_SHORT, is_lost=False)
        elif not self._is_sound or not (self._has_chat or self._is_json()):
            yield Fault(size, NOT_JSON, is_lost=False)

    def _is_json(self) -> bool:
        """Whether a file without chats is JSON; files larger than a chunk are not parsed."""
        if self._is_shifted:
            return not self._is_empty
        try:
            orjson.loads(self.buffer)
        except orjson.JSONDecodeError:
            return False
        return True

    def _read_more(self) -> bool:
        chunk = self.file.read(CHUNK)
        if chunk:
            self._on_chunk(chunk)
            self._is_shifted |= self.at > 0
            self.buffer = self.buffer[self.at :] + chunk
            self.offset, self.at = self.offset + self.at, 0
        return bool(chunk)

    def _next_byte(self) -> bytes:
        """Return the next byte, or b"" at the end of the file."""
        while self.at >= len(self.buffer) and self._read_more():
            pass
        return self.buffer[self.at : self.at + 1]

    def _walk(self, limit: int) -> None:
        """Read brackets and keys outside messages, up to a position in the buffer."""
        while self.at < limit and (found := _TOKEN.match(self.buffer, self.at, limit)):
            start = found.start(1) if found[1] else found.start(3)
            if found[2] and limit < len(self.buffer) and self._is_unfinished(start):
                return
            if not _BETWEEN_TOKENS.fullmatch(self.buffer, self.at, start) and self._is_in_chat():
                self._note_fault(self._line_start(self.at, start))
            self._is_empty = False
            top = self.frames[-1] if self.frames else None
            if found[2]:
                self.key = found[1]
                self._is_sound &= top is not None and top.opener == b"{"
                if top:
                    self._read_own_key(top, start)
            elif found[1]:
                self.key = b""
            elif found[3] in _CLOSES:
                self._close(found[3], found.end())
            else:
                self._is_sound &= top is None or (top.opener == b"{") == bool(self.key)
                self.frames.append(_Frame(found[3], self.key))
                self.key = b""
            self.at = found.end()
        if b'"' in self.buffer[self.at : limit] and limit < len(self.buffer):
            self._is_sound = self._is_sound and not _MARK.match(self.buffer, limit)

    def _is_unfinished(self, start: int) -> bool:
        """Whether the value of a chat's own key ends after the buffer."""
        is_short = len(self.buffer) - start <= _MAX_MESSAGE
        return is_short and _UNFINISHED_KEY.match(self.buffer, start) is not None

    def _read_own_key(self, frame: _Frame, start: int) -> None:
        """Read a chat's name, type or id; remember where a line is none of these."""
        if found := _OWN_KEY.match(self.buffer, start):
            item, is_repaired = _parse_own_key(found)
            if frame.messages_at is not None and frame.keys.keys() & item.keys() == {"id"}:
                # a bracket instead of a message's opening brace ended the list
                offset = self._line_start(self.at, start)
                self._trailing_faults.append(Fault(offset, LOST, is_lost=True))
            frame.keys |= item
            if is_repaired and self._is_in_chat():
                self._note_fault(self._line_start(self.at, start))
        elif frame.odd_at is None:
            frame.odd_at = self._line_start(self.at, start)

    def _line_start(self, earliest: int, position: int) -> int:
        """Return the byte offset of the line at a position, or of the position itself."""
        line = self.buffer.rfind(b"\n", earliest, position)
        return self.offset + (position if line < 0 else line + 1)

    def _note_fault(self, offset: int) -> None:
        is_trailing = self.frames[-1].messages_at is not None
        faults = self._trailing_faults if is_trailing else self._heading_faults
        faults.append(Fault(offset, DAMAGED_HEADING, is_lost=False))

    def _close(self, closing: bytes, end: int) -> None:
        self.key = b""
        if not self.frames or self.frames[-1].opener != _CLOSES[closing]:
            self._is_sound = False
            return
        frame = self.frames.pop()
        if frame.messages_at is not None:
            self.closed[frame.messages_at] = frame.keys
            self._is_open, self._closed_at = False, self.offset + end

    def _is_in_chat(self) -> bool:
        """Whether the innermost open bracket is a chat's."""
        return b" ".join(frame.opener + frame.key for frame in self.frames[:5]) in _CHAT_PATHS

    def _read_list(self, length: int) -> Iterator[Event]:
        """Read a list of messages, or a message outside a list; its start has `length` bytes."""
        is_list = self.buffer[self.at : self.at + 1] == b'"'
        if is_list and self._is_sound and not self._is_in_chat():
            self.key = b'"messages"'  # written by another program
            self.at = self.buffer.index(b":", self.at) + 1
            return
        was_open = self._is_open
        is_damaged = is_list and not self._is_sound
        if is_damaged or not (is_list or was_open):
            self._find_frame(is_list=is_list)
        if is_damaged or not (is_list or (was_open and self._is_sound)):
            fault = Fault(self.offset + self.at, DAMAGED_HEADING, is_lost=False)
            self._heading_faults.append(fault)
        if is_list:
            self.at += length
        if is_list or not self._is_open:
            self._begin_chat()
        self._is_sound = True
        self.key = b""
        if self._heading is None or self._heading.kind:
            yield from self._announce()
        yield from self._read_messages()

    def _find_frame(self, *, is_list: bool) -> None:
        """Find the chat of a damaged list of messages, or of a message outside a list.

        Such a message continues the last chat, unless a heading precedes it.
        """
        frame = _Frame(b"{")
        start = max(self._closed_at - self.offset, self.at - 4 * _AHEAD, 0)
        for own in _OWN_KEY.finditer(self.buffer, start, self.at):
            frame.keys |= _parse_own_key(own)[0]
        has_heading = is_list or frame.keys or b'"messages"' in self.buffer[start : self.at]
        if self._has_chat and not has_heading:
            self._is_open = True
            frame.messages_at = self.offset + self.at
            self.frames = [*(self.frames if self._is_sound else ()), frame]
        else:
            self.frames = [frame]

    def _begin_chat(self) -> None:
        frame = self.frames[-1]
        frame.messages_at = self.offset + self.at
        keys = frame.keys
        if not {"id", "type"} <= keys.keys():
            if self._late_keys is None:
                self._late_keys = self._read_late_keys()
            keys = {**self._late_keys.get(frame.messages_at, {}), **keys}
        missing = {"name", "type", "id"} - keys.keys()
        if not self._heading_faults and (
            missing - {"name"} or (missing and frame.odd_at is not None)
        ):
            offset = frame.messages_at if frame.odd_at is None else frame.odd_at
            self._heading_faults.append(Fault(offset, DAMAGED_HEADING, is_lost=False))
        self._heading = _to_heading(keys)
        self._is_open, self._is_chat_wanted = True, self.is_wanted(self._heading)

    def _announce(self) -> Iterator[Event]:
        """Yield the heading of a new chat, then the faults in the heading."""
        if self._heading is not None:
            self._has_chat = True
            yield self._heading
            self._heading = None
        yield from self._heading_faults
        self._heading_faults = []

    def _read_messages(self) -> Iterator[Event]:
        """Yield the messages from here to the end of their list."""
        while byte := self._skip_gap():
            if byte == b"]":
                self.at += 1
                return
            if byte == b'"' and _MARK.match(self.buffer, self.at):
                self._is_sound = False  # the list of another chat: the end of this one is lost
                return
            if byte == b"{":
                yield from self._announce()
                events = self._read_batch() or self._read_message()
            else:
                events = self._skip_value()
            yield from events if self._is_chat_wanted else ()
        self.frames.append(_Frame(b"[", b'"messages"'))

    def _skip_gap(self) -> bytes:
        """Return the next byte that is not white space or a comma; b"" at the end of the file."""
        if len(self.buffer) - self.at < CHUNK:
            self._read_more()
        while byte := self._next_byte():
            gap = _BETWEEN_MESSAGES.match(self.buffer, self.at)
            if gap is None or not gap[0]:
                return byte
            self.at = gap.end()
        return b""

    def _read_batch(self) -> list[Event]:
        """Return the messages that are complete in the buffer; [] if one is damaged."""
        begin = _ID_FIRST.match(self.buffer, self.at)
        if begin is None or self.offset + self.at < self._slow_until:
            return []
        last = self.buffer.rfind(begin[0], self.at + 1)
        if last < 0:
            return []
        body = self.buffer[self.at : last].rstrip(b", \t\r\n")
        try:
            items = orjson.loads(b"[" + body + b"]")
        except orjson.JSONDecodeError:
            items = [None]
        if not all(type(item) is dict for item in items):
            self._slow_until = self.offset + last
            return []
        self._first_keys.add(b"id")
        self.at = last
        return [items]

    def _read_message(self) -> list[Event]:
        """Return the message that begins here, repaired if possible, or its fault."""
        length = self._measure_value(0, stop=_MESSAGE_START)
        end = len(self.buffer) if length is None else self.at + length
        if length is None or _MESSAGE_START.search(self.buffer, self.at + 1, end):
            length = self._find_next()
        piece, start = self.buffer[self.at : self.at + length], self.offset + self.at
        self.at += length
        if (first := _FIRST_KEY.match(piece)) and len(self._first_keys) < _MAX_KEYS:
            self._first_keys.add(first[1])
        text = piece.strip(b" \t\r\n,")
        if (item := parse_object(text)) is not None:
            return [[item]]
        if (repaired := repair(text)) and "id" in repaired[0]:
            return [Fault(start, repaired[1], is_lost=False), [repaired[0]]]
        return [_lost_bytes(start, text)]

    def _skip_value(self) -> list[Event]:
        """Skip content in a list of messages that is not a message."""
        scalar = _SCALAR.match(self.buffer, self.at)
        if scalar and not _MARK.search(self.buffer, self.at, scalar.end()):
            start, self.at = self.at, scalar.end()
            try:
                orjson.loads(scalar[1])
            except orjson.JSONDecodeError:
                return [_lost_bytes(self.offset + start, scalar[1])]
            return []
        events: list[Event] = []
        length = self._measure_value(0) if self._next_byte() == b"[" else None
        if length is None or _MARK.search(self.buffer, self.at, self.at + length):
            length = self._find_next()
            piece = self.buffer[self.at : self.at + length]
            events = [_lost_bytes(self.offset + self.at, piece)]
        self.at += length
        return events

    def _measure_value(self, begin: int, stop: re.Pattern[bytes] | None = None) -> int | None:
        """Return the length of the value that begins there.

        None if it has no end, or none within reach, or if `stop` matches at one of its brackets.
        """
        opened, place, reach = bytearray(), begin, self._reach
        while place - begin <= reach:
            found = _BRACKET.match(self.buffer, self.at + place)
            if found is None:
                if len(self.buffer) - self.at - begin > reach or not self._read_more():
                    break
                continue
            place = found.end() - self.at
            bracket = found[1]
            if bracket in _CLOSES:
                if not opened or opened[-1:] != _CLOSES[bracket]:
                    break
                opened.pop()
                if not opened:
                    return place - begin
            elif opened and stop and stop.match(self.buffer, found.start(1)):
                break
            else:
                opened += bracket
        self._wasted += place - begin
        return None

    @property
    def _reach(self) -> int:
        """How far to look for the end of a value.

        It is short where many values have no end: otherwise time would grow with the square of the
        file's size.
        """
        return _SHORT_REACH if self._is_wasteful else _MAX_MESSAGE

    @property
    def _is_wasteful(self) -> bool:
        return self._wasted > _MAX_WASTE * (self.offset + self.at + _FREE_WASTE)

    def _find_next(self) -> int:
        """Return the distance to the next message, list of messages, or end of the file."""
        place = 1
        while True:
            mark = self._find_mark(place)
            other = self._find_other_order(place, mark)
            if other is not None:
                return other
            if mark is not None:
                return mark
            length = len(self.buffer) - self.at
            if length > _MAX_MESSAGE:
                return length - _AHEAD
            place = max(1, length - _AHEAD)
            if not self._read_more():
                return len(self.buffer) - self.at

    def _find_mark(self, place: int) -> int | None:
        """Return the distance to the next message or list; None if the buffer has no other."""
        here = self.offset + self.at
        if self._mark_at < here + place:
            start = max(here + place, self._unmarked_until)
            found = _MARK.search(self.buffer, start - self.offset)
            if found is None:
                self._unmarked_until = max(start, self.offset + len(self.buffer) - _AHEAD)
                return None
            self._mark_at = self.offset + found.start()
        return self._mark_at - here

    def _find_other_order(self, place: int, limit: int | None) -> int | None:
        """Return where the next message begins in a file whose messages do not begin with "id"."""
        keys = self._first_keys - {b"id"}
        if not keys:
            return None
        pattern = re.compile(rb'\{\s*"(?:' + b"|".join(sorted(keys)) + rb')"\s*:')
        end = len(self.buffer) if limit is None else self.at + limit
        matches = pattern.finditer(self.buffer, self.at + place, end)
        count = 1 if self._is_wasteful else _MAX_KEYS
        for begin in [match.start() - self.at for match in islice(matches, count)]:
            length = self._measure_value(begin)
            if length is None:
                continue
            item = parse_object(self.buffer[self.at + begin : self.at + begin + length])
            if item and {"id", "type"} <= item.keys():
                return begin
        return None


def _to_heading(keys: Mapping[str, Any]) -> Heading:
    name, kind, number = (keys.get(key) for key in ("name", "type", "id"))
    return Heading(
        name if isinstance(name, str) else None,
        kind if isinstance(kind, str) else None,
        number if is_valid_integer(number) else None,
    )


def _parse_own_key(found: re.Match[bytes]) -> tuple[Item, bool]:
    """Return one of a chat's own keys with its value, and whether it had to be repaired."""
    text = b"{" + found[0] + b"}"
    if (item := parse_object(text)) is not None:
        return item, False
    repaired = repair(text)
    return (repaired[0] if repaired else {}), True


def _lost_bytes(offset: int, piece: bytes) -> Fault:
    """Return the fault for unreadable bytes in a list of messages."""
    if b'"' in piece:
        return Fault(offset, LOST, is_lost=True, unread=len(piece))
    unread = len(piece) if piece.strip(b"{}[], \t\r\n") else 0
    return Fault(offset, DAMAGED_BRACKETS, is_lost=False, unread=unread)


def parse_object(piece: bytes) -> Item | None:
    """Return the JSON object in these bytes; None if there is none."""
    try:
        value = orjson.loads(piece)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def repair(piece: bytes) -> tuple[Item, str] | None:
    r"""Repair and parse a damaged object; also return what was wrong, or None if it is lost.

    Known faults are `\x0B` for a control character, an unquoted `document_id` (Telegram Desktop
    4.0.4 to 4.1.1), lone surrogates, bytes that are not UTF-8, and a missing outer brace. Zero
    bytes mark lost disk blocks, which may join two messages, so an object with them is lost.
    """
    lines = piece.split(b"\n")
    candidates = (
        piece,
        b"{" + piece,
        b"\n".join(lines[:-1]) + b"}",  # its last line was the closing brace
        b"{" + b"\n".join(lines[1:]),  # its first line was the opening one
    )
    for number, candidate in enumerate(candidates):
        if found := _repair_values(candidate):
            item, fault = found
            return item, "a brace was missing" if number else fault
    return None


def _repair_values(piece: bytes) -> tuple[Item, str] | None:
    if b"\x00" in piece:
        return None
    fixed = _CONTROL.sub(lambda found: b"\\u%04x" % ord(found[0]), piece)
    fixed = _UNQUOTED.sub(_quote, _ESCAPE.sub(_fix_escape, fixed))
    text = fixed.decode("utf-8", "replace")
    try:
        value = _replace_surrogates(json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    if fixed == piece and "\ufffd" in text:
        return value, "bytes that are not UTF-8"
    if fixed == piece and _SURROGATE.search(piece):
        return value, "half a surrogate pair"
    return value, "an escape or a value that is not JSON"


def _fix_escape(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return b"\\u00" + found[1]
    if found[2] is None and not found[0].startswith(b"\\u"):
        return b"\\\\"
    return found[0] if found[2] is None or found[2] in _JSON_ESCAPES else b"\\" + found[0]


def _quote(found: re.Match[bytes]) -> bytes:
    return found[1] + json.dumps(found[2].decode("utf-8", "replace")).encode() + found[3]


def _replace_surrogates(value: Any) -> Any:  # noqa: ANN401  parsed JSON
    """Join surrogate pairs and replace lone surrogates, so that UTF-8 can hold a value's texts."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_replace_surrogates(part) for part in value]
    if isinstance(value, dict):
        return {_replace_surrogates(key): _replace_surrogates(part) for key, part in value.items()}
    return value
