"""The outbox: which parts of a reply were sent."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Update, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.store.inbox import Ref
from bot.store.messages import Place, saving
from bot.store.send_log import Note, Part, SendLog
from bot.store.tables import forgotten, inbox, lines, replies, sources
from model.chat.conversation import Message
from model.chat.eligibility import add_voice_header

__all__ = ["Generation", "Line", "Outbox", "Part", "State", "Turn", "drop_turns", "keep_line"]

State = Literal["generating", "queued", "sending", "sent", "uncertain", "refused"]
"""The state of a part.

`generating`: nothing of it is stored. `queued`: its turn is stored, and the next message is not
sent. `uncertain`: a message may have arrived. `refused`: it did not arrive and never will.
`sending`: earlier versions wrote this for a message that was sent.
"""


@dataclass(frozen=True, slots=True)
class Generation:
    """How many messages a turn was generated from, and rejected candidates by reason."""

    read: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A message of the bot's in a voice: how it was generated, and from which messages.

    `sources` lacks messages that were erased since; earlier versions stored no `generation`.
    """

    voice: str
    version: str
    sources: Sequence[int]
    generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """The unsent messages of a turn, and how they were generated.

    `so_far` is the state of the part if no more of them are sent.
    """

    line: Line
    messages: tuple[str, ...]
    so_far: State = "refused"

    def without_first(self, came: State) -> "Turn":
        """Return what is left after the next message was sent, or may have been."""
        so_far = "uncertain" if "uncertain" in (came, self.so_far) else came
        return replace(self, messages=self.messages[1:], so_far=so_far)


