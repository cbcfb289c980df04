"""Messages, sessions, windows and turns; the bracketed words for media."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

from model.options import check_options, option

TURN_GAP = timedelta(seconds=60)
"""Maximum time between messages of one turn: people write in bursts."""

STICKER = "[sticker]"

MediaKind = Literal[
    "photo",
    "video",
    "voice",
    "video message",
    "animation",
    "audio",
    "file",
    "contact",
    "location",
    "poll",
    "game",
    "invoice",
    "story",
    "giveaway",
    "checklist",
    "dice",
]

KINDS_WITH_LENGTH = frozenset[MediaKind]({"voice", "video message"})
"""The kinds whose bracketed word includes the length."""

EXPORT_MEDIA_KINDS: MappingProxyType[str, MediaKind] = MappingProxyType(
    {
        "voice_message": "voice",
        "video_message": "video message",
        "video_file": "video",
        "animation": "animation",
        "audio_file": "audio",
    }
)
"""The kind of each `media_type` in Telegram Desktop's exports, except stickers."""

_CAPTIONED = re.compile(r"\[(?:photo|video|animation|audio|file|voice(?: \d+:\d\d)?)\](?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a chat, as a reader sees it.

    Ids have the Bot API's form: a user n is n, a private group n is -n, a supergroup or channel n
    is -(10**12 + n). `topic_id` is None, or the id of the topic's root message. `text` has entities
    joined, a sticker as its emoji, other media as a bracketed word before the caption.
    `author_name` is the full name that Telegram shows, None for a deleted account.
    """

    chat_id: int
    message_id: int
    author_id: int
    author_name: str | None
    text: str
    sent_at: datetime
    topic_id: int | None = None
    reply_to: int | None = None
    is_forward: bool = False
    is_from_bot: bool = False

    def __post_init__(self) -> None:
        """Refuse a naive time: gaps across a change to summer time would be wrong by an hour."""
        if self.sent_at.tzinfo is None:
            raise ValueError(f"message {self.message_id}: sent_at {self.sent_at} has no time zone")


class AuthoredItem(Protocol):
    """A message, or a line created from one."""

    @property
    def author_id(self) -> int:
        """Return the author's Telegram id."""

    @property
    def sent_at(self) -> datetime:
        """Return the time as an aware datetime."""


ItemT = TypeVar("ItemT", bound=AuthoredItem)


@dataclass(frozen=True, slots=True)
class Window:
    """The messages in the context of a reply.

    They are the last `size` messages of the current session. If the session has fewer than `short`
    messages, the last `fill` messages before it come first. A pause of `gap` or longer starts a new
    session.
    """

    size: int = option(
        10, "Messages of context for a reply", name="window", least=1, panel="Conversations"
    )
    gap: timedelta = option(
        timedelta(minutes=120),
        "Minutes of silence that end a conversation",
        name="session-minutes",
        above=0,
        panel="Conversations",
    )
    short: int = 2
    fill: int = 5

    def __post_init__(self) -> None:
        """Refuse an empty window.

        Raises:
            ValueError: A field is out of range.
        """
        check_options(self)

    @property
    def lookback(self) -> int:
        """Return how many messages before a reply determine its context."""
        return max(self.size, self.short, self.short - 1 + self.fill)


def window_to_json(window: Window) -> dict[str, float]:
    """Return a window as plain values; the gap in minutes."""
    return {
        "size": window.size,
        "gap_minutes": window.gap / timedelta(minutes=1),
        "short": window.short,
        "fill": window.fill,
    }


def window_from_json(value: Mapping[str, Any]) -> Window:
    """Read the result of `window_to_json`."""
    gap = timedelta(minutes=value["gap_minutes"])
    return Window(int(value["size"]), gap, int(value["short"]), int(value["fill"]))


def context_before(earlier: Sequence[ItemT], at: datetime, window: Window) -> Sequence[ItemT]:
    """Return the items in the context of a reply at the time `at`, oldest first.

    `earlier` are items of one chat and topic in order; only the last `window.lookback` matter.
    """
    start = len(earlier)
    following = at
    while start > 0 and following - earlier[start - 1].sent_at < window.gap:
        start -= 1
        following = earlier[start].sent_at
    if len(earlier) - start < window.short:
        return earlier[max(0, start - window.fill) :]
    return earlier[max(start, len(earlier) - window.size) :]


def split_sessions(items: Iterable[ItemT], gap: timedelta) -> Iterator[list[ItemT]]:
    """Split one chat and topic's items, in order, at pauses of `gap` or longer."""
    session: list[ItemT] = []
    for item in items:
        if session and item.sent_at - session[-1].sent_at >= gap:
            yield session
            session = []
        session.append(item)
    if session:
        yield session


def split_turns(session: Iterable[ItemT], gap: timedelta = TURN_GAP) -> Iterator[list[ItemT]]:
    """Split a session where the author changes or pauses for longer than `gap`."""
    turn: list[ItemT] = []
    for item in session:
        if turn and (item.author_id != turn[-1].author_id or item.sent_at - turn[-1].sent_at > gap):
            yield turn
            turn = []
        turn.append(item)
    if turn:
        yield turn


def render_media(kind: MediaKind, seconds: int | None = None, caption: str = "") -> str:
    """Return `[photo]` or `[voice 0:07]`, with the caption after a space.

    A length of 0 is left out: an export cannot distinguish it from a missing one.
    """
    length = ""
    if seconds and seconds > 0 and kind in KINDS_WITH_LENGTH:
        minutes, rest = divmod(seconds, 60)
        length = f" {minutes}:{rest:02d}"
    word = f"[{kind}{length}]"
    return f"{word} {caption}" if caption else word


def render_sticker(emoji: str | None) -> str:
    """Return a sticker's emoji, or a bracketed word if it has none."""
    return emoji or STICKER


def strip_media_word(text: str) -> str:
    """Return a caption without the bracketed word before it."""
    head = _CAPTIONED.match(text)
    return text[head.end() :] if head else text
