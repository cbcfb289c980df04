"""Handle `/as`, replies to the bot's lines, and voice buttons."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from telegram import Message, Update
from telegram.error import BadRequest, TelegramError

from bot.application import Context
from bot.handlers.speaking import Speaking, explain_refusal
from bot.services.access import Access
from bot.services.replies import ReplyRequest
from bot.services.state import BotState
from bot.texts.en import Wording
from bot.transport.incoming import after_command, author_id, has_button, place_of
from bot.transport.outgoing import AS_BUTTON, answer_query
from model.chat.eligibility import begins_reply, parse_voice_header
from model.chat.names import ANYONE_WORDS, fold
from model.chat.person import Person
from model.chat.roster import Roster
from model.chat.voice_names import find_similar_names

_FIRST_WORD = re.compile(r"[^\s,:]+")


def parse_anyone_request(text: str) -> tuple[str, str] | None:
    """Return how the reply to `/as anyone` begins, and the question; None for another `/as`.

    The words after it appear only in the prompt of this reply, because `model.chat.eligibility`
    recognises only names.
    """
    words = text.strip()
    found = _FIRST_WORD.match(words)
    if not found or fold(found.group()) not in ANYONE_WORDS:
        return None
    rest = words[found.end() :].lstrip(" ,:\n\t")
    return (rest, "") if begins_reply(words, rest) else ("", rest)


def choose_question(
    text: str, access: Access, roster: Roster, texts: Wording
) -> tuple[str, tuple[Person, ...]]:
    """Return the question to ask if an `/as` has no clear name, and the voices for its buttons.

    `roster` lists the people that the chat may learn about.
    """
    voices = access.voices
    if not voices:
        return texts.no_voices, ()
    if not text.strip():
        return texts.choose_voice, voices
    namesakes = roster.find_namesakes(text)
    if len(namesakes) > 1:
        return texts.shared_name, tuple(person for person in voices if person in namesakes)
    near = find_similar_names(text, voices)
    fitting = tuple(p for name in near for p in voices if fold(p.name) == fold(name))
    if _count_first_name(text, roster.people) > 1:
        return texts.shared_name, fitting
    if not near:
        return texts.format_unknown_name([person.name for person in voices]), ()
    return (
        texts.did_you_mean.format(name=near[0]) if len(near) == 1 else texts.unclear_name
    ), fitting


def _count_first_name(text: str, people: Sequence[Person]) -> int:
    """Return how many people have the first name that `text` begins with."""
    first = re.split(r"[\s,:]", fold(text), maxsplit=1)[0]
    return sum(fold(person.name).split(" ")[0] == first for person in people)


def is_reply_to_bot(update: Update, context: Context) -> bool:
    """Whether a message replies to one of the bot's."""
    replied = update.message.reply_to_message if update.message else None
    author = replied.from_user if replied else None
    return author is not None and author.id == context.bot.id


