"""Read a Telegram export fast and in bounded memory, repairing damaged messages."""

import json
import os
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from model.chat.telegram_ids import is_valid_integer

CHUNK = 1 << 15
"""Bytes read at once: some 75 messages. Of more at once Python's collector makes much work."""

MESSAGE = re.compile(
    rb"([ \t]*)\{[ \t]*\r?\n\1([ \t]+)\"id\": ?-?\d+,[ \t]*\r?\n"
    rb"\1\2\"type\": ?\"(?:message|service)\""
)
"""How a message begins, from its line's start."""

AHEAD = 512
"""Bytes that hold what MESSAGE looks for."""

_AT_A_LINE = re.compile(rb"\n" + MESSAGE.pattern)
_ONE_CHAT, _ACCOUNT = 2, 5  # levels of a message's opening brace


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is indented: by `unit` a level, its messages `level` levels deep."""

    unit: bytes
    level: int

    def line(self, above: int) -> bytes:
        """Return how a line begins that stands so many levels above the messages."""
        return self.unit * (self.level - above)


def layout_of(path: Path) -> Layout | None:
    """Return a file's layout, None where it is not indented as Telegram Desktop does it.

    Any width will do: programs that save a file again with another one keep the shape. The first
    whole beginning of a message tells it, so no one damaged byte can hide it.
    """
    with path.open("rb") as file:
        text = file.read(CHUNK)
        while text:
            for found in _AT_A_LINE.finditer(text):
                for level in (_ONE_CHAT, _ACCOUNT):
                    if found[1] == found[2] * level:
                        return Layout(found[2], level)
            more = file.read(CHUNK)
            text = text[-AHEAD:] + more if more else b""
    return None


Item = dict[str, Any]
"""One entry of an export's `messages`, as JSON has it."""

_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|x([0-9A-Fa-f]{2})|(.)|$)", re.DOTALL)
_KNOWN = b'"\\/bfnrt'
_HALF = re.compile(rb"\\u[Dd][89A-Fa-f]")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]")
_BARE = re.compile(
    rb'("document_id"\s*:\s*)((?!-?\d+\s*[,}\r\n])[^"\s][^"\r\n]*?)(\s*,?\s*)$', re.MULTILINE
)


def parse(piece: bytes) -> Item | None:
    """Return the object that these bytes are, None where they are none."""
    try:
        value = orjson.loads(piece)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def mend(piece: bytes) -> tuple[Item, str] | None:
    r"""Return an object that could not be parsed, and what was wrong with it; None if all is.

    Known faults are `\x0B` for a control character, an unquoted `document_id` (4.0.4 to 4.1.1),
    halves of surrogate pairs and bytes that are no UTF-8. A brace that damage took is put back.
    Zeros are what a disk has where it lost bytes, maybe the end of one message and the beginning
    of another: what they stand in is not mended.
    """
    lines = piece.split(b"\n")
    candidates = (
        piece,
        b"{" + piece,
        b"\n".join(lines[:-1]) + b"}",  # its last line was the closing brace
        b"{" + b"\n".join(lines[1:]),  # its first line was the opening one
    )
    for number, candidate in enumerate(candidates):
        if found := _mended(candidate):
            item, fault = found
            return item, "a brace was missing" if number else fault
    return None


