"""A log of messages that are being sent, written just before each request leaves."""

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.errors import StoreError
from model.chat.conversation import Message
from model.files import PRIVATE_FILE

SUFFIX = "-sends"


@dataclass(frozen=True, slots=True)
class Part:
    """One of the replies to an update, numbered in the order in which they are sent."""

    update_id: int
    number: int


@dataclass(frozen=True, slots=True)
class Note:
    """The log entry of a message that was sent.

    `left` is the number of unsent messages of its turn at that moment, including itself.
    `message` is what Telegram returned, without the text; None if it is not needed.
    """

    part: Part
    left: int = 0
    has_arrived: bool = False
    message: Message | None = None


class SendLog:
    """The log of one database: for each part, the state of its newest message."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + SUFFIX)
        self.notes: dict[Part, Note] = {}

    def load(self) -> Mapping[Part, Note]:
        """Return the entries that an earlier process left."""
        try:
            lines = self._path.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        for line in lines:
            try:
                self._take(json.loads(line))
            except (LookupError, TypeError, ValueError):  # power failed while it was written
                continue
        return dict(self.notes)

    def note_departure(self, part: Part, left: int) -> None:
        """Log that a message is about to be sent.

        Raises:
            StoreError: The file cannot be written.
        """
        note = Note(part, left)
        self._append(asdict(note))
        self.notes[part] = note

    def note_arrival(self, part: Part, message: Message | None) -> None:
        """Log that the newest message of a part arrived.

        Raises:
            StoreError: The file cannot be written; the entry is known until the process ends.
        """
        known = self.notes.get(part) or Note(part)
        bare = replace(message, text="") if message else None
        self.notes[part] = note = replace(known, has_arrived=True, message=bare)
        self._append(asdict(note))

    def drop(self, part: Part) -> None:
        """Drop the entry of a part: the database has it, or the message did not arrive.

        Raises:
            StoreError: The file cannot be written.
        """
        if self.notes.pop(part, None) is None:
            return
        if self.notes:
            self._append({"part": asdict(part), "dropped": True})
        else:
            with suppress(OSError):  # an entry that the database has does no harm
                os.truncate(self._path, 0)

    def _append(self, line: Mapping[str, Any]) -> None:
        # The line break comes first: a note that was torn spoils no other.
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
        part = Part(line["part"]["update_id"], line["part"]["number"])
        if line.get("dropped"):
            self.notes.pop(part, None)
            return
        message = line["message"]
        if message is not None:
            moment = datetime.fromisoformat(message["sent_at"])
            message = Message(**{**message, "sent_at": moment})
        self.notes[part] = Note(part, line["left"], line["has_arrived"], message)
