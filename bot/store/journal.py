"""Keeps how far each of the bot's replies came, so that none is sent twice."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Update, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.store.messages import Place, saving
from bot.store.scrubbing import Ref
from bot.store.tables import lines, replies, sources
from model.conversation import Message

State = Literal["generating", "sending", "sent", "uncertain", "refused"]
"""`uncertain`: it may have arrived, nobody knows; `refused`: it did not, and never will."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the things said to an update, in the order in which they are said."""

    update_id: int
    number: int


@dataclass(frozen=True, slots=True)
class Generation:
    """How many messages a turn was generated from, and rejected candidates by reason."""

    read: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A message of the bot's in a voice: how it was made, and from which messages.

    `sources` lacks messages that were erased since; earlier versions kept no `generation`.
    """

    voice: str
    version: str
    sources: Sequence[int]
    generation: Generation | None = None


class Journal:
    """The bot's replies; each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def begin(self, part: Part, place: Place) -> bool:
        """Note that a part is being made; return False where it came further in an earlier life."""
        key = {"update_id": part.update_id, "part": part.number}
        new = insert(replies).values(
            **key,
            chat_id=place.chat_id,
            topic_id=place.topic_id,
            state="generating",
            begun_at=datetime.now(UTC),
        )
        query = select(replies.c.state).filter_by(**key)
        async with self._engine.begin() as connection:
            await connection.execute(new.on_conflict_do_nothing())
            state: State = (await connection.execute(query)).scalar_one()
        return state == "generating"

    async def mark(self, part: Part, state: State) -> None:
        """Note how far a part came."""
        async with self._engine.begin() as connection:
            await connection.execute(_marking(part, state))

    async def give_up(self, update_id: int, but: Part) -> None:
        """Note of all parts of an update that are being made, but one, that they never will be."""
        making = replies.c.update_id == update_id, replies.c.state == "generating"
        change = update(replies).where(*making, replies.c.part != but.number)
        async with self._engine.begin() as connection:
            await connection.execute(change.values(state="refused"))

    async def release_before(self, moment: datetime) -> None:
        """Part replies of before a moment from their updates, whose ids Telegram may use again."""
        old = replies.c.begun_at < moment, replies.c.update_id.is_not(None)
        async with self._engine.begin() as connection:
            await connection.execute(update(replies).where(*old).values(update_id=None))

    async def keep_generation(self, part: Part, generation: Generation) -> None:
        """Keep how the turn of a part was generated."""
        change = _part(part).values(generation=json.dumps(asdict(generation)))
        async with self._engine.begin() as connection:
            await connection.execute(change)

    async def said(self, part: Part, message: Message, line: Line) -> None:
        """Keep a message that was sent in a voice, with what it was made from."""
        async with self._engine.begin() as connection:
            await connection.execute(saving(message))
            at = (message.chat_id, message.message_id)
            await keep_line(connection, part, at, message.sent_at, line)

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
        """Count as uncertain what was being sent when the bot last ended; return how many."""
        change = update(replies).where(replies.c.state == "sending").values(state="uncertain")
        async with self._engine.begin() as connection:
            return (await connection.execute(change)).rowcount

    async def count(self, state: State) -> int:
        """Return how many replies are in a state."""
        query = select(func.count()).select_from(replies).where(replies.c.state == state)
        async with self._engine.connect() as connection:
            return int((await connection.execute(query)).scalar_one())


def _marking(part: Part, state: State) -> Update:
    return _part(part).values(state=state)


def _part(part: Part) -> Update:
    return update(replies).where(
        replies.c.update_id == part.update_id, replies.c.part == part.number
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
