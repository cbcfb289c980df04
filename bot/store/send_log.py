"""Record each message that is sent just before its request and just after Telegram's answer.

After a kill, these records show which messages may have arrived (see `bot.store.outbox`), and each
of several processes sees what the others have tried to send.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from bot.errors import StoreError
from bot.store.database import Database
from bot.store.messages import Place
from bot.store.tables import sends
from model.chat.conversation import Message


@dataclass(frozen=True, slots=True)
class Part:
    """One of the replies to an update, numbered in the order in which they are sent."""

    update_id: int
    number: int


@dataclass(frozen=True, slots=True)
class Note:
    """The record of a message that is being sent, or was sent but is not stored yet.

    `left` is the number of unsent messages of its turn at that moment, including itself; 0 for a
    text, which has a `place` instead. `message` is what Telegram returned, without the text; None
    if it is not needed.
    """

    part: Part
    left: int = 0
    has_arrived: bool = False
    message: Message | None = None
    place: Place | None = None


class SendLog:
    """The records: for each part, the state of its newest message."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note_attempt(self, part: Part, left: int = 0, place: Place | None = None) -> None:
        """Record that a message is about to be sent; `left` and `place`: see `Note`.

        Raises:
            StoreError: It cannot be recorded, or another process has tried to send the message.
        """
        note = json.dumps(asdict(Note(part, left, place=place)))
        values = {"update_id": part.update_id, "part": part.number, "note": note}
        new = insert(sends).values(values).on_conflict_do_nothing().returning(sends.c.part)

        def write(connection: Connection) -> bool:
            self._database.check_is_own(connection, part.update_id)
            return connection.execute(new).scalar() is not None

        if not await self._database.write(write):
            raise StoreError(f"another process is sending a message for update {part.update_id}")

    async def note_arrival(self, part: Part, message: Message | None) -> None:
        """Record that the newest message of a part arrived.

        Raises:
            StoreError: It cannot be recorded.
        """
        bare = replace(message, text="") if message else None

        def write(connection: Connection) -> None:
            for attempted in self.find(connection, part.update_id):
                if attempted.part == part:
                    note = asdict(replace(attempted, has_arrived=True, message=bare))
                    values = {"note": json.dumps(note, default=datetime.isoformat)}
                    connection.execute(update(sends).where(*_is_of(part)).values(values))

        await self._database.write(write)

    async def drop(self, part: Part) -> None:
        """Drop the record of a part whose newest message did not arrive.

        Raises:
            StoreError: It cannot be dropped.
        """
        await self._database.write(lambda connection: self.drop_in(connection, part))

    def find(self, connection: Connection, update_id: int | None = None) -> Sequence[Note]:
        """Return the records of an update, or all."""
        query = select(sends.c.note)
        if update_id is not None:
            query = query.where(sends.c.update_id == update_id)
        return [_parse_note(json.loads(note)) for note in connection.execute(query).scalars()]

    def drop_in(self, connection: Connection, part: Part) -> None:
        """Drop the record of a part in the transaction that stores its contents."""
        connection.execute(delete(sends).where(*_is_of(part)))


def _is_of(part: Part) -> tuple[Any, Any]:
    return sends.c.update_id == part.update_id, sends.c.part == part.number


def _parse_note(line: Mapping[str, Any]) -> Note:
    part = Part(line["part"]["update_id"], line["part"]["number"])
    message = line["message"]
    if message is not None:
        moment = datetime.fromisoformat(message["sent_at"])
        message = Message(**{**message, "sent_at": moment})
    place = Place(**line["place"]) if line["place"] else None
    return Note(part, line["left"], line["has_arrived"], message, place)
