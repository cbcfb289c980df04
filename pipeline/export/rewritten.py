"""Reads an export that some other program saved again, on one line or in another order."""

import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import InvalidOperation
from itertools import islice
from pathlib import Path
from typing import IO, Any

import ijson

from pipeline.export.events import CUT_SHORT, Event, Fault, Heading, heading_of
from pipeline.export.mending import Item

BROKEN = "no valid JSON from here on"
TOO_DEEP = "brackets nested too deeply"

_DAMAGE = (ijson.JSONError, UnicodeDecodeError, InvalidOperation)
_BATCH = 512
_BUFFER = 4096  # bytes: so many brackets may open before their depth is looked at
_DEEPEST = 2000  # characters of the path to a value, which grows with every level
_PLACES = ("", "chats.list.item.", "left_chats.list.item.")
_KEYS = {f"{place}{key}": (place, key) for place in _PLACES for key in ("name", "type", "id")}
_STARTS = {place.removesuffix("."): place for place in _PLACES}
_MESSAGES = {f"{place}messages.item": place for place in _PLACES}


@dataclass(slots=True)
class _Chat:
    """A chat's own keys, and how many messages it has."""

    keys: dict[str, Any] = field(default_factory=dict)
    messages: int = 0


def rewritten(path: Path, wants: Callable[[Heading], bool]) -> Iterator[Event]:
    """Yield what a file holds, in whatever order its keys are; damage ends it.

    The file is read once for the chats' own keys, which may stand behind their messages, and then
    for the messages.

    Raises:
        OSError: The file cannot be read.
    """
    with _numbers_of_any_length():
        chats, fault = _chats(path)
    for place in _PLACES:
        if any(chat.messages or "type" in chat.keys for chat in chats[place]):
            with path.open("rb") as file, _numbers_of_any_length():
                yield from _messages(past_bom(file), place, chats[place], wants)
    if fault:
        yield fault


@contextmanager
def _numbers_of_any_length() -> Iterator[None]:
    """Let ijson read them: where Python refuses one (4,300 digits), ijson 3.6 crashes."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(limit)


def past_bom(file: IO[bytes]) -> IO[bytes]:
    """Return a file just opened, read past a byte-order mark."""
    if file.read(len(BOM_UTF8)) != BOM_UTF8:
        file.seek(0)
    return file


def _chats(path: Path) -> tuple[dict[str, list[_Chat]], Fault | None]:
    """Return the chats by their place in the file, up to where it is damaged."""
    chats: dict[str, list[_Chat]] = {place: [] for place in _PLACES}
    with path.open("rb") as file:
        try:
            for at, event, value in ijson.parse(past_bom(file), buf_size=_BUFFER):
                if len(at) > _DEEPEST:
                    return {place: [] for place in _PLACES}, Fault(
                        file.tell(), TOO_DEEP, is_lost=True
                    )
                if event == "start_map":
                    if at in _MESSAGES and chats[_MESSAGES[at]]:
                        chats[_MESSAGES[at]][-1].messages += 1
                    elif at in _STARTS:
                        chats[_STARTS[at]].append(_Chat())
                elif at in _KEYS and event != "map_key" and chats[_KEYS[at][0]]:
                    place, key = _KEYS[at]
                    chats[place][-1].keys[key] = value
        except _DAMAGE as error:
            is_cut = isinstance(error, ijson.IncompleteJSONError) and "premature EOF" in str(error)
            return chats, Fault(file.tell(), CUT_SHORT if is_cut else BROKEN, is_lost=True)
    return chats, None


def _messages(
    file: IO[bytes], place: str, chats: list[_Chat], wants: Callable[[Heading], bool]
) -> Iterator[Event]:
    items = _undamaged(ijson.items(file, f"{place}messages.item"))
    for chat in chats:
        heading = heading_of(chat.keys)
        yield heading
        is_wanted, left = wants(heading), chat.messages
        while left and (batch := list(islice(items, min(left, _BATCH)))):
            left -= len(batch)
            if is_wanted:
                yield batch


def _undamaged(items: Iterator[Item]) -> Iterator[Item]:
    """Yield items up to the damage that `_chats` found already."""
    with suppress(*_DAMAGE):
        yield from (item for item in items if isinstance(item, dict))
