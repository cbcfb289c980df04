"""The durable inbox of updates."""

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.store.database import truncate_log
from bot.store.tables import forgotten, inbox

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


WAITING, HANDLED, SET_ASIDE = "waiting", "handled", "set aside"
MOST_CRASHES = 5
"""An update is set aside if its own code was running in this many crashes.

Random kills can hit the same update three times: in 1,000 kills this happened to one of 5,000
commands.
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """How many updates wait, and how many were set aside."""

    waiting: int
    set_aside: int


class Inbox:
    """The updates of the bot, each method one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._again: set[int] = set()

    async def keep(
        self, updates: Sequence[Mapping[str, Any]], unreadable: Container[int] = ()
    ) -> frozenset[int]:
        """Keep updates as Telegram sent them; return the ids of those that are new.

        Those that cannot be read are set aside. What updates repeat of a message that was
        forgotten is left out.
        """
        now = datetime.now(UTC)
        rows = [
            {
                "update_id": one["update_id"],
                "body": json.dumps(one),  # in ASCII: half of an emoji is no text for SQLite
                "state": SET_ASIDE if one["update_id"] in unreadable else WAITING,
                "begun": 0,
                "received_at": now,
                "working": False,
                "crashes": 0,
            }
            for one in updates
        ]
        if not rows:
            return frozenset()
        new = insert(inbox).values(rows).on_conflict_do_nothing().returning(inbox.c.update_id)
        async with self._engine.begin() as connection:
            fresh = frozenset((await connection.execute(new)).scalars())
            await _scrub(connection, [one for one in updates if one["update_id"] in fresh])
        return fresh

    async def waiting(self) -> list[dict[str, Any]]:
        """Return what was not handled yet, in order."""
        query = select(inbox.c.body).where(inbox.c.state == WAITING).order_by(inbox.c.update_id)
        async with self._engine.connect() as connection:
            return [json.loads(body) for body in (await connection.execute(query)).scalars()]

    async def count_crashes(self) -> list[int]:
        """Count the crashes of the previous process; return the updates that are set aside.

        After an orderly stop no update is marked as working.
        """
        was_working = inbox.c.state == WAITING, inbox.c.working
        crash = update(inbox).where(*was_working).values(crashes=inbox.c.crashes + 1, working=False)
        convicted = inbox.c.state == WAITING, inbox.c.crashes >= MOST_CRASHES
        aside = update(inbox).where(*convicted).values(state=SET_ASIDE)
        async with self._engine.begin() as connection:
            await connection.execute(crash)
            return list((await connection.execute(aside.returning(inbox.c.update_id))).scalars())

    def was_begun_before(self, update_id: int) -> bool:
        """Whether an update that is being handled was begun before, without an end."""
        return update_id in self._again

    async def begin(self, update_id: int) -> bool:
        """Record that the handlers of an update start; return False if it no longer waits.

        An update that was started before is marked as working.
        """
        begun = (
            update(inbox)
            .where(inbox.c.update_id == update_id, inbox.c.state == WAITING)
            .values(begun=inbox.c.begun + 1, working=inbox.c.begun > 0)
            .returning(inbox.c.begun)
        )
        async with self._engine.begin() as connection:
            tries = (await connection.execute(begun)).scalar()
        if tries and tries > 1:
            self._again.add(update_id)
        return bool(tries)

    async def mark(self, update_id: int, *, working: bool) -> None:
        """Record whether the own code of an update that was started before is running."""
        await self._change(update_id, working=working)

    async def clear_working(self) -> None:
        """Record an orderly stop: from now on no update is blamed for a crash."""
        async with self._engine.begin() as connection:
            await connection.execute(update(inbox).where(inbox.c.working).values(working=False))

    async def end(self, update_id: int) -> None:
        """Note that an update is handled; what it said is dropped."""
        await self._change(update_id, state=HANDLED, body=None, working=False)
        self._again.discard(update_id)

    async def set_aside(self, update_id: int) -> None:
        """Note that an update cannot be read."""
        await self._change(update_id, state=SET_ASIDE)

    async def queue(self) -> Queue:
        """Return how many updates wait, and how many were set aside."""
        query = select(inbox.c.state, func.count().label("number")).group_by(inbox.c.state)
        async with self._engine.connect() as connection:
            counts = {row.state: row.number for row in await connection.execute(query)}
        return Queue(counts.get(WAITING, 0), counts.get(SET_ASIDE, 0))

    async def newest_aside(self, most: int) -> list[int]:
        """Return the ids of what was set aside last, newest first: the log tells more of them."""
        query = select(inbox.c.update_id).where(inbox.c.state == SET_ASIDE)
        newest = query.order_by(inbox.c.update_id.desc()).limit(most)
        async with self._engine.connect() as connection:
            return list((await connection.execute(newest)).scalars())

    async def drop_before(self, moment: datetime) -> bool:
        """Drop what was handled before a moment, and the words of what was set aside before it.

        Returns whether there were such words: they are wiped out by `Eraser.wipe`.
        Telegram keeps updates for 24 hours: their ids must be known that long.
        """
        old = inbox.c.received_at < moment
        async with self._engine.begin() as connection:
            await connection.execute(delete(inbox).where(old, inbox.c.state == HANDLED))
            words = old, inbox.c.state == SET_ASIDE, inbox.c.body.is_not(None)
            dropped = await connection.execute(update(inbox).where(*words).values(body=None))
        return bool(dropped.rowcount)

    async def truncate_log(self) -> bool:
        """Empty the write-ahead log, in which deleted updates can still be read.

        Returns False if others use the database all the time.
        """
        return await truncate_log(self._engine)

    async def _change(self, update_id: int, **values: object) -> None:
        change = update(inbox).where(inbox.c.update_id == update_id).values(**values)
        async with self._engine.begin() as connection:
            await connection.execute(change)


async def _scrub(connection: AsyncConnection, updates: Sequence[Mapping[str, Any]]) -> None:
    """Take out of updates what they repeat of forgotten messages."""
    quoted = {one["update_id"]: set(quoted_in(dict(one))) for one in updates}
    refs = {(ref.chat_id, ref.message_id) for found in quoted.values() for ref in found}
    if not refs:
        return
    query = select(forgotten.c.chat_id, forgotten.c.message_id)
    rows = await connection.execute(
        query.where(tuple_(forgotten.c.chat_id, forgotten.c.message_id).in_(refs))
    )
    gone = {Ref(*row) for row in rows}

    def is_gone(message: Json) -> bool:
        return ref_of(message) in gone

    for one in updates:
        if quoted[one["update_id"]] & gone:
            body = json.dumps(scrubbed(dict(one), is_gone, is_gone))
            await connection.execute(
                update(inbox).where(inbox.c.update_id == one["update_id"]).values(body=body)
            )
