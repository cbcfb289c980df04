"""The outbox: store what the bot sends so that nothing is lost and nothing is sent twice.

A reply to an update has parts. A part is one text, or a turn of several messages in a voice. Two
records make it safe to end the process at any moment:

- The database contains a part's state and the unsent messages of its turn. It is written once
  before the first message of a turn leaves (`keep_turn`) and once after each message (`advance`,
  or `mark` for a text).
- The send log, a table, records for each part whether its newest message was sent and whether
  Telegram has answered. It is written just before a request is sent and just after the answer, and
  emptied in the transaction that stores its contents.

What the next attempt finds after a kill:

- before `keep_turn`: nothing. Nothing was sent, and the turn is generated again.
- before the attempt to send: the unsent turn, or nothing of a text. The turn, or the text, is sent.
- before Telegram's answer: a log entry without an answer. The message may have arrived. It counts
  as uncertain and is not sent again; the rest of the turn is sent.
- before `advance` or `mark`: a log entry with the answer. `settle` (at the start of a single
  process) or `resume` stores what `advance` or `mark` would have stored.

A part is read from the database only if an earlier process started its update. Otherwise nothing
of it can be stored.

While a turn is being sent, its person or the author of a source may withdraw. `withdraw_turn`
removes the unsent messages of such a turn; only then does the withdrawal search for the lines to
delete. A message of the turn that arrives is stored either before that, and is found, or after it:
then the transaction that stores it records that it must be deleted, and its sender deletes it.

A message that must be deleted in its chat has a row in `lines` and one in `forgotten`, until it is
deleted or Telegram refuses that for good (`find_withdrawn`).
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Update,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from bot.store.database import Database
from bot.store.messages import Place, Ref, find_forgotten, message_insert
from bot.store.send_log import Note, Part, SendLog
from bot.store.tables import forgotten, inbox, lines, replies, sources
from model.chat.conversation import Message
from model.chat.eligibility import add_voice_header

T = TypeVar("T")

APOLOGY = -1
"""The part that says that something failed. Once it has ended, no other part is started."""
NOTICE = -2
"""The part that says that the answer will take a while."""

State = Literal["generating", "queued", "sent", "uncertain", "refused"]
"""The state of a part.

`generating`: nothing of it is stored. `queued`: its turn is stored, and the next message is not
sent. `uncertain`: a message may have arrived. `refused`: it did not arrive and never will.
"""


@dataclass(frozen=True, slots=True)
class Generation:
    """The number of messages that a turn was generated from, and rejected candidates by reason."""

    read: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn in a voice: how it was generated, and its messages that are not sent yet.

    `person_id` is an id of the person whose voice it is. `sources` are the ids of the messages that
    it was generated from, except those erased since. `so_far` is the state of the part if no more
    messages are sent. A stored turn without messages was withdrawn. The message of a quiz has no
    text here.
    """

    voice: str
    person_id: int
    version: str
    sources: tuple[int, ...]
    messages: tuple[str, ...] = ()
    generation: Generation | None = None
    so_far: State = "refused"

    def without_first(self, state: State) -> "Turn":
        """Return what is left after the next message ended in `state`."""
        so_far = "uncertain" if "uncertain" in (state, self.so_far) else state
        return replace(self, messages=self.messages[1:], so_far=so_far)