def _mended(piece: bytes) -> tuple[Item, str] | None:
    if b"\x00" in piece:
        return None
    fixed = _BARE.sub(_quote, _ESCAPE.sub(_escape, _CONTROL.sub(_as_escape, piece)))
    text = fixed.decode("utf-8", "replace")
    try:
        value = _clean(json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    if fixed == piece and "\ufffd" in text:
        fault = "bytes that are no UTF-8"
    elif fixed == piece and _HALF.search(piece):
        fault = "half a surrogate pair"
    else:
        fault = "an escape or a value that is no JSON"
    return value, fault


def _escape(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return b"\\u00" + found[1]
    if found[2] is None and not found[0].startswith(b"\\u"):
        return b"\\\\"
    return found[0] if found[2] is None or found[2] in _KNOWN else b"\\" + found[0]


def _as_escape(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0])


def _quote(found: re.Match[bytes]) -> bytes:
    return found[1] + json.dumps(found[2].decode("utf-8", "replace")).encode() + found[3]


def _clean(value: Any) -> Any:  # noqa: ANN401  JSON's border
    """Return a value whose texts UTF-8 can hold: halves of pairs joined, lone ones replaced."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_clean(part) for part in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(part) for key, part in value.items()}
    return value


Told = Callable[[int], None]
"""Is told how many more bytes of a file were read."""

CUT_SHORT = "the file ends without its closing brackets: the export was interrupted"

LOST = "no message can be read here"
BRACKETS = "brackets that are damaged"


@dataclass(frozen=True, slots=True)
class Heading:
    """A chat begins; `number` is its id as the export writes it, None where damage took it."""

    name: str | None
    kind: str | None
    number: int | None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something was wrong at a byte of the file; `is_lost` where it cost a message.

    `unread` counts the bytes that could not be read.
    """

    offset: int
    what: str
    is_lost: bool
    unread: int = 0


Event = Heading | Fault | list[Item]
"""Items come in lists, as many as one read of the file held."""


def loss(offset: int, piece: bytes) -> Fault:
    """Return the fault of a piece of a list of messages in which nothing can be read."""
    if b'"' in piece:
        return Fault(offset, LOST, is_lost=True, unread=len(piece))
    unread = len(piece) if piece.strip(b"{}[], \t\r\n") else 0
    return Fault(offset, BRACKETS, is_lost=False, unread=unread)


def heading_of(keys: Mapping[str, Any]) -> Heading:
    """Return the heading that a chat's own keys make."""
    name, kind, number = (keys.get(key) for key in ("name", "type", "id"))
    return Heading(
        name if isinstance(name, str) else None,
        kind if isinstance(kind, str) else None,
        number if is_valid_integer(number) else None,
    )


_MOST = 1 << 21  # a message is far smaller: beyond this its end was damaged
_USUAL = re.compile(rb'[ \t]*(?:[\[\]{}]*,?|"(?:[^"\\]|\\.)*"(?::.*|,?))')
_WHOLE = re.compile(rb"(?:^|\n)\}\s*\Z")
_OWN = {"name", "type", "id"}
_HEADING = "a line of the chat's own that is damaged"


def slices(
    path: Path,
    layout: Layout,
    wants: Callable[[Heading], bool],
    told: Told = lambda _: None,
) -> Iterator[Event]:
    """Yield what a file holds; of chats that are not wanted the headings alone.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 64))
        is_complete = _WHOLE.search(file.read())
        file.seek(0)
        yield from _Slicer(file, layout, wants, told).events()
        if not is_complete:
            yield Fault(size, CUT_SHORT, is_lost=False)


class _Slicer:
    """Reads a file from front to back: line by line between chats, by whole messages in one.

    `buffer` begins at byte `offset` of the file and is used up to `at`; its last line read lies
    between `line_at` and `line_end`. `keys` holds what was read of a chat's own keys since the
    last heading, `faults` what was odd there.
    """

    def __init__(
        self, file: IO[bytes], layout: Layout, wants: Callable[[Heading], bool], told: Told
    ) -> None:
        self.file, self.wants, self.told = file, wants, told
        self.buffer, self.offset, self.at = b"", 0, 0
        self.line_at = self.line_end = 0
        self.keys: dict[str, Any] = {}
        self.faults: list[Fault] = []
        self.strange: int | None = None
        self.is_open = self.is_wanted = False
        self.opening, self.key, self.chat = (layout.line(above) for above in (0, 1, 2))
        self.array_end = b"\n" + self.key + b"]"
        self.own_key = b"\n" + self.key + b'"'
        self.message_end = b"\n" + self.opening + b"},"

    def events(self) -> Iterator[Event]:
        """Yield everything there is."""
        while (line := self._line()) is not None:
            if line.startswith(self.key + b'"'):
                if self._begins_messages(line):
                    self.at = self.line_end
                    yield from self._announce()
                    yield from self._messages()
            elif line == self.opening + b"{":
                if self._is_message():
                    yield from self._announce()
                    yield from self._messages()
            elif line.removesuffix(b",") in {self.chat + b"{", self.chat + b"}"}:
                yield from self._close()
            elif not _USUAL.fullmatch(line):
                self._note()
        yield from self._close()

    def _more(self) -> bool:
        chunk = self.file.read(CHUNK)
        if chunk:
            self.told(len(chunk))
        self.buffer = self.buffer[self.at :] + chunk
        self.offset, self.at = self.offset + self.at, 0
        return bool(chunk)

    def _line(self) -> bytes | None:
        """Read one line, without spaces at its end; None where the file ends."""
        while (end := self.buffer.find(b"\n", self.at)) < 0:
            if len(self.buffer) - self.at > _MOST or not self._more():
                break
        if end < 0:
            end = len(self.buffer)
            if end == self.at:
                return None
        self.line_at, self.line_end = self.at, end
        self.at = min(end + 1, len(self.buffer))
        line = self.buffer[self.line_at : end].rstrip()
        return line.removeprefix(BOM_UTF8) if self.offset + self.line_at == 0 else line

    def _note(self) -> None:
        self.faults.append(Fault(self.offset + self.line_at, _HEADING, is_lost=False))

    def _begins_messages(self, line: bytes) -> bool:
        """Take in one of a chat's own lines; return whether its messages come next."""
        own, _, value = line.strip().removesuffix(b",").partition(b":")
        if own == b'"messages"':
            self.keys["messages"] = None
            value = value.strip()
            if value not in {b"[", b"[]"}:
                self._note()
            return value != b"[]"
        whole = b"{" + line.strip().removesuffix(b",") + b"}"
        item = parse(whole)
        if item is None and (mended := mend(whole)):
            item = mended[0]
            self._note()
        if item is None:
            if value.strip() not in {b"[", b"{"}:
                self._note()
        elif _OWN.isdisjoint(item):
            self.strange = self.offset + self.line_at
        else:
            self.keys.update(item)
        return False

    def _is_message(self) -> bool:
        """Return whether the line just read opens a message, and if so step back before it."""
        after = self.at - self.line_at
        self.at = self.line_at
        while len(self.buffer) - self.at < AHEAD and self._more():
            pass
        if MESSAGE.match(self.buffer, self.at):
            return True
        self.line_at = self.at
        self.at += after
        return False

    def _announce(self) -> Iterator[Event]:
        """Yield the heading of a chat that begins, and what is wrong with it.

        In an open chat messages go on after damage, unless more than one line of another's own
        came in between.
        """
        is_new = not self.is_open or "messages" in self.keys or len(self.keys) > 1
        if is_new:
            heading = heading_of(self.keys)
            self.is_open, self.is_wanted = True, self.wants(heading)
            yield heading
            lacking = {*_OWN, "messages"} - self.keys.keys()
            if not self.faults and (lacking - {"name"} or (lacking and self.strange is not None)):
                at = self.offset + self.at if self.strange is None else self.strange
                self.faults.append(Fault(at, _HEADING, is_lost=False))
        yield from self.faults
        self.keys, self.faults, self.strange = {}, [], None

    def _close(self) -> Iterator[Event]:
        """Leave the open chat, if there is one; what was odd between chats no one needs to know."""
        if "messages" in self.keys and not self.is_open:
            yield from self._announce()
        if self.is_open:
            yield from self.faults
        self.keys, self.faults, self.strange, self.is_open = {}, [], None, False

    def _messages(self) -> Iterator[Event]:
        """Yield the messages from here to the end of the chat."""
        is_last = False
        while not is_last:
            stop, is_last = self._stop()
            if stop < 0:
                is_short = len(self.buffer) - self.at < _MOST
                if is_short and self._more():
                    continue
                stop, is_last = len(self.buffer), is_short
            if self.is_wanted:
                yield from _parsed(self.buffer[self.at : stop], self.opening, self.offset + self.at)
            self.at = stop

    def _stop(self) -> tuple[int, bool]:
        """Return where the messages that are wholly in the buffer end, and whether all do.

        -1 where not one is.
        """
        ends = [self.buffer.find(mark, self.at) for mark in (self.array_end, self.own_key)]
        if found := [end for end in ends if end >= 0]:
            return min(found), True
        last = self.buffer.rfind(self.message_end, self.at)
        return (last + len(self.message_end), False) if last >= 0 else (-1, False)


def _parsed(body: bytes, opening: bytes, offset: int) -> Iterator[Event]:
    """Yield messages as one list where nothing is wrong, else one by one, with the faults."""
    try:
        items = orjson.loads(b"[" + body.strip().removesuffix(b",") + b"]")
    except orjson.JSONDecodeError:
        items = [None]
    if not set(map(type, items)) <= {dict}:
        for start, end in _pieces(body, opening):
            yield from _one(body[start:end], offset + start)
    elif items:
        yield items


def _pieces(body: bytes, opening: bytes) -> Iterator[tuple[int, int]]:
    """Yield from where to where each message stands: between lines that open or close one.

    Where the end of such a line was damaged, what follows on it goes with the message before.
    """
    first, last = opening + b"{", opening + b"}"
    start = at = 0
    for line in body.split(b"\n"):
        after = at + len(line) + 1
        kind = line.rstrip()
        if line.startswith(last):
            yield start, after
            start = after
        elif kind.endswith(first) and not kind.removesuffix(first).endswith((b" ", b"\t")):
            opened = at + len(kind) - len(first)
            yield start, opened
            start = opened
        at = after
    yield start, len(body)


def _one(piece: bytes, offset: int) -> Iterator[Event]:
    whole = piece.strip(b" \t\r\n,")
    if not whole:
        return
    start = offset + len(piece) - len(piece.lstrip(b" \t\r\n,"))
    if item := parse(whole):
        yield [item]
    elif (mended := mend(whole)) and "id" in mended[0]:
        yield Fault(start, mended[1], is_lost=False)
        yield [mended[0]]
    else:
        yield loss(start, whole)
