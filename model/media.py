"""What stands in a message's text for a sticker, a photo or anything else that is not words."""

import re
from types import MappingProxyType
from typing import Literal

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

WITH_LENGTH = frozenset[MediaKind]({"voice", "video message"})
"""The kinds whose bracketed word tells how long they last; a length of another kind is dropped."""

EXPORTED: MappingProxyType[str, MediaKind] = MappingProxyType(
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


def media_text(kind: MediaKind, seconds: int | None = None, caption: str = "") -> str:
    """Return `[photo]` or `[voice 0:07]`, with the caption after a space.

    A length of 0 is left out: an export cannot tell it from none.
    """
    length = ""
    if seconds and seconds > 0 and kind in WITH_LENGTH:
        minutes, rest = divmod(seconds, 60)
        length = f" {minutes}:{rest:02d}"
    word = f"[{kind}{length}]"
    return f"{word} {caption}" if caption else word


def sticker_text(emoji: str | None) -> str:
    """Return a sticker's emoji, or a bracketed word where it has none."""
    return emoji or STICKER


def without_medium(text: str) -> str:
    """Return a caption without the word for what it is the caption of."""
    head = _CAPTIONED.match(text)
    return text[head.end() :] if head else text
