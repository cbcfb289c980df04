"""Find messages in updates as Telegram sends them, and remove text from updates."""

from collections.abc import Callable, Container, Iterator
from typing import Any, TypeAlias

from bot.store.messages import Ref

Json: TypeAlias = dict[str, Any]

Predicate: TypeAlias = Callable[[Json], bool]

_STAYS = ("message_id", "date", "edit_date", "message_thread_id", "is_topic_message")

MOVES = ("migrate_to_chat_id", "migrate_from_chat_id")
"""The keys of the other id in the two messages about a group that becomes a supergroup."""

_QUOTES = ("reply_to_message", "external_reply")  # what a message answers


def find_chat_id(update: Json) -> int | None:
    """Return the id of the chat that an update is from, or None."""
    for body in update.values():
        if isinstance(body, dict):
            about = body if "chat" in body else body.get("message")
            chat = about.get("chat") if isinstance(about, dict) else None
            if isinstance(chat, dict) and isinstance(chat.get("id"), int):
                return int(chat["id"])
    return None


def find_author_id(message: Json) -> int | None:
    """Return the id of a message's author: the chat it was sent on behalf of, else the user."""
    author = message.get("sender_chat") or message.get("from")
    return author.get("id") if isinstance(author, dict) else None


def find_messages_by(update: Json, authors: Container[int | None]) -> Iterator[Ref]:
    """Yield the message that an update is about if one of these people wrote it."""
    for body in update.values():
        if isinstance(body, dict) and _is_message(body) and find_author_id(body) in authors:
            yield make_ref(body)


def find_voter_id(update: Json) -> int | None:
    """Return the id of the person who reacted to a message or answered a poll, or None."""
    body = update.get("message_reaction") or update.get("poll_answer")
    user = body.get("user") if isinstance(body, dict) else None
    return user.get("id") if isinstance(user, dict) else None


def find_command(message: Json) -> str | None:
    """Return the command that a message begins with, such as `/as@a_bot`."""
    text, entities = message.get("text"), message.get("entities")
    first = entities[0] if isinstance(entities, list) and entities else None
    if not isinstance(text, str) or not isinstance(first, dict):
        return None
    is_command = (first.get("type"), first.get("offset")) == ("bot_command", 0)
    return text[: first.get("length", 0)] or None if is_command else None


def asks_to_erase(update: Json) -> bool:
    """Whether an update is a command that erases its sender's words; its own text is harmless."""
    message = update.get("message")
    command = find_command(message) if isinstance(message, dict) else None
    return (command or "").partition("@")[0].lower() in {"/optout", "/forget"}


def make_ref(message: Json) -> Ref:
    """Return a message's ids."""
    return Ref(message["chat"].get("id"), message["message_id"])


def find_refs(body: object) -> Iterator[Ref]:
    """Yield the ids of all messages in an update, or in a part of one."""
    if isinstance(body, dict):
        if _is_message(body):
            yield make_ref(body)
        body = list(body.values())
    for part in body if isinstance(body, list) else ():
        yield from find_refs(part)


def find_quoted(update: Json) -> Iterator[Ref]:
    """Yield the messages that an update quotes or changes, but not the new message itself."""
    for kind, body in update.items():
        if kind == "message" and isinstance(body, dict):
            yield from find_refs(list(body.values()))
        else:
            yield from find_refs(body)


def remove_erased_text(update: Json, top: Predicate, nested: Predicate) -> Json:
    """Return an update without the text of erased messages; their ids stay.

    `top` tests the message that the update is about; `nested` tests the messages inside it.
    """
    return {
        kind: _keep_ids(body)
        if isinstance(body, dict) and _is_message(body) and top(body)
        else _remove_quotes(body, nested)
        if isinstance(body, dict)
        else body
        for kind, body in update.items()
    }


def remove_text(update: Json, is_open: Callable[[str], bool]) -> Json:
    """Remove the text from an update of a chat in which the bot is silent.

    The result can still be handled. It keeps commands, with their arguments only if `is_open` is
    true for the command, and the new id of a group that moves. It has no quotes.
    """
    return {
        kind: _redact_message(body, is_open)
        if kind in {"message", "edited_message"}
        else _drop_quotes(body)
        for kind, body in update.items()
    }


def remove_sender_name(update: Json) -> Json:
    """Return an update without the sender's name; the text stays."""
    return {
        kind: body | _keep_ids(body) if isinstance(body, dict) and _is_message(body) else body
        for kind, body in update.items()
    }


def _is_message(body: Json) -> bool:
    chat = body.get("chat")
    is_there = isinstance(chat, dict) and isinstance(chat.get("id"), int)
    return is_there and isinstance(body.get("message_id"), int)


def _redact_message(body: Any, is_open: Callable[[str], bool]) -> Any:  # noqa: ANN401  JSON's border
    if not isinstance(body, dict):
        return body
    command = find_command(body)
    if command and is_open(command):
        return _remove_quotes(body, _any)
    bare = _keep_ids(body) | {key: body[key] for key in MOVES if key in body}
    if command:
        bare |= {"text": command, "entities": [body["entities"][0]]}
    return bare


def _drop_quotes(body: Any) -> Any:  # noqa: ANN401  JSON's border
    """Remove quotes from a part that is not a message; keep the bot's message with a button."""
    if not isinstance(body, dict):
        return body
    about = body.get("message")
    kept = {"message": _remove_quotes(about, _any)} if isinstance(about, dict) else {}
    return _remove_quotes(body, _any) | kept


def _any(_: Json) -> bool:
    return True


def _redact_nested(body: Any, predicate: Predicate) -> Any:  # noqa: ANN401  JSON's border
    if isinstance(body, list):
        return [_redact_nested(part, predicate) for part in body]
    if not isinstance(body, dict):
        return body
    return (
        _keep_ids(body)
        if _is_message(body) and predicate(body)
        else _remove_quotes(body, predicate)
    )


def _remove_quotes(body: Json, predicate: Predicate) -> Json:
    """Return an object without erased text in its parts and without quotes of erased messages."""
    answered = [body[key] for key in _QUOTES if isinstance(body.get(key), dict)]
    is_quoting = any(_is_message(message) and predicate(message) for message in answered)
    gone = {"quote", "external_reply"} if is_quoting else set()
    return {key: _redact_nested(part, predicate) for key, part in body.items() if key not in gone}


def _keep_ids(message: Json) -> Json:
    """Return only the ids, dates and author id of a message, in Telegram's form."""
    bare = {key: message[key] for key in _STAYS if key in message}
    for key in ("chat", "sender_chat"):
        if isinstance(chat := message.get(key), dict):
            bare[key] = {name: chat[name] for name in ("id", "type") if name in chat}
    if isinstance(user := message.get("from"), dict):
        stays = {name: user[name] for name in ("id", "is_bot", "language_code") if name in user}
        bare["from"] = stays | {"first_name": ""}
    return bare
