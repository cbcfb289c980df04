"""Handle `/guess`."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from telegram import Update

from bot.handlers.speaking import Speaking
from bot.services.context import Context
from bot.services.delivery import UNSENT
from bot.services.forgetting import erase
from bot.services.replies import BusyError
from bot.services.state import BotState
from bot.store.erasure import ErasureQuery
from bot.store.inbox import Ref
from bot.store.messages import Place
from bot.store.outbox import Part, State
from bot.store.quizzes import Quiz
from bot.texts.wording import Wording
from bot.transport.incoming import after_command, place_of
from bot.transport.outgoing import Question, typing
from model.chat.conversation import Message
from model.chat.eligibility import make_line, target_text
from model.chat.names import fold
from model.chat.roster import Roster
from model.chat.words import split_words
from model.errors import VoiceError

SCORE_WORDS = frozenset({"score", "scores", "pontos", "pontuacao", "resultado"})
MOST_OTHERS = 4  # beside the one whose line or voice it is, and the machine
FEWEST_WORDS, MOST_CHARACTERS = 4, 250
"""Of a line that is asked about: Telegram's question holds 300 UTF-16 units with what is around."""
LOOKED_AT = 1000  # messages, the newest
READ_AT_ONCE = 32
ASKED_AGAIN = timedelta(days=60)
TRIES = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """A line to ask about: whose it is or whose voice it is in, and what it came from."""

    text: str
    voice: str
    is_machine: bool
    sources: tuple[int, ...]
    sent_at: datetime
    version: str


@dataclass(frozen=True, slots=True)
class Guessing:
    """The handlers of `/guess` and of what people answer."""

    state: BotState
    speaking: Speaking
    chance: random.Random = field(default_factory=random.Random)

    async def command(self, update: Update, context: Context) -> None:
        """Ask who said something, or tell the score."""
        message = update.message
        if message is None:
            return
        place, texts = place_of(message), context.texts
        if not self.state.access.may_speak_in(place.chat_id):
            await context.delivery.say(place, texts.silent_here)
        elif fold(after_command(message)) in SCORE_WORDS:
            await context.delivery.say(place, await self._score(place, texts))
        else:
            await self._quiz(context, place)

    async def answered(self, update: Update, _: Context) -> None:
        """Keep what somebody guessed, where the bot still speaks."""
        answer = update.poll_answer
        if answer is None or answer.user is None or not answer.option_ids:
            return
        chat_id = await self.state.store.quizzes.chat_of(answer.poll_id)
        if chat_id is None or not self.state.access.may_speak_in(chat_id):
            return
        person = self.state.access.roster.find_by_id(answer.user.id)
        name = person.name if person else answer.user.full_name
        await self.state.store.quizzes.answer(
            answer.poll_id, answer.user.id, name, answer.option_ids[0]
        )

    async def _quiz(self, context: Context, place: Place) -> None:
        """Send a quiz, or say why not; quizzes count towards the chat's limit on replies."""
        text = context.texts.quiz_unavailable
        try:
            with self.state.replies.admitted(place.chat_id):
                if line := await self._line(place):
                    await self._ask(context, place, line)
                    return
        except BusyError:
            text = self.speaking.busy(place, context)
        if text:
            await context.delivery.say(place, text)

    async def _line(self, place: Place) -> tuple[Message, Shown] | None:
        """Return what to ask about, if anything: of this chat, by who agreed, long enough."""
        access, version = self.state.access, self.state.model_holder.now.version
        authors = {number for person in access.voices for number in person.ids}
        since = datetime.now(UTC) - ASKED_AGAIN
        quizzes = self.state.store.quizzes
        ids = await quizzes.quizzable(place.chat_id, authors, since, LOOKED_AT)
        ids = self.chance.sample(ids, len(ids))
        roster = self.state.model_holder.now.roster
        for start in range(0, len(ids), READ_AT_ONCE):
            kept = await quizzes.messages(place.chat_id, ids[start : start + READ_AT_ONCE])
            if found := await asyncio.to_thread(_askable, kept, roster, version):
                return found
        return None

    async def _ask(self, context: Context, place: Place, found: tuple[Message, Shown]) -> None:
        """Ask about a real line, or as often about what its author's voice says in its place."""
        part = await context.delivery.begin(place)
        if part is None:
            return
        message, shown = found
        if self.chance.random() < 1 / 2:
            async with typing(context.bot, place):
                shown = await self._imagined(message, shown) or shown
        names = [person.name for person in self.state.access.voices]
        question = question_of(shown, names, context.texts, self.chance)
        state: State = UNSENT
        if self._may_be_asked(place, shown):  # they may have said no meanwhile
            state = await self._sent(context, part, place, question, shown)
        if state == UNSENT:
            await self.state.store.outbox.mark(part, place, "refused")
            await context.delivery.say(place, context.texts.quiz_unavailable)
        elif state == "refused":
            await context.delivery.say(place, context.texts.quiz_not_sent)

    def _may_be_asked(self, place: Place, shown: Shown) -> bool:
        is_unsaid = self.state.is_unsaid(shown.voice, place.chat_id, shown.sources)
        return not is_unsaid and shown.voice in {one.name for one in self.state.access.voices}

    async def _imagined(self, message: Message, real: Shown) -> Shown | None:
        """Return what the model says in place of a message, None where nothing fit to be asked."""
        for _ in range(TRIES):
            try:
                said = await self.state.replies.imagined(message, real.voice)
            except VoiceError:
                return None
            fit = (text for text in said.messages if is_guessable(text) and text != real.text)
            if text := next(fit, None):
                return replace(
                    real, text=text, is_machine=True, sources=said.sources, version=said.version
                )
        return None

    async def _sent(
        self, context: Context, part: Part, place: Place, question: Question, shown: Shown
    ) -> State:
        """Send a quiz and keep it; return whether it arrived."""

        async def ready(_: str) -> bool:
            return self._may_be_asked(place, shown)

        sent, state = await context.delivery.ask(part, place, question, ready)
        if sent is None or sent.poll is None:
            return state
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
        await self.state.store.quizzes.add(part, quiz, shown.sources)
        await self.state.store.outbox.mark(part, place, state)
        if self.state.is_unsaid(shown.voice, place.chat_id, shown.sources):
            own = (Ref(sent.chat.id, sent.message_id),)  # it was on its way when they said no
            await erase(ErasureQuery(own=own), self.state, context)
        return state

    async def _score(self, place: Place, texts: Wording) -> str:
        score = await self.state.store.quizzes.score(place.chat_id)
        if not score.people:
            return texts.no_score
        people = "\n".join(
            texts.score_line.format(name=one.name, right=one.right, total=one.total)
            for one in score.people
        )
        told = texts.score.format(people=people)
        if not score.machine:
            return told
        machine = texts.score_machine.format(fooled=score.fooled, total=score.machine)
        return f"{told}\n\n{machine}"


