"""Record each message that is sent just before its request and just after Telegram's answer.

After a kill, these records tell which messages may have arrived (see `bot.store.outbox`). One
process uses a file, which is faster than a transaction. Several processes on one PostgreSQL server
use a table, so that each of them knows what the others have tried.
"""

import asyncio
import errno
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from bot.errors import StoreError
from bot.store.database import Database
from bot.store.messages import Place
from bot.store.tables import sends
from model.chat.conversation import Message
from model.files import PRIVATE_FILE

LOG_SUFFIX = "-sends"


@dataclass(frozen=True, slots=True)
class Part:
    """One of the replies to an update, numbered in the order in which they are sent."""

    update_id: int
    number: int


@dataclass(frozen=True, slots=True)
class Note:
    """The record of a message that was sent.

    `left` is the number of unsent messages of its turn at that moment, including itself; 0 for a
    text, which has a `place` instead. `message` is what Telegram returned, without the text; None
    if it is not needed.
    """

    part: Part
    left: int = 0
    has_arrived: bool = False
    message: Message | None = None
    place: Place | None = None


class SendLog(Protocol):
    """The records: for each part, the state of its newest message."""

    async def load(self) -> Mapping[Part, Note]:
        """Return an earlier process's records; none if other processes may still be sending."""

    async def note_attempt(self, part: Part, left: int = 0, place: Place | None = None) -> None:
        """Record that a message is about to be sent; `left` and `place`: see `Note`.

        Raises:
            StoreError: It cannot be recorded, or another process has tried to send the message.
        """

    async def note_arrival(self, part: Part, message: Message | None) -> None:
        """Record that the newest message of a part arrived.

        Raises:
            StoreError: It cannot be recorded.
        """

    async def drop(self, part: Part) -> None:
        """Drop the record of a part: the database has it, or the message did not arrive.

        Raises:
            StoreError: It cannot be dropped.
        """

    def find(self, connection: Connection, update_id: int) -> Sequence[Note]:
        """Return the records of an update."""

    def drop_in(self, connection: Connection, part: Part) -> None:
        """Drop the record in the transaction that stores what it says."""

    async def drop_after_commit(self, part: Part) -> None:
        """Complete `drop_in` after its transaction.

        Raises:
            StoreError: The record cannot be dropped.
        """


class SendFile:
    """The records of one process, in a file beside the database."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + LOG_SUFFIX)
        self.notes: dict[Part, Note] = {}

    async def load(self) -> Mapping[Part, Note]:
        """See SendLog."""
        await asyncio.to_thread(self._load)
        return dict(self.notes)

    async def note_attempt(self, part: Part, left: int = 0, place: Place | None = None) -> None:
        """See SendLog."""
        note = Note(part, left, place=place)
        self._append(asdict(note))
        self.notes[part] = note

    async def note_arrival(self, part: Part, message: Message | None) -> None:
        """See SendLog; `notes` has the record even if the file cannot be written."""
        attempted = self.notes.get(part) or Note(part)
        bare = replace(message, text="") if message else None
        self.notes[part] = note = replace(attempted, has_arrived=True, message=bare)
        self._append(asdict(note))

    async def drop(self, part: Part) -> None:
        """See SendLog."""
        if self.notes.pop(part, None) is None:
            return
        if self.notes:
            self._append({"part": asdict(part), "dropped": True})
        else:
            with suppress(OSError):  # an entry that the database has does no harm
                os.truncate(self._path, 0)

    def find(self, connection: Connection, update_id: int) -> Sequence[Note]:
        """See SendLog."""
        del connection
        return [note for part, note in self.notes.items() if part.update_id == update_id]

    def drop_in(self, connection: Connection, part: Part) -> None:
        """Do nothing: the transaction may be rolled back."""

    async def drop_after_commit(self, part: Part) -> None:
        """See SendLog."""
        await self.drop(part)

    def _load(self) -> None:
        try:
            lines = self._path.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        for line in lines:
            try:
                self._take(json.loads(line))
            except (LookupError, TypeError, ValueError):  # power failed while it was written
                continue

    def _append(self, line: Mapping[str, Any]) -> None:
        # The line break comes first, so that an incomplete entry does not spoil the next.
        content = f"\n{json.dumps(line, default=datetime.isoformat)}\n".encode()
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
            try:
                if os.write(file, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(file)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written ({error.strerror})") from error

    def _take(self, line: Mapping[str, Any]) -> None:
        note = _parse_note(line)
        if line.get("dropped"):
            self.notes.pop(note.part, None)
        else:
            self.notes[note.part] = note


class SendTable:
    """The records of several processes, in a table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> Mapping[Part, Note]:
        """Return nothing: others may still be sending; `Outbox.resume` reads their records."""
        return {}

    async def note_attempt(self, part: Part, left: int = 0, place: Place | None = None) -> None:
        """See SendLog. If there is a record already, another process is sending this message."""
        note = json.dumps(asdict(Note(part, left, place=place)))
        values = {"update_id": part.update_id, "part": part.number, "note": note}
        new = insert(sends).values(values).on_conflict_do_nothing().returning(sends.c.part)

        def write(connection: Connection) -> bool:
            self._database.check_is_own(connection, part.update_id)
            return connection.execute(new).scalar() is not None

        if not await self._database.write(write):
            raise StoreError(f"another process sends a message for update {part.update_id}")

    async def note_arrival(self, part: Part, message: Message | None) -> None:
        """See SendLog."""
        bare = replace(message, text="") if message else None

        def write(connection: Connection) -> None:
            for attempted in self.find(connection, part.update_id):
                if attempted.part == part:
                    note = asdict(replace(attempted, has_arrived=True, message=bare))
                    values = {"note": json.dumps(note, default=datetime.isoformat)}
                    connection.execute(update(sends).where(*_is_of(part)).values(values))

        await self._database.write(write)

    async def drop(self, part: Part) -> None:
        """See SendLog."""
        await self._database.write(lambda connection: self.drop_in(connection, part))

    def find(self, connection: Connection, update_id: int) -> Sequence[Note]:
        """See SendLog."""
        query = select(sends.c.note).where(sends.c.update_id == update_id)
        return [_parse_note(json.loads(note)) for note in connection.execute(query).scalars()]

    def drop_in(self, connection: Connection, part: Part) -> None:
        """See SendLog."""
        connection.execute(delete(sends).where(*_is_of(part)))

    async def drop_after_commit(self, part: Part) -> None:
        """Do nothing: the record was dropped in the transaction."""


def open_send_log(database: Database) -> SendLog:
    """Return the log of a database: a file for SQLite, a table on a server."""
    return SendTable(database) if database.backend.is_shared else SendFile(database.backend.file)


def _is_of(part: Part) -> tuple[Any, Any]:
    return sends.c.update_id == part.update_id, sends.c.part == part.number


def _parse_note(line: Mapping[str, Any]) -> Note:
    part = Part(line["part"]["update_id"], line["part"]["number"])
    message = line.get("message")
    if message is not None:
        moment = datetime.fromisoformat(message["sent_at"])
        message = Message(**{**message, "sent_at": moment})
    place = Place(**line["place"]) if line.get("place") else None  # earlier versions had none
    return Note(part, line.get("left", 0), bool(line.get("has_arrived")), message, place)
