"""Convert the entries of an export to rows, with times in UTC."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

from model.chat.conversation import EXPORT_MEDIA_KINDS, MediaKind, render_media, render_sticker
from model.chat.quotes import strip_quotes
from model.chat.telegram_ids import is_valid_integer, to_author_id
from pipeline.export.reader import Item

CONTRADICTION = "a date that contradicts date_unixtime, which takes precedence"
LOCAL = "a local time without an offset"
DAMAGED_TIME = "a damaged date_unixtime; date is used"
FUTURE = "a date after tomorrow"

_DAY = 24 * 3600
_QUARTER = 15 * 60  # seconds; all time zones differ from UTC by a multiple of it
_MAX_UTC_OFFSET = 15 * 3600  # seconds; no time zone is farther from UTC

_MEDIA_KEYS: Mapping[str, MediaKind] = {
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
"""Keys that identify a medium without a `media_type`; the first one that is present counts."""

_MEDIA_KEY_NAMES = frozenset({*_MEDIA_KEYS, "media_type"})
_QUOTES = ("blockquote", "expandable_blockquote")
_TYPE_NAME = re.compile(r"[a-z_]{1,40}")


class EntryKind(IntEnum):
    """The kind of a row; some service messages have their own kind."""

    MESSAGE = 0
    SERVICE = 1
    TOPIC = 2
    MOVED_TO = 3
    MOVED_FROM = 4
    UNSUPPORTED = 5


class Flag(IntFlag):
    """Further properties of a message."""

    FORWARD = 1
    VIA_BOT = 2
    BUTTONS = 4


_SERVICE_KINDS = {
    "topic_created": EntryKind.TOPIC,
    "migrate_to_supergroup": EntryKind.MOVED_TO,
    "migrate_from_group": EntryKind.MOVED_FROM,
}


class Row(NamedTuple):
    """One entry; `at` and `edited` are seconds since 1970, `name` is the number of a name."""

    chat: int
    number: int
    kind: int
    at: int
    author: int
    name: int
    text: str
    reply: int | None
    flags: int
    edited: int

    @property
    def is_message(self) -> bool:
        """Whether it is a message by a person or a bot."""
        return self.kind == EntryKind.MESSAGE


@dataclass(slots=True)
class Tally:
    """Counts of repaired and skipped entries of a chat, by reason.

    `messages` counts the messages that were kept, `skipped_messages` those that were skipped, by
    reason. `utc_offsets` contains the minutes between UTC and the exporting computer's time, by
    local day.
    """

    repaired: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    skipped_messages: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    utc_offsets: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Add the counts of another tally; this one's UTC offsets take precedence."""
        self.repaired.update(other.repaired)
        self.skipped.update(other.skipped)
        self.skipped_messages.update(other.skipped_messages)
        self.messages += other.messages
        self.utc_offsets = {**other.utc_offsets, **self.utc_offsets}


