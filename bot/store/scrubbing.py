"""Takes the words of erased messages out of updates that the inbox keeps as Telegram sent them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Test: TypeAlias = Callable[[Json], bool]

_STAYS = ("message_id", "date", "edit_date", "message_thread_id", "is_topic_message")
_MOVES = ("migrate_to_chat_id", "migrate_from_chat_id")
_QUOTES = ("reply_to_message", "external_reply")


@dataclass(frozen=True, slots=True)
class Ref:
    """A message by its chat and its id."""

    chat_id: int
    message_id: int


def quoted_in(update: Json) -> Iterator[Ref]:
    """Yield the messages that an update repeats or tells anew, beside the one that is new in it."""
    for kind, body in update.items():
        if kind == "message" and isinstance(body, dict):
            yield from refs_in(list(body.values()))
        else:
            yield from refs_in(body)


def scrubbed(update: Json, top: Test, nested: Test) -> Json:
    """Return an update without the words of erased messages; their ids stay.

    `top` tells whether the message that the update is about was erased, `nested` whether one that
    is repeated in it was.
    """
    return {
        kind: _bare(body)
        if isinstance(body, dict) and _is_message(body) and top(body)
        else _without_quotes(body, nested)
        if isinstance(body, dict)
        else body
        for kind, body in update.items()
    }


def chat_of(update: Json) -> int | None:
    """Return the chat that an update is from; None if it has none."""
    for body in update.values():
        if isinstance(body, dict):
            about = body if "chat" in body else body.get("message")
            chat = about.get("chat") if isinstance(about, dict) else None
            if isinstance(chat, dict) and isinstance(chat.get("id"), int):
                return int(chat["id"])
    return None


def command_in(message: Json) -> str | None:
    """Return the command that a message begins with, such as `/as@a_bot`."""
    text, entities = message.get("text"), message.get("entities")
    first = entities[0] if isinstance(entities, list) and entities else None
    if not isinstance(text, str) or not isinstance(first, dict):
        return None
    is_command = (first.get("type"), first.get("offset")) == ("bot_command", 0)
    return text.split(maxsplit=1)[0] if is_command and text.strip() else None


def wordless(update: Json, is_open: Callable[[str], bool]) -> Json:
    """Return an update of a chat in which nothing is stored, without the text.

    It can still be handled. A command stays: complete if it `is_open`, otherwise without its
    arguments. A group's new id stays too. Quotes are removed.
    """
    return {
        kind: _without_text(body, is_open)
        if kind in {"message", "edited_message"}
        else _strip_quotes(body)
        for kind, body in update.items()
    }


def nameless(update: Json) -> Json:
    """Return an update without the names of who sent it; what it says stays."""
    return {
        kind: body | _bare(body) if isinstance(body, dict) and _is_message(body) else body
        for kind, body in update.items()
    }


def author_of(message: Json) -> int | None:
    """Return who wrote a message: the chat that somebody spoke as, else the user."""
    author = message.get("sender_chat") or message.get("from")
    return author.get("id") if isinstance(author, dict) else None


def ref_of(message: Json) -> Ref:
    """Return which message it is."""
    return Ref(message["chat"].get("id"), message["message_id"])


def refs_in(body: object) -> Iterator[Ref]:
    """Yield all messages in an update, or in a part of one."""
    if isinstance(body, dict):
        if _is_message(body):
            yield ref_of(body)
        body = list(body.values())
    for part in body if isinstance(body, list) else ():
        yield from refs_in(part)


def _is_message(body: Json) -> bool:
    chat = body.get("chat")
    is_there = isinstance(chat, dict) and isinstance(chat.get("id"), int)
    return is_there and isinstance(body.get("message_id"), int)


def _without_text(body: Any, is_open: Callable[[str], bool]) -> Any:  # noqa: ANN401  JSON's border
    if not isinstance(body, dict):
        return body
    command = command_in(body)
    if command and is_open(command):
        return _without_quotes(body, _any)
    bare = _bare(body) | {key: body[key] for key in _MOVES if key in body}
    if command:
        bare |= {"text": command, "entities": [body["entities"][0]]}
    return bare


def _strip_quotes(body: Any) -> Any:  # noqa: ANN401  JSON's border
    """Return a part other than a message without quotes; the bot's message with a button stays."""
    if not isinstance(body, dict):
        return body
    about = body.get("message")
    kept = {"message": _without_quotes(about, _any)} if isinstance(about, dict) else {}
    return _without_quotes(body, _any) | kept


def _any(_: Json) -> bool:
    return True


def _scrubbed(body: Any, test: Test) -> Any:  # noqa: ANN401  JSON's border
    if isinstance(body, list):
        return [_scrubbed(part, test) for part in body]
    if not isinstance(body, dict):
        return body
    return _bare(body) if _is_message(body) and test(body) else _without_quotes(body, test)


def _without_quotes(body: Json, test: Test) -> Json:
    """Return an object whose parts are scrubbed, and that quotes nothing that was erased."""
    answered = [body[key] for key in _QUOTES if isinstance(body.get(key), dict)]
    is_quoting = any(_is_message(one) and test(one) for one in answered)
    gone = {"quote", "external_reply"} if is_quoting else set()
    return {key: _scrubbed(part, test) for key, part in body.items() if key not in gone}


def _bare(message: Json) -> Json:
    """Return which message it is, where it stands and the id of its author, in Telegram's form."""
    bare = {key: message[key] for key in _STAYS if key in message}
    for key in ("chat", "sender_chat"):
        if isinstance(chat := message.get(key), dict):
            bare[key] = {name: chat[name] for name in ("id", "type") if name in chat}
    if isinstance(user := message.get("from"), dict):
        stays = {name: user[name] for name in ("id", "is_bot", "language_code") if name in user}
        bare["from"] = stays | {"first_name": ""}
    return bare