@dataclass(frozen=True, slots=True)
class VoiceHandlers:
    """Handlers that answer in one voice."""

    state: BotState
    speaking: Speaking

    async def command(self, update: Update, context: Context) -> None:
        """Answer in the voice that `/as` names, or ask which one."""
        message = update.message
        if message is None:
            return
        place = place_of(message)
        access = self.state.access_in(place.chat_id)
        if not access.may_speak_in(place.chat_id):
            await context.delivery.send_text(place, context.texts.silent_here)
            return
        text, roster = after_command(message), access.roster_in(place.chat_id)
        named = roster.match_voice(text)
        if named and len(roster.find_namesakes(text)) <= 1:
            request = ReplyRequest(place, named[0].name, message.date)
            if begins_reply(text.strip(), named[1]):
                opening = self._withhold_opening(named[1], message)
                request = replace(request, opening=opening, command_id=message.message_id)
            await self._speak(context, named[0], request)
        elif anyone := parse_anyone_request(text):
            await self._let_anyone_speak(context, message, *anyone)
        else:
            texts = context.texts
            question, offered = await asyncio.to_thread(
                choose_question, text, access, roster, texts
            )
            await context.delivery.send_text(place, question, offered)

    async def reply(self, update: Update, context: Context) -> None:
        """Answer a reply to one of the bot's messages in that message's voice."""
        message = update.message
        replied = message.reply_to_message if message else None
        if (
            message is None
            or replied is None
            or not is_reply_to_bot(update, context)
            or not self.state.may_speak_in(message.chat.id)
        ):
            return
        if person := await self._voice_of(replied):
            request = ReplyRequest(place_of(message), person.name, message.date)
            await self._speak(context, person, request)

    async def press(self, update: Update, context: Context) -> None:
        """Answer in the voice whose button was pressed, and remove the question.

        A client can send any data for any message that it sees, so the button must really exist in
        the bot's message.
        """
        query = update.callback_query
        if query is None:
            return
        asked, chosen = query.message, re.match(AS_BUTTON, query.data or "")
        if chosen is None or not isinstance(asked, Message) or not has_button(asked, chosen[0]):
            await answer_query(query, context.texts.button_expired)
            return
        place = place_of(asked)
        await answer_query(query)
        is_first = await _remove_question(asked) or context.delivery.is_repeated
        access = self.state.access_in(place.chat_id)
        if not is_first or not access.may_speak_in(place.chat_id):
            return
        if person := access.roster.find_by_id(int(chosen[1])):
            request = ReplyRequest(place, person.name, datetime.now(UTC))
            await self._speak(context, person, request)

    async def tell_voice(self, update: Update, context: Context) -> None:
        """Name the voice in which a sticker was sent, after a press of its button."""
        query = update.callback_query
        if query is None:
            return
        pressed = query.message
        if not isinstance(pressed, Message) or not has_button(pressed, query.data or ""):
            await answer_query(query, context.texts.button_expired)
            return
        turn = await self.state.store.outbox.find_turn(pressed.chat.id, pressed.message_id)
        await answer_query(
            query, context.texts.sticker_voice.format(name=turn.voice) if turn else None
        )

    def _withhold_opening(self, opening: str, message: Message) -> str:
        """Return the opening words, or "" if their author is excluded."""
        excluded = self.state.access_in(message.chat.id).roster.excluded_ids
        return "" if author_id(message) in excluded else opening

    async def _speak(self, context: Context, person: Person, request: ReplyRequest) -> None:
        place, texts = request.place, context.texts
        access = self.state.access_in(place.chat_id)
        if refusal := explain_refusal(person, access, texts, place.chat_id):
            await context.delivery.send_text(place, refusal)
        else:
            no_reply = texts.no_reply.format(name=person.name)
            await self.speaking.answer(context, request, no_reply)

    async def _let_anyone_speak(
        self, context: Context, message: Message, opening: str, question: str
    ) -> None:
        """Let the model choose who answers, among the people who agreed."""
        place, texts = place_of(message), context.texts
        names = [person.name for person in self.state.access_in(place.chat_id).voices]
        if not names:
            await context.delivery.send_text(place, texts.no_voices)
            return
        opening = self._withhold_opening(opening, message)
        request = ReplyRequest(place, names, message.date, opening, message.message_id, question)
        await self.speaking.answer(context, request, texts.no_turn)

    async def _voice_of(self, replied: Message) -> Person | None:
        """Return the voice of one of the bot's messages, from its text or the store."""
        text = replied.text
        if text is None:
            kept = await self.state.store.messages.find(replied.chat.id, replied.message_id)
            text = kept.text if kept else ""
        played = parse_voice_header(text)
        roster = self.state.access_in(replied.chat.id).roster
        return roster.find_by_name(played[0]) if played else None


async def _remove_question(asked: Message) -> bool:
    """Remove a question with its buttons; return whether this press was the first to do so."""
    try:
        return await asked.delete()
    except BadRequest:
        pass
    except TelegramError:  # it may have been removed: answering twice is better than never
        return True
    try:  # a message older than 48 hours cannot be deleted
        await asked.edit_reply_markup(None)
    except BadRequest:
        return False
    return True
