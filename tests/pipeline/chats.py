"""Exports made by hand, as Telegram Desktop writes them."""

import json
from datetime import UTC, datetime, timedelta

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


def chat(*messages, **more):
    return {
        "name": "Friends",
        "type": "private_supergroup",
        "id": 77,
        "messages": list(messages),
        **more,
    }


def write(folder, value):
    path = folder / "result.json"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    path.write_text(text, "utf-8")
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
