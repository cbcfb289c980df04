"""Read exports that another program has saved again."""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from pipeline.export.reader import (
    AHEAD,
    CHUNK,
    CUT_SHORT,
    Event,
    Fault,
    Heading,
    Item,
    Told,
    heading_of,
    loss,
    mend,
    parse,
)

BROKEN = "no valid JSON"
DAMAGED_HEADING = "a line of the chat's own that is damaged"

_MOST = 1 << 21  # messages are far smaller: a longer one has a damaged end
_CANDIDATES = 64
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+([{}\[\]])", re.DOTALL)
_TOKEN = re.compile(rb'[^"{}\[\]]*+(?:(' + _STRING + rb")(\s*+:)?|([{}\[\]]))", re.DOTALL)
_SCALAR = re.compile(rb"\s*(" + _STRING + rb"|[-+.\w]++)\s*(?=[,\]}])", re.DOTALL)
_GAP = re.compile(rb"[\s,]*+")
_ID_FIRST = re.compile(rb'\{\s*"id"\s*:')
_FIRST_KEY = re.compile(rb'\{\s*"(\w{1,40})"\s*:')
_BEGINS = rb'\{\s*"id"\s*:\s*-?\d+\s*,\s*"type"\s*:\s*"(?:message|service|unsupported)"'
_MARK = re.compile(rb'"messages"\s*:\s*\[|' + _BEGINS)
_INNER = re.compile(_BEGINS)
_OWN = re.compile(rb'"(name|type|id)"\s*:\s*(' + _STRING + rb"|-?\d+)(?=\s*[,}])", re.DOTALL)
_CLOSES = {b"}": b"{", b"]": b"["}
_CHATS = (b"{", b'{ {"chats" ["list" {', b'{ {"left_chats" ["list" {')
_NONE = b""

Keys = dict[str, Any]


def rewritten(
    path: Path, wants: Callable[[Heading], bool], told: Told = lambda _: None
) -> Iterator[Event]:
    """Yield a file's content, with its keys in any order; skip only damaged parts.

    If a chat's own keys come after its messages, the file is first read once for these.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        yield from _Scanner(past_bom(file), wants, lambda: _late_keys(path), told).events()


def past_bom(file: IO[bytes]) -> IO[bytes]:
    """Return a file just opened, read past a byte-order mark."""
    if file.read(len(BOM_UTF8)) != BOM_UTF8:
        file.seek(0)
    return file


def _late_keys(path: Path) -> dict[int, Keys]:
    """Return each chat's own keys by the byte offset of its messages."""
    with path.open("rb") as file:
        scanner = _Scanner(past_bom(file), lambda _: False, dict)
        for _ in scanner.events():
            pass
    return scanner.closed


class _Frame:
    """An open bracket, its key, and the chat's own keys found in it."""

    __slots__ = ("key", "keys", "listed_at", "opener")

    def __init__(self, opener: bytes, key: bytes) -> None:
        self.opener, self.key = opener, key
        self.keys: Keys = {}
        self.listed_at: int | None = None


