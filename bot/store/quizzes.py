"""Store the quizzes of `/guess` and their answers."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, case, exists, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from bot.store.database import Database
from bot.store.messages import FIELDS, Place, message_from_row
from bot.store.tables import answers, forgotten, guesses, lines, messages, sources
from model.chat.conversation import Message


@dataclass(frozen=True, slots=True)
class Quiz:
    """A quiz that was sent: its voice, and whether the model generated the message.

    `right` is the index of the correct option. The options name friends and are not stored.
    """

    poll_id: str
    chat_id: int
    message_id: int
    right: int
    voice: str
    is_machine: bool
    version: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Guesser:
    """How often a person was right."""

    name: str
    right: int
    total: int


@dataclass(frozen=True, slots=True)
class QuizScore:
    """A chat's score: `machine` guesses about generated messages, of which `fooled` were wrong."""

    people: tuple[Guesser, ...]
    fooled: int
    machine: int


class Quizzes:
    """The quizzes of all chats; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_candidates(
        self, place: Place, authors: Collection[int], since: datetime, most: int
    ) -> list[int]:
        """Return the ids of these people's newest messages in a topic of a chat.

        Messages that a quiz showed after `since` are left out.
        """
        chat_id = place.chat_id
        shown = (
            select(sources.c.source_id)
            .join(
                guesses,
                (guesses.c.chat_id == sources.c.chat_id)
                & (guesses.c.message_id == sources.c.message_id),
            )
            .where(
                sources.c.source_chat_id == chat_id,
                guesses.c.is_machine.is_(False),
                guesses.c.asked_at > since,
            )
        )
        gone = select(forgotten.c.message_id).where(forgotten.c.chat_id == chat_id)
        query = (
            select(messages.c.message_id)
            .where(
                messages.c.chat_id == chat_id,
                messages.c.topic_id.is_not_distinct_from(place.topic_id),
                messages.c.author_id.in_(authors),
                messages.c.is_forward.is_(False),
                messages.c.message_id.not_in(shown),
                messages.c.message_id.not_in(gone),
            )
            .order_by(messages.c.sent_at.desc(), messages.c.message_id.desc())
            .limit(most)
        )
        return await self._database.read(lambda one: list(one.execute(query).scalars()))

    async def messages(self, chat_id: int, ids: Collection[int]) -> list[Message]:
        """Return these messages of a chat, in any order."""
        query = select(*FIELDS).where(messages.c.chat_id == chat_id, messages.c.message_id.in_(ids))
        return await self._database.read(
            lambda connection: list(map(message_from_row, connection.execute(query)))
        )

    async def add(self, quiz: Quiz) -> None:
        """Store a quiz that the outbox has stored as a line, unless it was erased since."""
        values = asdict(quiz)
        is_line, is_forgotten = (
            exists().where(table.c.chat_id == quiz.chat_id, table.c.message_id == quiz.message_id)
            for table in (lines, forgotten)
        )
        row = select(*(literal(value, guesses.c[name].type) for name, value in values.items()))
        new = insert(guesses).from_select(list(values), row.where(is_line, ~is_forgotten))
        await self._database.write(lambda one: one.execute(new.on_conflict_do_nothing()))

    async def find_chat_id(self, poll_id: str) -> int | None:
        """Return the chat of a quiz, or None if the bot did not send it."""
        query = select(guesses.c.chat_id).where(guesses.c.poll_id == poll_id)
        return await self._database.read(lambda one: one.execute(query).scalar_one_or_none())

    async def answer(self, poll_id: str, user_id: int, name: str, chosen: int) -> bool:
        """Store a person's first answer; return False for later ones and for polls of others."""
        values = {"poll_id": poll_id, "user_id": user_id, "user_name": name, "chosen": chosen}
        known = select(*map(literal, values.values())).where(
            exists().where(guesses.c.poll_id == poll_id)
        )
        new = insert(answers).from_select(list(values), known).on_conflict_do_nothing()
        stored = new.returning(answers.c.user_id)
        return await self._database.write(lambda one: one.execute(stored).first() is not None)

    async def score(self, chat_id: int) -> QuizScore:
        """Return a chat's score, the best guessers first."""
        is_right = case((answers.c.chosen == guesses.c.right, 1), else_=0)
        asked = answers.join(guesses, answers.c.poll_id == guesses.c.poll_id)
        people = (
            select(
                func.max(answers.c.user_name).label("name"),
                func.sum(is_right).label("right"),
                func.count().label("total"),
            )
            .select_from(asked)
            .where(guesses.c.chat_id == chat_id)
            .group_by(answers.c.user_id)
            .order_by(func.sum(is_right).desc(), func.count(), "name")
        )
        machine = (
            select(func.count(), func.coalesce(func.sum(1 - is_right), 0))
            .select_from(asked)
            .where(guesses.c.chat_id == chat_id, guesses.c.is_machine.is_(True))
        )

        def load(connection: Connection) -> QuizScore:
            rows = connection.execute(people)
            guessers = tuple(Guesser(row.name, row.right, row.total) for row in rows)
            total, fooled = connection.execute(machine).one()
            return QuizScore(guessers, fooled, total)

        return await self._database.read(load)
