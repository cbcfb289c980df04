"""The bot's dumps, made by hand."""

from datetime import timedelta

from model.chat.telegram_ids import to_chat_id
from tests.pipeline.chats import NOON, chat, entry, write

BOT = 99


def decision(user, said, hours=0):
    """Return what a user told the bot, so many hours after noon."""
    return {"user_id": user, "decision": said, "at": (NOON + timedelta(hours=hours)).isoformat()}


def dump(*messages, decisions=(), forgotten=(), names=None, hours=1_000, **more):
    """Return a dump of this chat, written so many hours after noon."""
    whole = chat(*messages, **more)
    whole["understudy"] = {
        "chat_id": to_chat_id(whole["type"], whole["id"]),
        "written_at": (NOON + timedelta(hours=hours)).isoformat(),
        "decisions": list(decisions),
        "forgotten": list(forgotten),
    }
    if names is not None:
        whole["understudy"]["names"] = names
    return whole


def write_dump(folder, *messages, **more):
    """Write a dump into a folder and return its file."""
    return write(folder, dump(*messages, **more))


def played(number, name, words, seconds=0, **more):
    """Return what the bot said in somebody's voice."""
    return entry(number, BOT, f"🎭 {name}\n{words}", seconds, **more)
