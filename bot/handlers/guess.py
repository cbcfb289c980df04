"""Handle `/guess`: quizzes about who wrote a message."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from telegram import Message, Update

from bot.application import Context
from bot.handlers.speaking import Speaking
from bot.services.delivery import UNSENT
from bot.services.replies import BusyError, ReplyRequest
from bot.services.state import BotState
from bot.store.messages import Place
from bot.store.outbox import Turn
from bot.store.quizzes import Quiz, QuizScore
from bot.texts.en import Wording
from bot.transport.incoming import after_command, place_of
from bot.transport.outgoing import QuizQuestion, typing
from model.chat.conversation import Message as StoredMessage
from model.chat.eligibility import make_line, target_text
from model.chat.names import fold
from model.chat.roster import Roster
from model.chat.words import split_words
from model.errors import VoiceError

SCORE_WORDS = frozenset({"score", "scores", "pontos", "pontuacao", "resultado"})
MAX_OTHER_NAMES = 4  # options in addition to the right name and the machine
MIN_WORDS, MAX_CHARACTERS = 4, 250
"""Limits of a quiz's message: with the text around it, it must fit into 300 UTF-16 units."""
MAX_CANDIDATES = 1000  # the message is chosen among this many of the newest
BATCH = 32  # messages that are read at once
REPEAT_AFTER = timedelta(days=60)  # before a message may be shown again
MAX_TRIES = 3  # to generate a message that fits a quiz


@dataclass(frozen=True, slots=True)
class QuizMessage:
    """The message that a quiz shows: written by `voice`, or generated in that voice.

    `sources` are the ids of the messages that it was generated from, and `sent_at` is when the
    original was sent. `person_id` is an id of the person whose voice it is.
    """

    text: str
    voice: str
    is_machine: bool
    sources: tuple[int, ...]
    sent_at: datetime
    version: str
    person_id: int


@dataclass(frozen=True, slots=True)
class GuessGame:
    """Sends quizzes and shows the score."""

    speaking: Speaking
    rng: random.Random = field(default_factory=random.Random)

    async def play(self, message: Message, context: Context) -> str | None:
        """Send a quiz, or return the score or the reason why there is no quiz.

        Quizzes count towards the chat's limit of pending replies.
        """
        place, state = place_of(message), context.state
        if fold(after_command(message)) in SCORE_WORDS:
            return await _describe_score(place.chat_id, context)
        try:
            with state.replies.admitted(place.chat_id):
                if shown := await self._choose_message(place, state):
                    return await self._send_quiz(context, place, *shown)
        except BusyError:
            return self.speaking.busy(place, context)
        return context.texts.quiz_unavailable

    async def _choose_message(
        self, place: Place, state: BotState
    ) -> tuple[StoredMessage, QuizMessage] | None:
        """Return a message of this chat that fits a quiz, by somebody who agreed."""
        model, quizzes = state.model_in(place.chat_id), state.store.quizzes
        voices = state.access_in(place.chat_id).voices
        authors = {number for person in voices for number in person.ids}
        since = datetime.now(UTC) - REPEAT_AFTER
        ids = await quizzes.find_candidates(place, authors, since, MAX_CANDIDATES)
        ids = self.rng.sample(ids, len(ids))
        for start in range(0, len(ids), BATCH):
            messages = await quizzes.messages(place.chat_id, ids[start : start + BATCH])
            shown = await asyncio.to_thread(_first_fitting, messages, model.roster, model.version)
            if shown:
                return shown
        return None

    async def _send_quiz(
        self, context: Context, place: Place, original: StoredMessage, shown: QuizMessage
    ) -> str | None:
        """Send a quiz about a real message or, half of the time, about a generated one instead.

        Returns the reason if it could not be sent.
        """
        state = context.state
        part = await context.delivery.begin(place)
        if part is None:
            return None
        if self.rng.random() < 1 / 2:
            async with typing(context.bot, place):
                shown = await _imitate(original, shown, state) or shown
        names = [person.name for person in state.access_in(place.chat_id).voices]
        question = make_question(shown, names, context.texts, self.rng)
        turn = Turn(shown.voice, shown.person_id, shown.version, shown.sources, ("",))

        async def may_send(_: str) -> bool:
            return await context.delivery.may_send(part, place, turn)

        sent, outcome = await context.delivery.ask(part, place, question, turn, may_send)
        if sent and sent.poll:
            quiz = Quiz(
                poll_id=sent.poll.id,
                chat_id=sent.chat.id,
                message_id=sent.message_id,
                right=question.right,
                voice=shown.voice,
                is_machine=shown.is_machine,
                version=shown.version,
                asked_at=sent.date,
            )
            await state.store.quizzes.add(quiz)
        elif outcome == UNSENT:
            return context.texts.quiz_unavailable
        return context.texts.quiz_not_sent if outcome == "refused" else None


