"""One chat's export by Telegram Desktop, read into messages."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

from model.conversation import Message
from model.errors import ExportError
from model.media import EXPORTED, MediaKind, media_text, sticker_text

Item = Mapping[str, Any]
"""One entry of an export's `messages`, as JSON has it."""

CHANNEL_OFFSET = 10**12
"""The Bot API calls a supergroup or channel n by -(10**12 + n)."""

UNNAMED = "a chat without a name"

_TOO_LARGE = 2**62
_HOW = "in Telegram Desktop open the chat, then ⋮ → Export chat history, format JSON"
_CHANNELS = ("private_supergroup", "public_supergroup", "private_channel", "public_channel")
_SIGNS: tuple[tuple[str, MediaKind], ...] = (
    ("photo", "photo"),
    ("contact_information", "contact"),
    ("location_information", "location"),
    ("place_name", "location"),
    ("poll", "poll"),
    ("game_title", "game"),
    ("invoice_information", "invoice"),
    ("giveaway_information", "giveaway"),
    ("giveaway_results", "giveaway"),
    ("todo_list", "checklist"),
    ("file", "file"),
)
"""The keys that give a medium away, but for those with a `media_type`."""


@dataclass(frozen=True, slots=True)
class Export:
    """A chat as Telegram Desktop wrote it; `messages` are in order of time, then id."""

    chat_id: int
    title: str
    kind: str
    messages: tuple[Message, ...]


def export_file(path: Path) -> Path:
    """Return the result.json meant by a file or by the folder that holds one.

    Raises:
        ExportError: There is none.
    """
    if path.is_dir():
        if not (path / "result.json").is_file():
            html = " but an HTML export" if (path / "messages.html").is_file() else ""
            raise ExportError(f"there is no result.json in {path}{html}: {_HOW}")
        return path / "result.json"
    if not path.is_file():
        raise ExportError(f"there is no file {path}: give an export's folder or its result.json")
    return path


def read_chat(path: Path) -> Export:
    """Read one chat's export: its result.json, or the folder that holds it.

    Raises:
        ExportError: This is no such export, or nobody wrote a message in it.
    """
    file = export_file(path)
    value = _read_json(file)
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        if isinstance(value, dict) and isinstance(value.get("chats"), dict):
            raise ExportError(f"{file} holds a whole account, and one chat is wanted: {_HOW}")
        raise ExportError(f"{file} is JSON, but no chat export of Telegram Desktop: {_HOW}")
    kind = value.get("type")
    number = value.get("id")
    if not isinstance(kind, str) or not _is_whole(number):
        raise ExportError(f"{file} does not say which chat it is (type and id): {_HOW}")
    chat_id = chat_id_of(kind, number)
    messages = sorted(_messages(value["messages"], chat_id, file), key=_place)
    if not messages:
        raise ExportError(f"nobody wrote a message in {file}: export another chat")
    return Export(chat_id, _clean(value.get("name")) or UNNAMED, kind, tuple(messages))


def chat_id_of(kind: str, number: int) -> int:
    """Return a chat's id in the Bot API's form."""
    if kind in _CHANNELS:
        return -(CHANNEL_OFFSET + number)
    return -number if kind == "private_group" else number


def author_id_of(from_id: str) -> int:
    """Return an author's id in the Bot API's form, from `user7`, `chat7` or `channel7`.

    Raises:
        ValueError: It has another form.
    """
    for prefix in ("user", "channel", "chat"):
        digits = from_id.removeprefix(prefix)
        if digits != from_id and digits.isdecimal():
            number = int(digits)
            by_prefix = {"user": number, "chat": -number, "channel": -(CHANNEL_OFFSET + number)}
            return by_prefix[prefix]
    raise ValueError(f"from_id {from_id!r}")


def _read_json(file: Path) -> object:
    try:
        value: object = json.loads(file.read_bytes())
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{file} is no JSON ({error}): {_HOW}") from error
    return value


def _messages(items: list[Any], chat_id: int, file: Path) -> Iterator[Message]:
    entries = [item for item in items if isinstance(item, dict)]
    topics = _Topics(entries)
    for item in entries:
        if item.get("type") != "message":
            continue
        try:
            message = _message(item, chat_id, topics)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ExportError(
                f"{file}: message {item.get('id')} cannot be read ({error}): "
                "export the chat again with a current Telegram Desktop"
            ) from error
        if message.text:
            yield message


def _message(item: Item, chat_id: int, topics: "_Topics") -> Message:
    number = int(item["id"])
    topic = topics.of(number)
    reply_to = topics.replies.get(number)
    return Message(
        chat_id=chat_id,
        message_id=number,
        author_id=author_id_of(str(item["from_id"])),
        author_name=_clean(item.get("from")) or None,
        text=_text(item),
        sent_at=_sent_at(item),
        topic_id=topic,
        reply_to=None if reply_to == topic else reply_to,
        is_forward="forwarded_from" in item,
        is_from_bot="via_bot" in item,
    )


class _Topics:
    """Which topic each message stands in, found by following replies to the topic's root."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.replies = {
            item["id"]: item["reply_to_message_id"]
            for item in items
            if _is_whole(item.get("id"))
            and _is_whole(item.get("reply_to_message_id"))
            and "reply_to_peer_id" not in item  # an answer to another chat's message
        }
        self._found: dict[int, int | None] = {
            item["id"]: item["id"]
            for item in items
            if item.get("action") == "topic_created" and _is_whole(item.get("id"))
        }

    def of(self, number: int) -> int | None:
        """Return the root of a message's topic, None where no chain of replies leads to one."""
        chain: list[int] = []
        at: int | None = number
        while at is not None and at not in self._found:
            self._found[at] = None  # ends a chain that bites its own tail
            chain.append(at)
            at = self.replies.get(at)
        root = None if at is None else self._found[at]
        self._found.update(dict.fromkeys(chain, root))
        return root


def _sent_at(item: Item) -> datetime:
    """Return when it was sent; a `date` alone is the exporting computer's time, taken as UTC."""
    if "date_unixtime" in item:
        return datetime.fromtimestamp(int(item["date_unixtime"]), UTC)
    date = datetime.fromisoformat(item["date"])
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def _text(item: Item) -> str:
    """Return what a reader sees: the words, and what stands for a medium before them."""
    words = _joined(item.get("text", ""))
    medium = item.get("media_type")
    if medium == "sticker":
        return sticker_text(_clean(item.get("sticker_emoji")))
    kind = EXPORTED.get(medium) if isinstance(medium, str) else None
    if kind is None:
        kind = next((kind for key, kind in _SIGNS if key in item), None)
    if kind is None:
        return words
    seconds = item.get("duration_seconds")
    return media_text(kind, seconds if _is_whole(seconds) else None, words)


def _joined(text: object) -> str:
    parts = text if isinstance(text, list) else [text]
    return _clean("".join(p.get("text", "") if isinstance(p, dict) else str(p) for p in parts))


def _clean(text: object) -> str:
    """Return text that UTF-8 can hold: halves of surrogate pairs joined, lone ones replaced."""
    whole = text if isinstance(text, str) else ""
    return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _is_whole(value: object) -> TypeGuard[int]:
    """Whether this is a whole number that a dataset's 64 bits hold."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE


def _place(message: Message) -> tuple[datetime, int]:
    return message.sent_at, message.message_id