def _askable(
    messages: Sequence[Message], roster: Roster, version: str
) -> tuple[Message, Shown] | None:
    """Return the first of these messages that fits a quiz, and the text to show."""
    for message in messages:
        line = make_line(message, roster)
        text = target_text(line) if line and not message.text.startswith("/") else None
        if line and line.speaker and text and is_guessable(text):
            return message, _real(message, text, line.speaker, version)
    return None


def _real(message: Message, text: str, voice: str, version: str) -> Shown:
    return Shown(
        text=text,
        voice=voice,
        is_machine=False,
        sources=(message.message_id,),
        sent_at=message.sent_at,
        version=version,
    )


def is_guessable(text: str) -> bool:
    """Whether a line says enough to be known by, and fits into a question."""
    units = len(text.encode("utf-16-le")) // 2
    return units <= MOST_CHARACTERS and len(split_words(text)) >= FEWEST_WORDS


def question_of(
    shown: Shown, voices: Sequence[str], texts: Wording, chance: random.Random
) -> Question:
    """Return a quiz about a line: its friend among some others, in any order, and the machine."""
    others = [name for name in voices if name != shown.voice]
    names = [shown.voice, *chance.sample(others, min(MOST_OTHERS, len(others)))]
    chance.shuffle(names)
    told = texts.quiz_machine_answer if shown.is_machine else texts.quiz_friend_answer
    return Question(
        text=texts.quiz_question.format(text=shown.text),
        options=(*names, texts.quiz_machine),
        right=len(names) if shown.is_machine else names.index(shown.voice),
        explanation=told.format(name=shown.voice, date=shown.sent_at.date()),
    )