async def record_answer(update: Update, context: Context) -> None:
    """Store an answer to a quiz, if the bot still speaks in its chat."""
    answer, state = update.poll_answer, context.state
    if answer is None or answer.user is None or not answer.option_ids:
        return
    chat_id = await state.store.quizzes.find_chat_id(answer.poll_id)
    if chat_id is None or not state.may_speak_in(chat_id):
        return
    person = state.access_in(chat_id).roster_in(chat_id).find_by_id(answer.user.id)
    name = person.name if person else answer.user.full_name
    await state.store.quizzes.answer(answer.poll_id, answer.user.id, name, answer.option_ids[0])


async def _imitate(
    original: StoredMessage, shown: QuizMessage, state: BotState
) -> QuizMessage | None:
    """Generate a message to replace the original; return None if no generated one fits a quiz."""
    place = Place(original.chat_id, original.topic_id)
    request = ReplyRequest(place, shown.voice, original.sent_at, before=original)
    for _ in range(MAX_TRIES):
        try:
            turn = await state.replies.generate(request)
        except VoiceError:
            return None
        for text in turn.messages:
            if is_guessable(text) and text != shown.text:
                return replace(
                    shown, text=text, is_machine=True, sources=turn.sources, version=turn.version
                )
    return None


async def _describe_score(chat_id: int, context: Context) -> str:
    texts, score = context.texts, await context.state.store.quizzes.score(chat_id)
    if not score.people:
        return texts.no_score
    people = "\n".join(
        texts.score_line.format(name=person.name, right=person.right, total=person.total)
        for person in score.people
    )
    return texts.score.format(people=people) + describe_machine(score, texts)


def describe_machine(score: QuizScore, texts: Wording) -> str:
    """Return a paragraph on how often the machine was taken for a friend; "" without answers."""
    if not score.machine:
        return ""
    return f"\n\n{texts.score_machine.format(fooled=score.fooled, total=score.machine)}"


def _first_fitting(
    messages: Sequence[StoredMessage], roster: Roster, version: str
) -> tuple[StoredMessage, QuizMessage] | None:
    """Return the first of these messages that fits a quiz, and what the quiz shows of it."""
    for message in messages:
        line = make_line(message, roster)
        text = target_text(line) if line and not message.text.startswith("/") else None
        if line and line.speaker and text and is_guessable(text):
            shown = QuizMessage(
                text, line.speaker, False, (message.message_id,), message.sent_at, version,  # noqa: FBT003
                message.author_id,
            )  # fmt: skip
            return message, shown
    return None


def is_guessable(text: str) -> bool:
    """Whether a message is long enough to recognise its author, and fits into a question."""
    units = len(text.encode("utf-16-le")) // 2
    return units <= MAX_CHARACTERS and len(split_words(text)) >= MIN_WORDS


def make_question(
    shown: QuizMessage, voices: Sequence[str], texts: Wording, rng: random.Random
) -> QuizQuestion:
    """Return a quiz about a message; its options are the person, some others and the machine."""
    others = [name for name in voices if name != shown.voice]
    names = [shown.voice, *rng.sample(others, min(MAX_OTHER_NAMES, len(others)))]
    rng.shuffle(names)
    explanation = texts.quiz_machine_answer if shown.is_machine else texts.quiz_friend_answer
    return QuizQuestion(
        text=texts.quiz_question.format(text=shown.text),
        options=(*names, texts.quiz_machine),
        right=len(names) if shown.is_machine else names.index(shown.voice),
        explanation=explanation.format(name=shown.voice, date=shown.sent_at.date()),
    )
