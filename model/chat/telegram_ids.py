"""Convert every form of Telegram id in an export to the form of the Bot API."""

import hashlib
import re
from typing import TypeGuard

CHANNEL_OFFSET = 10**12
"""The Bot API's id of a supergroup or channel n is -(10**12 + n)."""

MIGRATION_OFFSET = 10**9
"""In a supergroup's export, a message from the earlier basic group has its id minus this."""

BOT_TOKEN = re.compile(r"\d{1,20}:[\w-]{1,200}")
"""The form of a bot's token."""

_CHANNELS = ("private_supergroup", "public_supergroup", "private_channel", "public_channel")
_KIND = 2**32  # from_id was kind * 2**32 + id from v2.4.1 to v2.7.1
_USER, _CHAT = 1, 2
_MAX_ID = 2**62
_NAME_BASED = 2**61  # ids below the negative of this stand for names; real ids are far smaller
_COPIES = 2**49  # larger than any message id
_NON_TELEGRAM = 2**60  # an id below its negative replaces an id that is not Telegram's


def to_chat_id(kind: str | None, number: int) -> int:
    """Return a chat's id in the Bot API's form."""
    if kind in _CHANNELS:
        return -(CHANNEL_OFFSET + number)
    return -number if kind == "private_group" else number


def to_author_id(from_id: object, name: object, chat: int) -> int:
    """Return an author's id in the Bot API's form; `chat` is the chat's id in the same form.

    The current form is `user7`, `chat7` or `channel7`. A number is a user's id or, from 2**32 on, a
    kind and an id. Such a number does not distinguish chats and channels: unless it is this chat,
    it is read as a channel. The oldest exports have only names. Any other text, as in an
    anonymised export, becomes a number that no Telegram account has.

    Raises:
        ValueError: It is neither text nor a number, or there is neither an id nor a name.
    """
    if isinstance(from_id, str):
        return _parse_text_id(from_id)
    if is_valid_integer(from_id) and from_id > 0:
        kind, number = divmod(from_id, _KIND)
        if kind == _USER:
            return number
        if kind != _CHAT:
            return chat if chat in {-from_id, -(CHANNEL_OFFSET + from_id)} else from_id
        return chat if chat in {-number, -(CHANNEL_OFFSET + number)} else -(CHANNEL_OFFSET + number)
    if from_id is None and isinstance(name, str) and name:
        return -(_NAME_BASED + _hash(name))
    raise ValueError(f"from_id {from_id!r}")


def _parse_text_id(from_id: str) -> int:
    for prefix in ("user", "channel", "chat"):
        digits = from_id.removeprefix(prefix)
        if digits != from_id and digits.isascii() and digits.isdecimal():
            number = int(digits[:20])
            by_prefix = {"user": number, "chat": -number, "channel": -(CHANNEL_OFFSET + number)}
            if number < _MAX_ID:
                return by_prefix[prefix]
    if not from_id.strip():
        raise ValueError("from_id is empty")
    return -(_NON_TELEGRAM + _hash(from_id))


def to_export_id(author_id: int) -> str:
    """Return an author's id in the current form of exports."""
    if author_id < -CHANNEL_OFFSET:
        return f"channel{-author_id - CHANNEL_OFFSET}"
    return f"user{author_id}" if author_id >= 0 else f"chat{-author_id}"


def is_valid_integer(value: object) -> TypeGuard[int]:
    """Whether this is an integer that fits a database's 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_ID


def is_name_based_id(author_id: int) -> bool:
    """Whether this id replaces a name, in an export without ids."""
    return author_id < -_NAME_BASED


def is_non_telegram_id(author_id: int) -> bool:
    """Whether this id replaces an id that is not Telegram's."""
    return -_NAME_BASED <= author_id < -_NON_TELEGRAM


def make_copy_id(number: int, *content: object) -> int:
    """Return a new id for a message whose own id is taken; the same content gets the same id."""
    return _COPIES + _hash(repr((number, *content))) // 2**8


def is_copy_id(number: int) -> bool:
    """Whether this id comes from `make_copy_id`; such ids do not show when a message was sent."""
    return number >= _COPIES


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=7).digest())