class Outbox:
    """The bot's replies; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.log = SendLog(database)

    async def begin(self, part: Part, place: Place) -> bool:
        """Record that a part has started; return whether anything is left to generate or send.

        Nothing is left if the part has ended, after an apology for the update, and if the stored
        turn was withdrawn; then the turn is deleted.
        """
        key = {"update_id": part.update_id, "part": part.number}
        apology = select(replies.c.state).filter_by(update_id=part.update_id, part=APOLOGY)

        def write(connection: Connection) -> bool:
            self._database.check_is_own(connection, part.update_id)
            connection.execute(_insert_part(part, place, "generating").on_conflict_do_nothing())
            row = connection.execute(select(replies).filter_by(**key)).one()
            turn = _turn_of(row.turn)
            if turn and _is_withdrawn(connection, row.chat_id, turn):
                connection.execute(_state_update(part, turn.so_far))
                return False
            if part.number >= 0 and connection.execute(apology).scalar() not in {
                None,
                "generating",
            }:
                return False
            return row.state in {"generating", "queued"}

        return await self._database.write(write)

    async def mark(self, part: Part, place: Place, state: State) -> None:
        """Record the state in which a part ended; the unsent rest of its turn is deleted.

        It is uncertain if an earlier message of the turn was.
        """
        query = select(replies.c.turn).filter_by(update_id=part.update_id, part=part.number)

        def write(connection: Connection) -> None:
            turn = _turn_of(connection.execute(query).scalar())
            ended = turn.without_first(state).so_far if turn else state
            key = [replies.c.update_id, replies.c.part]
            new = _insert_part(part, place, ended)
            values = {"state": ended, "turn": None}
            connection.execute(new.on_conflict_do_update(index_elements=key, set_=values))

        await self._write(part, write)

    async def keep_turn(self, part: Part, place: Place, turn: Turn) -> None:
        """Store a turn before its first message is sent; without text if it is withdrawn."""
        made = json.dumps(asdict(turn.generation)) if turn.generation else None

        def write(connection: Connection) -> None:
            is_withdrawn = _is_withdrawn(connection, place.chat_id, turn)
            kept = replace(turn, messages=()) if is_withdrawn else turn
            values = {"state": "queued", "turn": _json_of(kept), "generation": made}
            new = _insert_part(part, place, "queued").values(values)
            key = [replies.c.update_id, replies.c.part]
            connection.execute(new.on_conflict_do_update(index_elements=key, set_=values))

        await self._write(part, write)

    async def may_send(self, part: Part) -> bool:
        """Whether messages of a part's turn are left and nobody has withdrawn the turn."""
        query = select(replies).filter_by(update_id=part.update_id, part=part.number)

        def read(connection: Connection) -> bool:
            row = connection.execute(query).one_or_none()
            turn = _turn_of(row.turn) if row else None
            if row is None or turn is None:
                return False
            return not _is_withdrawn(connection, row.chat_id, turn)

        return await self._database.read(read)

    async def unsent(self, part: Part) -> Turn | None:
        """Return the unsent messages of a part's turn, or None if no turn is stored."""
        query = select(replies.c.turn).filter_by(update_id=part.update_id, part=part.number)
        return await self._database.read(
            lambda connection: _turn_of(connection.execute(query).scalar())
        )

    async def advance(self, part: Part, left: Turn, message: Message | None) -> bool:
        """Record that a message of a turn was sent, or may have been, and what is left of the turn.

        `message` is stored with its source messages; None if it is not known. Returns False if it
        must be deleted: the turn was withdrawn, or the message itself was forgotten. Until it is
        deleted, `find_withdrawn` returns it.
        """
        return await self._write(part, lambda connection: _advance(connection, part, left, message))

    async def resume(self, update_id: int) -> tuple[Ref, ...]:
        """Store what earlier attempts to answer an update left in the send log.

        Returns the messages that they sent and that must be deleted.
        """
        of_update = select(replies.c.id).where(replies.c.update_id == update_id)
        query = _select_withdrawn().where(lines.c.reply_id.in_(of_update))

        def write(connection: Connection) -> tuple[Ref, ...]:
            self._database.check_is_own(connection, update_id)
            for note in self.log.find(connection, update_id):
                self._settle(connection, note)
            return tuple(Ref(*row) for row in connection.execute(query))

        return await self._database.write(write)

    async def find_withdrawn(self, before: datetime) -> tuple[Ref, ...]:
        """Return the messages that were marked for deletion before a moment."""
        is_due = or_(forgotten.c.at < before, forgotten.c.at > datetime.now(UTC))  # a wrong clock
        query = _select_withdrawn(is_due)
        return await self._database.read(
            lambda connection: tuple(Ref(*row) for row in connection.execute(query))
        )

    async def give_up(self, update_id: int, but: Part) -> None:
        """End all parts of an update that have not ended yet, except one."""
        is_open = replies.c.update_id == update_id, replies.c.state.in_(("generating", "queued"))
        change = update(replies).where(*is_open, replies.c.part != but.number)
        change = change.values(state="refused", turn=None)
        await self._database.write(lambda connection: connection.execute(change))

    async def release_before(self, moment: datetime) -> None:
        """Remove the update ids from old replies: Telegram may use these ids again.

        Replies to updates that still wait keep theirs.
        """
        is_waiting = exists().where(
            inbox.c.update_id == replies.c.update_id, inbox.c.state == "waiting"
        )
        old = replies.c.begun_at < moment, replies.c.update_id.is_not(None), ~is_waiting
        change = update(replies).where(*old).values(update_id=None, turn=None)
        await self._database.write(lambda connection: connection.execute(change))

    async def find_turn(self, chat_id: int, message_id: int) -> Turn | None:
        """Return the turn of a message in a voice, without messages, or None for any other one."""
        at = {"chat_id": chat_id, "message_id": message_id}
        how = select(replies.c.generation).where(replies.c.id == lines.c.reply_id)
        query = select(lines, how.scalar_subquery().label("generation")).filter_by(**at)
        made_from = select(sources.c.source_id).filter_by(**at).order_by(sources.c.source_id)

        def find(connection: Connection) -> Turn | None:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            ids = tuple(connection.execute(made_from).scalars())
            generation = Generation(**json.loads(row.generation)) if row.generation else None
            return Turn(row.voice, row.person_id, row.version, ids, generation=generation)

        return await self._database.read(find)

    async def settle(self) -> int:
        """Store what the previous process's send log says; return how many messages are uncertain.

        The rest of a turn after such a message is still sent. A turn whose update is handled is
        deleted. Of several processes, others may still be sending: `resume` reads their records.
        """
        is_waiting = select(inbox.c.update_id).where(inbox.c.state == "waiting")
        no_more = replies.c.turn.is_not(None), replies.c.update_id.not_in(is_waiting)

        def write(connection: Connection) -> int:
            notes = [] if self._database.backend.is_shared else self.log.find(connection)
            uncertain = sum([self._settle(connection, note) for note in notes])
            connection.execute(update(replies).where(*no_more).values(turn=None))
            return uncertain

        return await self._database.write(write)

    def _settle(self, connection: Connection, note: Note) -> bool:
        """Store what a record says, and drop it; return whether the message is uncertain."""
        self.log.drop_in(connection, note.part)
        return _store_note(connection, note)

    async def count(self, state: State) -> int:
        """Return how many replies are in a state."""
        query = select(func.count()).select_from(replies).where(replies.c.state == state)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def _write(self, part: Part, work: Callable[[Connection], T]) -> T:
        """Store what became of a part, and drop its entry in the send log."""

        def write(connection: Connection) -> T:
            self._database.check_is_own(connection, part.update_id)
            result = work(connection)
            self.log.drop_in(connection, part)
            return result

        return await self._database.write(write)