class RowParser:
    """Converts the items of one chat to rows; `names` numbers all display names of an export.

    A time more than a day after `now` counts as damage.
    """

    def __init__(
        self,
        chat_id: int,
        names: dict[str | None, int],
        tally: Tally,
        zone: tzinfo | None,
        now: datetime,
    ) -> None:
        self._chat_id = chat_id
        self._names = names
        self._tally = tally
        self._times = TimeParser(now, zone, tally.utc_offsets)
        self._authors: dict[tuple[object, object], tuple[int, int]] = {}

    def parse(self, items: Iterable[Item]) -> Iterator[Row]:
        """Yield the rows of items; count an invalid item with its reason."""
        for item in items:
            is_message = item.get("type") not in ("service", "unsupported")
            try:
                yield self._parse_item(item)
            except (LookupError, RecursionError, TypeError, ValueError) as error:
                reason = _skip_reason(error, item)
                self._tally.skipped[reason] += 1
                self._tally.skipped_messages.update([reason] if is_message else ())
            else:
                self._tally.messages += is_message

    def _parse_item(self, item: Item) -> Row:
        number, kind = item["id"], item["type"]
        if not is_valid_integer(number):
            raise ValueError(f"id {number!r}")
        if kind == "unsupported":
            return Row(self._chat_id, number, EntryKind.UNSUPPORTED, 0, 0, 0, "", None, 0, 0)
        reply = item.get("reply_to_message_id")
        reply = reply if is_valid_integer(reply) else None
        unix, date = item.get("date_unixtime"), item.get("date")
        if kind == "service":
            at = self._times.parse_edited(unix, date)
            kind = _SERVICE_KINDS.get(str(item.get("action")), EntryKind.SERVICE)
            title = item.get("title")
            title = title if isinstance(title, str) else ""
            return Row(self._chat_id, number, kind, at, 0, 0, title, reply, 0, 0)
        if kind != "message":
            raise ValueError(f"type {kind!r}")
        at, problem = self._times.parse_sent(unix, date)
        if problem:
            self._tally.repaired[problem] += 1
        author, name = self._find_author(item.get("from_id"), item.get("from"))
        flags = (
            ("forwarded_from" in item and Flag.FORWARD)
            | ("via_bot" in item and Flag.VIA_BOT)
            | ("inline_bot_buttons" in item and Flag.BUTTONS)
        )
        reply = reply if "reply_to_peer_id" not in item else None
        edited = 0
        if "edited" in item or "edited_unixtime" in item:
            edited = self._times.parse_edited(item.get("edited_unixtime"), item.get("edited"))
        text = _visible_text(item)
        return Row(
            self._chat_id, number, EntryKind.MESSAGE, at, author, name, text, reply, flags, edited
        )

    def _find_author(self, from_id: object, name: object) -> tuple[int, int]:
        """Return the author's id and the number of their display name."""
        if isinstance(from_id, list | dict):
            raise ValueError("from_id is a list or an object")  # noqa: TRY004  see _parse_local
        name = name if isinstance(name, str) else None
        found = self._authors.get((from_id, name))
        if found is None:
            author = to_author_id(from_id, name, self._chat_id)
            found = author, self._names.setdefault(name or None, len(self._names))
            self._authors[from_id, name] = found
        return found


class TimeParser:
    """Parses times in the order of the file; `date` alone is local to the exporting computer.

    When clocks go back, an hour occurs twice. A time belongs to the second occurrence if the first
    would put it before the message above it. `utc_offsets` receives the offset in minutes of each
    local day that has a message with both times. A time more than a day after `now` counts as
    damage.
    """

    def __init__(
        self,
        now: datetime,
        zone: tzinfo | None = None,
        utc_offsets: dict[str, int] | None = None,
    ) -> None:
        self._end = int(now.timestamp()) + _DAY
        self._zone = zone
        self._offsets = {} if utc_offsets is None else utc_offsets
        self._days: dict[str, int] = {}
        self._latest = 0

    def parse_sent(self, unix: object, date: object) -> tuple[int, str | None]:
        """Return seconds since 1970, and what had to be corrected.

        Raises:
            ValueError: Neither is a time.
        """
        unixtime = _parse_unixtime(unix)
        if unixtime is not None and 0 < unixtime <= self._end:
            self._latest = unixtime
            return unixtime, CONTRADICTION if self._contradicts(unixtime, date) else None
        seconds = unixtime if date is None and unixtime is not None else self._parse_local(date)
        if seconds > self._end:
            raise ValueError(FUTURE)
        if seconds <= 0:
            raise ValueError(f"date {date!r}")
        self._latest = seconds
        return seconds, LOCAL if unix is None else DAMAGED_TIME

    def parse_edited(self, unix: object, date: object) -> int:
        """Return seconds since 1970; 0 for never and for invalid times."""
        unixtime = _parse_unixtime(unix)
        if unixtime is not None and 0 < unixtime <= self._end:
            return unixtime
        try:
            seconds = self._parse_local(date) if date is not None else 0
        except ValueError:
            return 0
        return seconds if _DAY < seconds <= self._end else 0  # up to v2.1.8, 1970 stood for never

    def _parse_local(self, date: object) -> int:
        if not isinstance(date, str):
            raise ValueError(f"date {date!r}")  # noqa: TRY004  RowParser counts it like the others
        try:
            parsed = datetime.fromisoformat(date)
            if parsed.tzinfo is None:
                parsed = parsed.replace(tzinfo=self._zone) if self._zone else parsed
                first, second = (int(parsed.replace(fold=n).timestamp()) for n in (0, 1))
                return second if first < self._latest <= second + 60 else first
            return int(parsed.timestamp())
        except (OverflowError, OSError, ValueError) as error:
            raise ValueError(f"date {date!r}") from error

    def _contradicts(self, seconds: int, date: object) -> bool:
        """Whether a date is on another day in every time zone."""
        if not isinstance(date, str):
            return False
        start = self._days.get(date[:10])
        if start is None:
            try:
                start = int(datetime.fromisoformat(date[:10]).replace(tzinfo=UTC).timestamp())
            except (ValueError, OverflowError):
                return False
            self._days[date[:10]] = start
            self._note_offset(seconds, date)
        return not -_MAX_UTC_OFFSET <= seconds - start < _DAY + _MAX_UTC_OFFSET

    def _note_offset(self, seconds: int, date: str) -> None:
        """Record the offset of a local time, unless no time zone has it."""
        try:
            local = datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()
        except (ValueError, OverflowError):
            return
        if (offset := int(local) - seconds) % _QUARTER == 0 and abs(offset) <= _MAX_UTC_OFFSET:
            self._offsets[date[:10]] = offset // 60


