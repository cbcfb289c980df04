"""Exports made by hand, as Telegram Desktop writes them."""

import json
from datetime import UTC, datetime, timedelta

from pipeline.dataset.pairs import BuildOptions, Pair

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def entry(number, who, text, seconds=0, **more):
    """Return one message's JSON; `who` is a user's number and their name is Friend and it."""
    at = NOON + timedelta(seconds=seconds)
    return {
        "id": number,
        "type": "message",
        "date": at.replace(tzinfo=None).isoformat(),
        "date_unixtime": str(int(at.timestamp())),
        "from": f"Friend {who}",
        "from_id": f"user{who}",
        "text": text,
        "text_entities": [],
        **more,
    }


def topic_created(number, title, **more):
    service = {"type": "service", "action": "topic_created", "title": title, "actor_id": "user1"}
    return {**entry(number, 1, ""), **service, **more}


def service(number, action, seconds=0, **more):
    at = NOON + timedelta(seconds=seconds)
    return {
        "id": number,
        "type": "service",
        "date": at.replace(tzinfo=None).isoformat(),
        "date_unixtime": str(int(at.timestamp())),
        "actor": "Friend 1",
        "actor_id": "user1",
        "action": action,
        "text": "",
        "text_entities": [],
        **more,
    }


def chat(*messages, **more):
    return {
        "name": "Friends",
        "type": "private_supergroup",
        "id": 77,
        "messages": list(messages),
        **more,
    }


def account(*several, left=(), **sections):
    """Return a whole account's export of these chats; `sections` stand before them."""
    whole = {
        "about": "Here is the data you requested.",
        **sections,
        "chats": {"about": "This page lists all chats.", "list": list(several)},
    }
    if left:
        whole["left_chats"] = {"about": "These you left.", "list": list(left)}
    return whole


def _dumps(**how):
    return lambda value: json.dumps(value, ensure_ascii=False, **how).encode()


INDENTED = {
    "one space a level": _dumps(indent=1),
    "two spaces a level": _dumps(indent=2),
    "four spaces a level": _dumps(indent=4),
    "tabs": _dumps(indent="\t"),
    "ends of lines as on Windows": lambda value: _dumps(indent=1)(value).replace(b"\n", b"\r\n"),
    "a byte-order mark": lambda value: b"\xef\xbb\xbf" + _dumps(indent=1)(value),
}
"""What keeps the shape that Telegram Desktop gives a file."""

LAYOUTS = {
    **INDENTED,
    "one line": _dumps(separators=(",", ":")),
    "one line with spaces": _dumps(),
    "one line after a byte-order mark": lambda value: b"\xef\xbb\xbf" + _dumps()(value),
    "sorted keys, indented": _dumps(indent=1, sort_keys=True),
    "sorted keys on one line": _dumps(sort_keys=True),
    "only ASCII": lambda value: json.dumps(value, indent=1).encode(),
    "only ASCII on one line": lambda value: json.dumps(value).encode(),
}


def write(folder, value):
    """Write an export as Telegram Desktop lays it out, or these words or bytes, as result.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "result.json"
    written = value.encode() if isinstance(value, str) else value
    path.write_bytes(written if isinstance(written, bytes) else _dumps(indent=1)(written))
    return path


def conversation(sessions=20, turns=6, people=2, gap_hours=3):
    """Return entries of sessions in which people take turns, two messages each."""
    entries = []
    for session in range(sessions):
        for turn in range(turns):
            who = 1 + (session + turn) % people
            for part in range(2):
                number = len(entries) + 2
                seconds = session * gap_hours * 3600 + turn * 90 + part * 20
                entries.append(entry(number, who, f"words {number}", seconds))
    return entries


def small(**more):
    """Return choices for a chat so small that a single message makes a voice."""
    return BuildOptions(**{"min_messages": 1, **more})


def pair(number, *target, context=("Friend 2: hey",), context_ids=(), session=0, **more):
    """Return a pair whose turn begins at this message, an hour after the one before it."""
    fields = {
        "chat_id": -5,
        "message_ids": (number,),
        "context_ids": context_ids or (number - 1,),
        "voice": "Friend 1",
        "context": context,
        "target": target or (f"words {number}",),
        "sent_at": NOON + timedelta(hours=number),
        "session": session,
        "since": session,
    }
    return Pair(**{**fields, **more})
