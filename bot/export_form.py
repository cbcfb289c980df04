"""Messages as Telegram Desktop's export writes them, which the pipeline reads."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from bot.store.dumping import Decided, Kept

Json: TypeAlias = dict[str, Any]

CHANNEL_OFFSET = 10**12
"""The Bot API calls a supergroup or channel n by -(10**12 + n)."""

EARLIER = 10**9
"""A supergroup's export gives what was said before, in the basic group, its id minus this."""


@dataclass(frozen=True, slots=True)
class Dump:
    """What one file holds of a chat."""

    chat_id: int
    title: str | None
    kept: Sequence[Kept]
    decisions: Sequence[Decided]
    forgotten: Sequence[int]
    written_at: datetime


def export_text(dump: Dump) -> str:
    """Return the file: indented as Telegram Desktop does it, by one space a level."""
    kind, number = kind_of(dump.chat_id)
    chat: Json = {
        "name": dump.title,
        "type": kind,
        "id": number,
        "understudy": {
            "chat_id": dump.chat_id,
            "written_at": dump.written_at.isoformat(),
            "decisions": [
                {"user_id": one.user_id, "decision": one.decision, "at": one.at.isoformat()}
                for one in dump.decisions
            ],
            "forgotten": list(dump.forgotten),
        },
        "messages": [*_roots(dump.kept), *map(_item, dump.kept)],
    }
    return json.dumps(chat, ensure_ascii=False, indent=1) + "\n"


def kind_of(chat_id: int) -> tuple[str, int]:
    """Return a group's kind and its id as the exporter writes them."""
    if chat_id < -CHANNEL_OFFSET:
        return "private_supergroup", -chat_id - CHANNEL_OFFSET
    return "private_group", -chat_id


def shifted(kept: Kept, chat_id: int) -> Kept:
    """Return a basic group's message as its supergroup's export has it."""
    one = kept.message
    moved = replace(
        one,
        chat_id=chat_id,
        message_id=one.message_id - EARLIER,
        reply_to=None if one.reply_to is None else one.reply_to - EARLIER,
    )
    return Kept(moved, kept.edited_at)


def _item(kept: Kept) -> Json:
    message = kept.message
    item: Json = {"id": message.message_id, "type": "message", **_time("date", message.sent_at)}
    if kept.edited_at:
        item |= _time("edited", kept.edited_at)
    item |= {"from": message.author_name, "from_id": _from_id(message.author_id)}
    answered = message.reply_to or message.topic_id  # in a topic all answers its root
    if answered is not None:
        item["reply_to_message_id"] = answered
    if message.is_forward:
        item["forwarded_from"] = None  # from whom is not kept
    if message.is_from_bot:
        item["via_bot"] = ""  # nor through which bot
    plain = {"type": "plain", "text": message.text}
    return item | {"text": message.text, "text_entities": [plain]}


def _roots(kept: Sequence[Kept]) -> Iterable[Json]:
    """Yield what opened each topic, and what stands for answered messages that are left out.

    An export tells the topic of a message by what it answers, and that one's by what it answers.
    """
    first: dict[int, datetime] = {}
    for one in kept:
        if (topic := one.message.topic_id) is not None:
            first[topic] = min(first.get(topic, one.message.sent_at), one.message.sent_at)
    for topic, at in sorted(first.items()):
        yield {
            "id": topic,
            "type": "service",
            **_time("date", at),
            "action": "topic_created",
            "title": "",
        }
    there = {one.message.message_id for one in kept}
    absent = {
        one.message.reply_to: one.message.topic_id
        for one in kept
        if one.message.topic_id is not None
        and one.message.reply_to is not None
        and one.message.reply_to not in there
    }
    for number, topic in sorted(absent.items()):
        left_out = {"id": number, "type": "service", **_time("date", first[topic])}
        yield left_out | {"action": "left_out", "reply_to_message_id": topic}


def _time(key: str, at: datetime) -> Json:
    """Return a time as an export has it: local, and in seconds since 1970."""
    local = at.astimezone().replace(tzinfo=None)
    return {key: local.isoformat(timespec="seconds"), f"{key}_unixtime": str(int(at.timestamp()))}


def _from_id(author_id: int) -> str:
    if author_id < -CHANNEL_OFFSET:
        return f"channel{-author_id - CHANNEL_OFFSET}"
    return f"user{author_id}" if author_id >= 0 else f"chat{-author_id}"