def list_offset_changes(offsets: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return the first of the known days on which each offset applies."""
    days = sorted(offsets)
    before = (None, *days)
    return tuple(
        (day, offsets[day])
        for day, last in zip(days, before, strict=False)
        if last is None or offsets[day] != offsets[last]
    )


def _parse_unixtime(unix: object) -> int | None:
    """Return a date_unixtime, usually a string of digits, as a number; None if it is none."""
    if isinstance(unix, str) and unix.isdecimal() and unix.isascii():
        return int(unix[:20])
    return unix if isinstance(unix, int) and not isinstance(unix, bool) else None


def _visible_text(item: Item) -> str:
    """Return the text without quotes, after a placeholder for a medium."""
    text, entities = item.get("text"), item.get("text_entities")
    has_quote = isinstance(entities, list) and any(
        isinstance(entity, dict) and entity.get("type") in _QUOTES for entity in entities
    )
    if type(text) is not str or not text or has_quote:  # only entities mark quote blocks
        text = (_join_text(text) if type(text) is not str else "") or _join_text(entities)
    words = strip_quotes(text)
    if _MEDIA_KEY_NAMES.isdisjoint(item):
        return words
    medium = item.get("media_type")
    if medium == "sticker":
        emoji = item.get("sticker_emoji")
        return render_sticker(emoji if isinstance(emoji, str) else None)
    kind = EXPORT_MEDIA_KINDS.get(medium) if isinstance(medium, str) else None
    kind = kind or next((kind for key, kind in _MEDIA_KEYS.items() if key in item), None)
    if kind is None:
        return words
    if kind == "poll" and not words and isinstance(item["poll"], dict):
        words = strip_quotes(_join_text(item["poll"].get("question")))
    seconds = item.get("duration_seconds")
    return render_media(kind, seconds if is_valid_integer(seconds) else None, words)


def _join_text(text: object) -> str:
    """Return the text of a string, of an entity, or of a list of both; "" for a quote block."""
    if isinstance(text, str):
        return text
    if isinstance(text, dict):
        return "" if text.get("type") in _QUOTES else _join_text(text.get("text"))
    return "".join(map(_join_text, text)) if isinstance(text, list) else ""


def _skip_reason(error: Exception, item: Mapping[str, Any]) -> str:
    """Return why an item is skipped, without its content: reasons are counted and displayed."""
    if isinstance(error, KeyError):
        return f"no {error.args[0]}"
    if str(error).startswith("type "):
        name = _TYPE_NAME.fullmatch(str(item.get("type")))
        return f"an unknown type {name[0]!r}" if name else "an unknown type"
    if str(error) == FUTURE:
        return FUTURE
    key = next((key for key in ("id", "from_id", "date") if str(error).startswith(key)), None)
    is_absent = key is not None and item.get(key) is None
    return f"no {key}" if is_absent else f"unreadable {key or 'value'}"