class Outbox:
    """The bot's replies; each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._log = SendLog(Path(engine.url.database or ""))

    async def begin(self, part: Part, place: Place) -> bool:
        """Record that a part is started; return whether anything is left to generate or send.

        A turn is dropped if one of its source messages was forgotten.
        """
        key = {"update_id": part.update_id, "part": part.number}
        new = insert(replies).values(
            **key,
            chat_id=place.chat_id,
            topic_id=place.topic_id,
            state="generating",
            begun_at=datetime.now(UTC),
        )
        async with self._engine.begin() as connection:
            await connection.execute(new.on_conflict_do_nothing())
            if note := self._log.notes.get(part):  # an earlier try ended there
                await _settle(connection, note)
            row = (await connection.execute(select(replies).filter_by(**key))).one()
            turn = _turn_of(row.turn)
            if turn and await _is_any_forgotten(connection, row.chat_id, turn.line.sources):
                await connection.execute(_marking(part, turn.so_far))
                return False
        self._log.drop(part)
        return row.state in {"generating", "queued"}

    async def mark(self, part: Part, state: State) -> None:
        """Record the state of a part; a part that has ended has nothing left to send."""
        async with self._engine.begin() as connection:
            await connection.execute(_marking(part, state))
        self._log.drop(part)

    async def keep_turn(self, part: Part, turn: Turn) -> None:
        """Store a turn before its first message is sent."""
        generation = turn.line.generation
        how = json.dumps(asdict(generation)) if generation else None
        change = _marking(part, "queued").values(turn=_json_of(turn), generation=how)
        async with self._engine.begin() as connection:
            await connection.execute(change)

    async def unsent(self, part: Part) -> Turn | None:
        """Return the unsent messages of a part's turn; None if no turn is stored."""
        query = select(replies.c.turn).filter_by(update_id=part.update_id, part=part.number)
        async with self._engine.connect() as connection:
            return _turn_of((await connection.execute(query)).scalar())

    def note_departure(self, part: Part, left: int = 0) -> None:
        """Record that a message is about to be sent; `left`: see `bot.store.send_log`.

        Raises:
            StoreError: The file cannot be written.
        """
        self._log.note_departure(part, left)

    def note_arrival(self, part: Part, message: Message | None) -> None:
        """Record that a message arrived; `advance` or `mark` follows."""
        self._log.note_arrival(part, message)

    def note_failure(self, part: Part) -> None:
        """Record that a sent message did not arrive."""
        self._log.drop(part)

    async def advance(self, part: Part, left: Turn, message: Message | None) -> None:
        """Record that a message of a turn was sent, or may have been, and what is left of the turn.

        `message` is stored with its source messages; None if it is not known.
        """
        async with self._engine.begin() as connection:
            await _advance(connection, part, left, message)
        self._log.drop(part)

    async def give_up(self, update_id: int, but: Part) -> None:
        """End all parts of an update that are being made or sent, but one."""
        making = replies.c.update_id == update_id, replies.c.state.in_(("generating", "queued"))
        change = update(replies).where(*making, replies.c.part != but.number)
        async with self._engine.begin() as connection:
            await connection.execute(change.values(state="refused", turn=None))

    async def release_before(self, moment: datetime) -> None:
        """Part replies of before a moment from their updates, whose ids Telegram may use again."""
        old = replies.c.begun_at < moment, replies.c.update_id.is_not(None)
        async with self._engine.begin() as connection:
            await connection.execute(update(replies).where(*old).values(update_id=None, turn=None))

    async def line(self, chat_id: int, message_id: int) -> Line | None:
        """Return how a line of the bot's was made, None where it is none."""
        at = {"chat_id": chat_id, "message_id": message_id}
        how = select(replies.c.generation).where(replies.c.id == lines.c.reply_id)
        query = select(lines, how.scalar_subquery().label("generation")).filter_by(**at)
        made_from = select(sources.c.source_id).filter_by(**at).order_by(sources.c.source_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
            ids = (await connection.execute(made_from)).scalars().all()
        if row is None:
            return None
        generation = Generation(**json.loads(row.generation)) if row.generation else None
        return Line(row.voice, row.version, tuple(ids), generation)

    async def lines_of(self, part: Part) -> tuple[Ref, ...]:
        """Return the messages in a voice that a part was sent as."""
        query = (
            select(lines.c.chat_id, lines.c.message_id)
            .join(replies, replies.c.id == lines.c.reply_id)
            .where(replies.c.update_id == part.update_id, replies.c.part == part.number)
        )
        async with self._engine.connect() as connection:
            return tuple(Ref(*row) for row in await connection.execute(query))

    async def settle(self) -> int:
        """Read the previous process's send log; return how many messages may have arrived.

        The rest of a turn after such a message is still sent. A turn whose update is handled is
        dropped.
        """
        notes = await asyncio.to_thread(self._log.load)
        is_waiting = select(inbox.c.update_id).where(inbox.c.state == "waiting")
        no_more = replies.c.turn.is_not(None), replies.c.update_id.not_in(is_waiting)
        sending = update(replies).where(replies.c.state == "sending").values(state="uncertain")
        async with self._engine.begin() as connection:
            uncertain = (await connection.execute(sending)).rowcount
            for note in notes.values():
                uncertain += await _settle(connection, note)
            await connection.execute(update(replies).where(*no_more).values(turn=None))
        for part in notes:
            self._log.drop(part)
        return uncertain

    async def count(self, state: State) -> int:
        """Return how many replies are in a state."""
        query = select(func.count()).select_from(replies).where(replies.c.state == state)
        async with self._engine.connect() as connection:
            return int((await connection.execute(query)).scalar_one())


async def drop_turns(connection: AsyncConnection, voices: Collection[str]) -> None:
    """Drop the unsent rest of turns in these voices or generated from forgotten messages."""
    stored = select(replies).where(replies.c.turn.is_not(None))
    for row in (await connection.execute(stored)).all():
        turn = _turn_of(row.turn)
        if turn is None:
            continue
        is_in_voice = turn.line.voice in voices
        if is_in_voice or await _is_any_forgotten(connection, row.chat_id, turn.line.sources):
            end = update(replies).where(replies.c.id == row.id)
            await connection.execute(end.values(state=turn.so_far, turn=None))


def _marking(part: Part, state: State) -> Update:
    change = (
        update(replies)
        .where(replies.c.update_id == part.update_id, replies.c.part == part.number)
        .values(state=state)
    )
    return change if state == "queued" else change.values(turn=None)


async def _advance(
    connection: AsyncConnection, part: Part, left: Turn, message: Message | None
) -> None:
    """Store a message and what is left of its turn, unless that was erased meanwhile."""
    if message is not None:
        await connection.execute(saving(message))
        at = (message.chat_id, message.message_id)
        await keep_line(connection, part, at, message.sent_at, left.line)
    if not left.messages:
        await connection.execute(_marking(part, left.so_far))
        return
    change = _marking(part, "queued").where(replies.c.turn.is_not(None))
    await connection.execute(change.values(turn=_json_of(left)))


async def _settle(connection: AsyncConnection, note: Note) -> bool:
    """Store what a log entry says, unless done; return whether a message may have arrived."""
    part = note.part
    query = select(replies).filter_by(update_id=part.update_id, part=part.number)
    row = (await connection.execute(query)).one_or_none()
    if row is None or row.state not in {"generating", "queued"}:
        return False
    came: State = "sent" if note.has_arrived else "uncertain"
    turn = _turn_of(row.turn)
    if turn is None:
        await connection.execute(_marking(part, came))
    elif len(turn.messages) != note.left:
        return False
    else:
        words = add_voice_header(turn.line.voice, turn.messages[0])
        message = replace(note.message, text=words) if note.message else None
        await _advance(connection, part, turn.without_first(came), message)
    return came == "uncertain"


async def _is_any_forgotten(connection: AsyncConnection, chat_id: int, ids: Sequence[int]) -> bool:
    query = select(forgotten.c.message_id).where(
        forgotten.c.chat_id == chat_id, forgotten.c.message_id.in_(ids)
    )
    return (await connection.execute(query.limit(1))).first() is not None


def _json_of(turn: Turn) -> str:
    stored = replace(turn, line=replace(turn.line, generation=None))
    return json.dumps(asdict(stored))  # in ASCII: SQLite cannot store half of a surrogate pair


def _turn_of(stored: str | None) -> Turn | None:
    if stored is None:
        return None
    found: dict[str, Any] = json.loads(stored)
    line = found["line"]
    return Turn(
        Line(line["voice"], line["version"], tuple(line["sources"])),
        tuple(found["messages"]),
        found["so_far"],
    )


async def keep_line(
    connection: AsyncConnection,
    part: Part,
    place: tuple[int, int],
    sent_at: datetime,
    line: Line,
) -> None:
    """Keep how the message of these ids, its chat's and its own, was made."""
    number = select(replies.c.id).filter_by(update_id=part.update_id, part=part.number)
    at = dict(zip(("chat_id", "message_id"), place, strict=True))
    await connection.execute(
        insert(lines)
        .values(
            **at,
            reply_id=number.scalar_subquery(),
            voice=line.voice,
            version=line.version,
            sent_at=sent_at,
        )
        .on_conflict_do_nothing()
    )
    if line.sources:
        rows = [{**at, "source_id": source} for source in line.sources]
        await connection.execute(insert(sources).values(rows).on_conflict_do_nothing())
