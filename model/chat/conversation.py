"""Messages, sessions, windows and turns; the bracketed words that stand for media."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Message:
    """One thing somebody said in a chat, as a reader sees it.

    Ids are the Bot API's: a user n is n, a private group n is -n, a supergroup or channel n is
    -(10**12 + n). `topic_id` is None, or the id of the topic's root message. `text` has entities
    joined, a sticker as its emoji, other media as a bracketed word with the caption after it.
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
    """What the rules here need of a message or of a line made from one."""

    @property
    def author_id(self) -> int:
        """Telegram's id of who wrote it."""

    @property
    def sent_at(self) -> datetime:
        """When, aware."""


S = TypeVar("S", bound=AuthoredItem)


@dataclass(frozen=True, slots=True)
class Window:
    """How far back a reply may look.

    Of the open session the last `size` messages; where the session has fewer than `short`, the
    last `fill` messages before it come first. A silence of `gap` or more opens a new session.
    """

    size: int = 10
    gap: timedelta = timedelta(minutes=120)
    short: int = 2
    fill: int = 5

    def __post_init__(self) -> None:
        """Refuse a window that holds nothing."""
        if self.size < 1 or self.gap <= timedelta(0):
            raise ValueError(
                f"a window needs a size of 1 or more and a gap above 0: {self.size}, {self.gap}"
            )

    @property
    def lookback(self) -> int:
        """Return how many messages before a reply decide its context."""
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
    """Read what `window_to_json` wrote."""
    gap = timedelta(minutes=value["gap_minutes"])
    return Window(int(value["size"]), gap, int(value["short"]), int(value["fill"]))


TURN_GAP = timedelta(seconds=60)
"""Messages of one author at most this far apart are one turn: people speak in bursts."""


def context_before(earlier: Sequence[S], at: datetime, window: Window) -> Sequence[S]:
    """Return what a reply given `at` may look at, oldest first.

    `earlier` are messages of one chat and topic in order; only the last `window.lookback` matter.
    """
    start = len(earlier)
    following = at
    while start > 0 and following - earlier[start - 1].sent_at < window.gap:
        start -= 1
        following = earlier[start].sent_at
    if len(earlier) - start < window.short:
        return earlier[max(0, start - window.fill) :]
    return earlier[max(start, len(earlier) - window.size) :]


def split_sessions(messages: Iterable[S], gap: timedelta) -> Iterator[list[S]]:
    """Cut one chat and topic's messages, in order, wherever nobody spoke for `gap` or longer."""
    session: list[S] = []
    for message in messages:
        if session and message.sent_at - session[-1].sent_at >= gap:
            yield session
            session = []
        session.append(message)
    if session:
        yield session


def split_turns(session: Iterable[S], gap: timedelta = TURN_GAP) -> Iterator[list[S]]:
    """Cut a session where the author changes or pauses for longer than `gap`."""
    turn: list[S] = []
    for message in session:
        if turn and (
            message.author_id != turn[-1].author_id or message.sent_at - turn[-1].sent_at > gap
        ):
            yield turn
            turn = []
        turn.append(message)
    if turn:
        yield turn


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
"""The kinds whose bracketed word tells how long they last; a length of another kind is dropped."""

EXPORT_MEDIA_KINDS: MappingProxyType[str, MediaKind] = MappingProxyType(
    {
        "voice_message": "voice",
        "video_message": "video message",
        "video_file": "video",
        "animation": "animation",
        "audio_file": "audio",
    }
)
"""The `media_type` of Telegram Desktop's exports, but for stickers."""

STICKER = "[sticker]"

_CAPTIONED = re.compile(r"\[(?:photo|video|animation|audio|file|voice(?: \d+:\d\d)?)\](?:\s+|$)")


def render_media(kind: MediaKind, seconds: int | None = None, caption: str = "") -> str:
    """Return `[photo]` or `[voice 0:07]`, with the caption after a space.

    A length of 0 is left out: an export cannot tell it from none.
    """
    length = ""
    if seconds and seconds > 0 and kind in KINDS_WITH_LENGTH:
        minutes, rest = divmod(seconds, 60)
        length = f" {minutes}:{rest:02d}"
    word = f"[{kind}{length}]"
    return f"{word} {caption}" if caption else word


def render_sticker(emoji: str | None) -> str:
    """Return a sticker's emoji, or a bracketed word where it has none."""
    return emoji or STICKER


def strip_media_word(text: str) -> str:
    """Return a caption without the word for what it is the caption of."""
    head = _CAPTIONED.match(text)
    return text[head.end() :] if head else text