def find_turns(connection: Connection, people: Collection[int]) -> list[int]:
    """Return the ids of replies whose unsent turns must be withdrawn.

    They are in the voices of these people, or generated from forgotten messages.
    """
    found = []
    for row in connection.execute(select(replies).where(replies.c.turn.is_not(None))):
        turn = _turn_of(row.turn)
        if turn is None or not turn.messages:
            continue
        if turn.person_id in people or _is_withdrawn(connection, row.chat_id, turn):
            found.append(row.id)
    return found


def withdraw_turn(connection: Connection, number: int) -> bool:
    """Delete the unsent messages of a turn; return whether it is stored.

    The rest of the row stays until the part ends, because a message may be on its way. Locks one
    row only, so that transactions cannot deadlock.
    """
    is_stored = replies.c.id == number, replies.c.turn.is_not(None)
    stored = connection.execute(select(replies.c.turn).where(*is_stored).with_for_update()).scalar()
    if turn := _turn_of(stored):
        withdrawn = _json_of(replace(turn, messages=()))
        connection.execute(update(replies).where(*is_stored).values(turn=withdrawn))
    return turn is not None


def _select_withdrawn(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the query for messages that must be deleted; the conditions are on `forgotten`."""
    same = (
        forgotten.c.chat_id == lines.c.chat_id,
        forgotten.c.message_id == lines.c.message_id,
    )
    is_forgotten = exists().where(*same, *conditions)
    return select(lines.c.chat_id, lines.c.message_id).where(is_forgotten)


def _insert_part(part: Part, place: Place, state: State) -> Insert:
    """Return the statement that inserts a part in a state."""
    return insert(replies).values(
        update_id=part.update_id,
        part=part.number,
        chat_id=place.chat_id,
        topic_id=place.topic_id,
        state=state,
        begun_at=datetime.now(UTC),
    )


def _state_update(part: Part, state: State) -> Update:
    """Return the statement that changes a part's state; only a queued part keeps its turn."""
    change = (
        update(replies)
        .where(replies.c.update_id == part.update_id, replies.c.part == part.number)
        .values(state=state)
    )
    return change if state == "queued" else change.values(turn=None)


def _store_line(
    connection: Connection, reply: Row[Any], ref: Ref, sent_at: datetime, turn: Turn
) -> None:
    """Store how a message of a reply was generated.

    Its sources keep the reply's chat id; the message has another one if the group has become a
    supergroup in the meantime.
    """
    connection.execute(
        insert(lines)
        .values(
            **asdict(ref),
            reply_id=reply.id,
            voice=turn.voice,
            version=turn.version,
            sent_at=sent_at,
            person_id=turn.person_id,
        )
        .on_conflict_do_nothing()
    )
    if turn.sources:
        made_in = {**asdict(ref), "source_chat_id": reply.chat_id}
        rows = [{**made_in, "source_id": source} for source in turn.sources]
        connection.execute(insert(sources).values(rows).on_conflict_do_nothing())


def _advance(connection: Connection, part: Part, left: Turn, message: Message | None) -> bool:
    """Store a message and what is left of its turn; return whether the message may stay."""
    key = {"update_id": part.update_id, "part": part.number}
    locked = select(replies).filter_by(**key).with_for_update()  # against `withdraw_turn`
    row = connection.execute(locked).one()
    turn = _turn_of(row.turn)
    is_withdrawn = turn is not None and _is_withdrawn(connection, row.chat_id, turn)
    may_stay = not is_withdrawn
    if message is not None:
        ref = Ref(message.chat_id, message.message_id)
        may_stay &= not find_forgotten(connection, [ref])
        if not may_stay:
            mark = {**asdict(ref), "at": datetime.now(UTC)}
            connection.execute(insert(forgotten).values(mark).on_conflict_do_nothing())
        elif message.text:
            connection.execute(message_insert(message))
        _store_line(connection, row, ref, message.sent_at, left)
    if is_withdrawn or not left.messages:
        connection.execute(_state_update(part, left.so_far))
    else:
        change = _state_update(part, "queued").where(replies.c.turn.is_not(None))
        connection.execute(change.values(turn=_json_of(left)))
    return may_stay


def _store_note(connection: Connection, note: Note) -> bool:
    """Store what a log entry says, unless done; return whether a message may have arrived."""
    part = note.part
    state: State = "sent" if note.has_arrived else "uncertain"
    query = select(replies).filter_by(update_id=part.update_id, part=part.number)
    row = connection.execute(query).one_or_none()
    if row is None and note.place:
        connection.execute(_insert_part(part, note.place, state))
        return state == "uncertain"
    if row is None or row.state not in {"generating", "queued"}:
        return False
    turn = _turn_of(row.turn)
    if turn is None:
        connection.execute(_state_update(part, state))
    elif turn.messages and len(turn.messages) != note.left:
        return False
    else:
        words = turn.messages[0] if turn.messages else ""
        text = add_voice_header(turn.voice, words) if words else ""
        message = replace(note.message, text=text) if note.message else None
        _advance(connection, part, turn.without_first(state), message)
    return state == "uncertain"


def _is_withdrawn(connection: Connection, chat_id: int, turn: Turn) -> bool:
    """Whether a stored turn must not be sent: it was withdrawn, or a source was forgotten."""
    sources_of = [Ref(chat_id, number) for number in turn.sources]
    return not turn.messages or bool(find_forgotten(connection, sources_of))


def _json_of(turn: Turn) -> str:
    stored = replace(turn, generation=None)  # it has a column of its own
    return json.dumps(asdict(stored))  # in ASCII: SQLite cannot store half of a surrogate pair


def _turn_of(stored: str | None) -> Turn | None:
    if stored is None:
        return None
    found: dict[str, Any] = json.loads(stored)
    lists = {name: tuple(found[name]) for name in ("sources", "messages")}
    return Turn(**{**found, **lists})