class _Scanner:
    """Reads a file from front to back; `at` is the position in `buffer`, which starts at `offset`.

    `closed` holds the keys of finished chats by the offset of their messages.
    """

    def __init__(
        self,
        file: IO[bytes],
        wants: Callable[[Heading], bool],
        late: Callable[[], dict[int, Keys]],
        told: Told = lambda _: None,
    ) -> None:
        self.file, self.wants = file, wants
        self.offset, self.at, self.buffer = file.tell(), 0, b""
        self.frames: list[_Frame] = []
        self.key = _NONE
        self.closed: dict[int, Keys] = {}
        self._late, self._told = late, told
        self._known: dict[int, Keys] | None = None
        self._pending: Heading | None = None
        self._is_sound = self._is_empty = True
        self._is_open = self._is_wanted = self._has_chat = self._is_shifted = False
        self._slow_until = 0
        self._first_keys: set[bytes] = set()

    def events(self) -> Iterator[Event]:
        """Yield everything there is."""
        while self._ahead():
            mark = _MARK.search(self.buffer, self.at)
            if mark is None and self._more():
                if len(self.buffer) - self.at > _MOST:
                    self._walk(len(self.buffer) - AHEAD)
                elif len(self.buffer) - self.at > 2 * CHUNK:
                    self._walk(len(self.buffer) - CHUNK)
                continue
            self._walk(mark.start() if mark else len(self.buffer))
            if mark is None:
                self.at = len(self.buffer)
            else:
                self.at = mark.start()
                yield from self._enter(mark.end() - self.at)
        yield from self._end()

    def _end(self) -> Iterator[Event]:
        size = self.offset + len(self.buffer)
        if self.frames:
            yield Fault(size, CUT_SHORT, is_lost=False)
        elif not self._is_sound or not (self._has_chat or self._is_json()):
            yield Fault(size, BROKEN, is_lost=False)

    def _is_json(self) -> bool:
        """Whether a file without a chat is JSON, as far as a file of its size is checked."""
        if self._is_shifted:
            return not self._is_empty
        try:
            orjson.loads(self.buffer)
        except orjson.JSONDecodeError:
            return False
        return True

    def _more(self) -> bool:
        chunk = self.file.read(CHUNK)
        if chunk:
            self._told(len(chunk))
            self._is_shifted |= self.at > 0
            self.buffer = self.buffer[self.at :] + chunk
            self.offset, self.at = self.offset + self.at, 0
        return bool(chunk)

    def _ahead(self) -> bytes:
        """Return the next byte, or b"" at the end of the file."""
        while self.at >= len(self.buffer) and self._more():
            pass
        return self.buffer[self.at : self.at + 1]

    def _walk(self, limit: int) -> None:
        """Read brackets and keys up to a position in the buffer."""
        while self.at < limit and (found := _TOKEN.match(self.buffer, self.at, limit)):
            self.at, self._is_empty = found.end(), False
            top = self.frames[-1] if self.frames else None
            if found[1]:
                if found[2]:
                    self.key = found[1]
                    self._is_sound &= top is not None and top.opener == b"{"
                    if top and (value := _OWN.match(self.buffer, found.start(1))):
                        top.keys |= _own(value)
                else:
                    self.key = _NONE
            elif found[3] in _CLOSES:
                self._close(found[3])
            else:
                self._is_sound &= top is None or (top.opener == b"{") == bool(self.key)
                self.frames.append(_Frame(found[3], self.key))
                self.key = _NONE
        if b'"' in self.buffer[self.at : limit] and limit < len(self.buffer):
            self._is_sound = self._is_sound and not _MARK.match(self.buffer, limit)

    def _close(self, closing: bytes) -> None:
        self.key = _NONE
        if not self.frames or self.frames[-1].opener != _CLOSES[closing]:
            self._is_sound = False
            return
        frame = self.frames.pop()
        if frame.listed_at is not None:
            self.closed[frame.listed_at] = frame.keys
            self._is_open = False

    def _is_chat(self) -> bool:
        """Whether the innermost open bracket is a chat's."""
        where = b" ".join(frame.opener + frame.key for frame in self.frames[:5])
        return where in _CHATS

    def _enter(self, length: int) -> Iterator[Event]:
        """Read a list of messages, or a message that is not in a list."""
        is_list = self.buffer[self.at : self.at + 1] == b'"'
        heading: list[Event] = []
        if is_list and self._is_sound and not self._is_chat():
            self.at += len(b'"messages"')  # another program's
            self.key = b'"messages"'
            self.at = self.buffer.index(b":", self.at) + 1
            return
        if not (is_list and self._is_sound):
            text = self.buffer[max(0, self.at - 4 * AHEAD) : self.at]
            keys: Keys = {}
            for own in _OWN.finditer(text):
                keys |= _own(own)
            if is_list or not self._is_open:
                self.frames = [_Frame(b"{", _NONE)]
                self.frames[0].keys = keys
            if is_list or not self._is_sound:
                heading.append(Fault(self.offset + self.at, DAMAGED_HEADING, is_lost=False))
        if is_list:
            self.at += length
        if is_list or not self._is_open:
            self._begin()
        self._is_sound = True
        self.key = _NONE
        if self._pending is None:
            yield from heading
            heading = []
        yield from self._messages(heading)

    def _begin(self) -> None:
        frame = self.frames[-1]
        frame.listed_at = self.offset + self.at
        keys = frame.keys
        if not {"id", "type"} <= keys.keys():
            if self._known is None:
                self._known = self._late()
            keys = {**self._known.get(frame.listed_at, {}), **keys}
        self._pending = heading_of(keys)
        self._is_open, self._is_wanted = True, self.wants(self._pending)

    def _announce(self) -> Iterator[Event]:
        if self._pending is not None:
            self._has_chat = True
            yield self._pending
            self._pending = None

    def _messages(self, faults: list[Event]) -> Iterator[Event]:
        """Yield the messages from here to the end of their list."""
        if self._pending and self._pending.kind:
            yield from self._announce()
            yield from faults
        while byte := self._skip_gap():
            if byte == b"]":
                self.at += 1
                return
            if byte == b'"' and _MARK.match(self.buffer, self.at):
                self._is_sound = False  # the list of another chat: the end of this one is lost
                return
            if byte == b"{" and self._pending:
                yield from self._announce()
                yield from faults
            events = list(
                (self._batch() or self._message()) if byte == b"{" else self._skip_other()
            )
            yield from events if self._is_wanted else ()
        self.frames.append(_Frame(b"[", b'"messages"'))

    def _skip_gap(self) -> bytes:
        """Return the next byte that is not white space or a comma; b"" at the end of the file."""
        if len(self.buffer) - self.at < CHUNK:
            self._more()
        while byte := self._ahead():
            gap = _GAP.match(self.buffer, self.at)
            if gap is None or not gap[0]:
                return byte
            self.at = gap.end()
        return b""

    def _batch(self) -> list[Event]:
        """Return the messages that are complete in the buffer, if none is damaged."""
        begins = _ID_FIRST.match(self.buffer, self.at)
        if begins is None or self.offset + self.at < self._slow_until:
            return []
        last = self.buffer.rfind(begins[0], self.at + 1)
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

    def _message(self) -> Iterator[Event]:
        """Yield the message that begins here, or its fault."""
        span = self._span(0)
        end = len(self.buffer) if span is None else self.at + span
        if span is None or _INNER.search(self.buffer, self.at + 1, end):
            span = self._next()
        piece, start = self.buffer[self.at : self.at + span], self.offset + self.at
        self.at += span
        if (first := _FIRST_KEY.match(piece)) and len(self._first_keys) < _CANDIDATES:
            self._first_keys.add(first[1])
        yield from _one(piece, start)

    def _skip_other(self) -> Iterator[Event]:
        """Skip content in a list of messages that is not a message."""
        scalar = _SCALAR.match(self.buffer, self.at)
        if scalar and not _MARK.search(self.buffer, self.at, scalar.end()):
            self.at = scalar.end()
            return
        span = self._span(0) if self._ahead() == b"[" else None
        if span is None or _MARK.search(self.buffer, self.at, self.at + span):
            span = self._next()
            piece = self.buffer[self.at : self.at + span]
            yield loss(self.offset + self.at, piece)
        self.at += span

    def _span(self, begin: int) -> int | None:
        """Return the length of the value that begins there; None if it has no end."""
        opened, place = bytearray(), begin
        while True:
            found = _BRACKET.match(self.buffer, self.at + place)
            if found is None:
                if len(self.buffer) - self.at - begin > _MOST or not self._more():
                    return None
                continue
            place = found.end() - self.at
            bracket = found[1]
            if bracket in _CLOSES:
                if not opened or opened[-1:] != _CLOSES[bracket]:
                    return None
                opened.pop()
                if not opened:
                    return place - begin
            else:
                opened += bracket

    def _next(self) -> int:
        """Return the distance to the next message, list of messages, or end of the file."""
        place = 1
        while True:
            found = _MARK.search(self.buffer, self.at + place)
            other = self._next_of_other_order(place, found.start() - self.at if found else None)
            if other is not None:
                return other
            if found:
                return found.start() - self.at
            length = len(self.buffer) - self.at
            if length > _MOST:
                return length - AHEAD
            place = max(1, length - AHEAD)
            if not self._more():
                return len(self.buffer) - self.at

    def _next_of_other_order(self, place: int, limit: int | None) -> int | None:
        """Return where the next message begins in a file whose messages begin with other keys."""
        keys = self._first_keys - {b"id"}
        if not keys:
            return None
        pattern = re.compile(rb'\{\s*"(?:' + b"|".join(sorted(keys)) + rb')"\s*:')
        end = len(self.buffer) if limit is None else self.at + limit
        places = [
            one.start() - self.at for one in pattern.finditer(self.buffer, self.at + place, end)
        ]
        for begin in places[:_CANDIDATES]:
            span = self._span(begin)
            if span is None:
                continue
            item = parse(self.buffer[self.at + begin : self.at + begin + span])
            if item and {"id", "type"} <= item.keys():
                return begin
        return None


def _one(piece: bytes, offset: int) -> Iterator[Event]:
    """Yield a message, repaired if possible, or a fault if it is lost."""
    whole = piece.strip(b" \t\r\n,")
    item: Item | None
    if (item := parse(whole)) is not None:
        yield [item]
    elif (mended := mend(whole)) and "id" in mended[0]:
        yield Fault(offset, mended[1], is_lost=False)
        yield [mended[0]]
    else:
        yield loss(offset, whole)


def _own(found: re.Match[bytes]) -> Keys:
    """Return one of a chat's own keys with its value; repair damage in it."""
    text = b"{" + found[0] + b"}"
    item = parse(text)
    if item is None and (mended := mend(text)):
        item = mended[0]
    return item or {}
