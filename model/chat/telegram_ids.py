"""Convert every form of Telegram id in an export to the form of the Bot API."""

import hashlib
from typing import TypeGuard

CHANNEL_OFFSET = 10**12
"""The Bot API calls a supergroup or channel n by -(10**12 + n)."""

MIGRATION_OFFSET = 10**9
"""A supergroup's export gives what was said before, in the basic group, its id minus this."""

_CHANNELS = ("private_supergroup", "public_supergroup", "private_channel", "public_channel")
_KIND = 2**32  # from_id was kind * 2**32 + id from v2.4.1 to v2.7.1
_USER, _CHAT = 1, 2
_LARGEST = 2**62
_NAMELESS = 2**61  # ids below its negative stand for names: real ones are far smaller
_COPIES = 2**49  # larger than any message id
_FOREIGN = 2**60  # ids below its negative stand for ids that are not Telegram's


def to_chat_id(kind: str | None, number: int) -> int:
    """Return a chat's id in the Bot API's form."""
    if kind in _CHANNELS:
        return -(CHANNEL_OFFSET + number)
    return -number if kind == "private_group" else number


def to_author_id(from_id: object, name: object, chat: int) -> int:
    """Return an author's id in the Bot API's form, in a chat of this id in the same form.

    `user7`, `chat7` and `channel7` are today's form; a number is a user's or, from 2**32 on, a
    kind and an id. Such a number does not distinguish chats and channels: unless it is this chat,
    it is read as a channel. The oldest exports have only names. Any other text, as in an
    anonymised export, becomes a number that no Telegram account has.

    Raises:
        ValueError: It is neither text nor a number, or there is neither an id nor a name.
    """
    if isinstance(from_id, str):
        return _worded(from_id)
    if is_valid_integer(from_id) and from_id > 0:
        kind, number = divmod(from_id, _KIND)
        if kind == _CHAT:
            own = {-number, -(CHANNEL_OFFSET + number)}
            return chat if chat in own else -(CHANNEL_OFFSET + number)
        if kind == _USER:
            return number
        return chat if chat in {-from_id, -(CHANNEL_OFFSET + from_id)} else from_id
    if from_id is None and isinstance(name, str) and name:
        return -(_NAMELESS + _digest(name))
    raise ValueError(f"from_id {from_id!r}")


def is_valid_integer(value: object) -> TypeGuard[int]:
    """Whether this is a whole number that a database's 64 bits hold."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST


def to_export_id(author_id: int) -> str:
    """Return an author's id as today's exports write it."""
    if author_id < -CHANNEL_OFFSET:
        return f"channel{-author_id - CHANNEL_OFFSET}"
    return f"user{author_id}" if author_id >= 0 else f"chat{-author_id}"


def is_name_based_id(author_id: int) -> bool:
    """Whether this stands for a name, in an export that had no ids."""
    return author_id < -_NAMELESS


def is_non_telegram_id(author_id: int) -> bool:
    """Whether this number stands for an id that is not Telegram's."""
    return -_NAMELESS <= author_id < -_FOREIGN


def make_copy_id(number: int, *content: object) -> int:
    """Return a new id for a message whose own id is taken; equal content gets an equal id."""
    return _COPIES + _digest(repr((number, *content))) // 2**8


def is_copy_id(number: int) -> bool:
    """Whether an id was made by `make_copy_id`: it does not show when a message was sent."""
    return number >= _COPIES


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=7).digest())


def _worded(from_id: str) -> int:
    for prefix in ("user", "channel", "chat"):
        digits = from_id.removeprefix(prefix)
        if digits != from_id and digits.isascii() and digits.isdecimal():
            number = int(digits[:20])
            by_prefix = {"user": number, "chat": -number, "channel": -(CHANNEL_OFFSET + number)}
            if number < _LARGEST:
                return by_prefix[prefix]
    if not from_id.strip():
        raise ValueError("from_id is empty")
    return -(_FOREIGN + _digest(from_id))
