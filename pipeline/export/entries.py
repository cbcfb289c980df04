"""Turn one entry of an export into a message row, with its time in UTC."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import IntEnum, IntFlag
from typing import Any

from model.chat.conversation import EXPORT_MEDIA_KINDS, MediaKind, render_media, render_sticker
from model.chat.quotes import strip_quotes
from model.chat.telegram_ids import is_valid_integer, to_author_id
from pipeline.export.reader import Item

CONTRADICTION = "a date that contradicts date_unixtime, which wins"
LOCAL = "a local time without an offset"

_LATEST = 2**33  # the year 2242
_DAY = 24 * 3600
_FARTHEST = 15 * 3600  # no zone is farther from UTC


class Times:
    """Reads times in the order of the file; `date` alone is local to the exporting computer.

    Where a clock was set back an hour happened twice: its second half is told by a time that
    would be before the message above it.
    """

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._days: dict[str, int] = {}
        self._latest = 0

    def sent(self, unix: object, date: object) -> tuple[int, str | None]:
        """Return seconds since 1970, and what was mended.

        Raises:
            ValueError: Neither is a time.
        """
        if (seconds := _seconds(unix)) is not None:
            self._latest = seconds
            return seconds, CONTRADICTION if self._differs(seconds, date) else None
        seconds = self._local(date)
        if seconds <= 0:
            raise ValueError(f"date {date!r}")
        self._latest = seconds
        return seconds, LOCAL

    def edited(self, unix: object, date: object) -> int:
        """Return when it was edited, in seconds since 1970; 0 for never or where it is no time."""
        if (seconds := _seconds(unix)) is not None:
            return seconds
        try:
            seconds = self._local(date) if date is not None else 0
        except ValueError:
            return 0
        return seconds if seconds > _DAY else 0  # up to v2.1.8 never was 1970

    def _local(self, date: object) -> int:
        if not isinstance(date, str):
            raise ValueError(f"date {date!r}")  # noqa: TRY004  the reader's one exception
        try:
            read = datetime.fromisoformat(date)
            if read.tzinfo is None:
                read = read.replace(tzinfo=self._zone) if self._zone else read
                first, second = (int(read.replace(fold=n).timestamp()) for n in (0, 1))
                return second if first < self._latest <= second + 60 else first
            return int(read.timestamp())
        except (OverflowError, OSError, ValueError) as error:
            raise ValueError(f"date {date!r}") from error

    def _differs(self, seconds: int, date: object) -> bool:
        """Whether a date is of another day than any zone allows."""
        if not isinstance(date, str):
            return False
        start = self._days.get(date[:10])
        if start is None:
            try:
                start = int(datetime.fromisoformat(date[:10]).replace(tzinfo=UTC).timestamp())
            except (ValueError, OverflowError):
                return False
            self._days[date[:10]] = start
        return not -_FARTHEST <= seconds - start < _DAY + _FARTHEST


def _seconds(unix: object) -> int | None:
    """Return a date_unixtime, a string of digits, as a number; None where it is none."""
    if isinstance(unix, str) and unix.isdecimal() and unix.isascii():
        seconds = int(unix[:20])
    elif isinstance(unix, int) and not isinstance(unix, bool):
        seconds = unix
    else:
        return None
    return seconds if 0 < seconds < _LATEST else None


Row = tuple[int, int, int, int, int, int, str, int | None, int, int]
"""chat id, id, Kind, seconds since 1970, author id, name's number, text, reply to, Flag, edited."""

_SIGNS: Mapping[str, MediaKind] = {
    "photo": "photo",
    "contact_information": "contact",
    "location_information": "location",
    "place_name": "location",
    "poll": "poll",
    "game_title": "game",
    "invoice_information": "invoice",
    "giveaway_information": "giveaway",
    "giveaway_results": "giveaway",
    "todo_list": "checklist",
    "file": "file",
}
"""The keys that give a medium away, but for those with a `media_type`; the first one counts."""

_PLAIN = re.compile(r"[a-z_]{1,40}")
_QUOTES = ("blockquote", "expandable_blockquote")
_ANY_SIGN = frozenset({*_SIGNS, "media_type"})


class Kind(IntEnum):
    """What a row is; service messages that open a topic or move a group are told apart."""

    MESSAGE = 0
    SERVICE = 1
    TOPIC = 2
    MOVED_TO = 3
    MOVED_FROM = 4
    UNSUPPORTED = 5


class Flag(IntFlag):
    """What else is known of a message."""

    FORWARD = 1
    VIA_BOT = 2
    BUTTONS = 4


_SERVICES = {
    "topic_created": Kind.TOPIC,
    "migrate_to_supergroup": Kind.MOVED_TO,
    "migrate_from_group": Kind.MOVED_FROM,
}


@dataclass(slots=True)
class Tally:
    """What was mended and what was passed over in a chat, by why."""

    repaired: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    messages_skipped: int = 0


class Entries:
    """Turns the items of one chat into rows; `names` numbers all display names of an export."""

    def __init__(
        self, chat_id: int, names: dict[str | None, int], tally: Tally, zone: tzinfo | None
    ) -> None:
        self._chat_id = chat_id
        self._names = names
        self._tally = tally
        self._times = Times(zone)
        self._authors: dict[tuple[object, object], tuple[int, int]] = {}

    def rows(self, items: Iterable[Item]) -> Iterator[Row]:
        """Yield the rows of items; what cannot be one is counted with its reason."""
        for item in items:
            try:
                yield self._row(item)
            except (LookupError, RecursionError, TypeError, ValueError) as error:
                self._tally.skipped[_reason(error, item)] += 1
                self._tally.messages_skipped += item.get("type") == "message"

    def _row(self, item: Item) -> Row:
        number, kind = item["id"], item["type"]
        if not is_valid_integer(number):
            raise ValueError(f"id {number!r}")
        if kind == "message":
            return self._message(number, item)
        if kind == "service":
            return self._service(number, item)
        if kind == "unsupported":
            return (self._chat_id, number, Kind.UNSUPPORTED, 0, 0, 0, "", None, 0, 0)
        raise ValueError(f"type {kind!r}")

    def _message(self, number: int, item: Item) -> Row:
        at, mended = self._times.sent(item.get("date_unixtime"), item.get("date"))
        if mended:
            self._tally.repaired[mended] += 1
        author, name = self._author(item.get("from_id"), item.get("from"))
        reply = item.get("reply_to_message_id")
        edited = 0
        if "edited" in item or "edited_unixtime" in item:
            edited = self._times.edited(item.get("edited_unixtime"), item.get("edited"))
        return (
            self._chat_id,
            number,
            Kind.MESSAGE,
            at,
            author,
            name,
            text_of(item),
            reply if is_valid_integer(reply) and "reply_to_peer_id" not in item else None,
            ("forwarded_from" in item and Flag.FORWARD)
            | ("via_bot" in item and Flag.VIA_BOT)
            | ("inline_bot_buttons" in item and Flag.BUTTONS),
            edited,
        )

    def _service(self, number: int, item: Item) -> Row:
        at = self._times.edited(item.get("date_unixtime"), item.get("date"))
        kind = _SERVICES.get(str(item.get("action")), Kind.SERVICE)
        reply = item.get("reply_to_message_id")
        title = item.get("title")
        return (
            self._chat_id,
            number,
            kind,
            at,
            0,
            0,
            title if isinstance(title, str) else "",
            reply if is_valid_integer(reply) else None,
            0,
            0,
        )

    def _author(self, from_id: object, name: object) -> tuple[int, int]:
        found = self._authors.get((from_id, name))
        if found is None:
            author = to_author_id(from_id, name, self._chat_id)
            shown = name if isinstance(name, str) and name else None
            found = author, self._names.setdefault(shown, len(self._names))
            self._authors[from_id, name] = found
        return found


def text_of(item: Item) -> str:
    """Return the visible text without quotes: a placeholder for a medium, then the words."""
    words = strip_quotes(_own(item))
    return words if _ANY_SIGN.isdisjoint(item) else _with_medium(item, words)


def _own(item: Item) -> str:
    """Return a message's text without its quote blocks, which only its entities mark."""
    text, entities = item.get("text"), item.get("text_entities")
    if type(text) is str and text and not _has_quote(entities):
        return text
    return (_joined(text) if type(text) is not str else "") or _joined(entities)


def _has_quote(entities: object) -> bool:
    return isinstance(entities, list) and any(
        isinstance(one, dict) and one.get("type") in _QUOTES for one in entities
    )


def _with_medium(item: Item, words: str) -> str:
    medium = item.get("media_type")
    if medium == "sticker":
        emoji = item.get("sticker_emoji")
        return render_sticker(emoji if isinstance(emoji, str) else None)
    kind = EXPORT_MEDIA_KINDS.get(medium) if isinstance(medium, str) else None
    kind = kind or next((kind for key, kind in _SIGNS.items() if key in item), None)
    if kind is None:
        return words
    if kind == "poll":
        words = words or strip_quotes(_question(item["poll"]))
    seconds = item.get("duration_seconds")
    return render_media(kind, seconds if is_valid_integer(seconds) else None, words)


def _question(poll: object) -> str:
    return _joined(poll.get("question")) if isinstance(poll, dict) else ""


def _joined(text: object) -> str:
    """Return the text of a string, of an entity, or of a list of both; "" for a quote block."""
    if isinstance(text, str):
        return text
    if isinstance(text, dict):
        return "" if text.get("type") in _QUOTES else _joined(text.get("text"))
    return "".join(map(_joined, text)) if isinstance(text, list) else ""


def _reason(error: Exception, item: Mapping[str, Any]) -> str:
    """Return why an item is passed over, without its words: these are counted, and shown."""
    if isinstance(error, KeyError):
        return f"no {error.args[0]}"
    if str(error).startswith("type "):
        known = _PLAIN.fullmatch(str(item.get("type")))
        return f"an unknown type {known[0]!r}" if known else "an unknown type"
    key = next((key for key in ("id", "from_id", "date") if str(error).startswith(key)), None)
    absent = key is not None and item.get(key) is None
    return f"no {key}" if absent else f"unreadable {key or 'value'}"
