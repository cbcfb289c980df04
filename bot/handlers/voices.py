"""`/as`: a friend, or anyone, answers; so does who is replied to, or chosen by a button."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from telegram import CallbackQuery, Message, Update
from telegram.error import BadRequest, TelegramError

from bot.context import Context
from bot.handlers.acting import Acting
from bot.handlers.asking import anyone, question, why_silent, wish_as
from bot.house import House
from bot.incoming import after_command, has_button, place_of
from bot.outgoing import AS_BUTTON
from bot.replies import NOTHING_MORE, Wish
from bot.store.messages import Place
from model.marker import parse_spoken
from model.roster import Person


@dataclass(frozen=True, slots=True)
class Voices:
    """The handlers that let one friend speak."""

    house: House
    acting: Acting

    async def command(self, update: Update, context: Context) -> None:
        """Answer as the friend whom `/as` names, or help to name one."""
        message = update.message
        if message is None:
            return
        place = place_of(message)
        if not self.house.access.speaks_in(place.chat_id):
            await context.courier.say(place, context.texts.silent_here)
            return
        said = after_command(message)
        if named := self.house.access.roster.named(said):
            wish = wish_as(said, named[1], message.message_id)
            await self._speak(context, place, named[0], message.date, wish)
        elif wished := anyone(said, message.message_id):
            await self._let_anyone_speak(context, place, message.date, wished)
        else:
            access, texts = self.house.access, context.texts
            text, offered = await asyncio.to_thread(question, said, access, texts)
            await context.courier.say(place, text, offered)

    async def reply(self, update: Update, context: Context) -> None:
        """Go on in the voice of the bot's message that somebody replied to."""
        message = update.message
        replied = message.reply_to_message if message else None
        if message is None or replied is None or not self.house.access.speaks_in(message.chat.id):
            return
        author = replied.from_user
        if author is None or author.id != context.bot.id:
            return
        if person := await self._voice_of(replied):
            await self._speak(context, place_of(message), person, message.date)

    async def press(self, update: Update, context: Context) -> None:
        """Answer as the friend whose button was pressed, in place of the question.

        A client may send any data for any message that it can see, so only buttons that the bot's
        message really has are accepted.
        """
        query = update.callback_query
        if query is None:
            return
        asked, chosen = query.message, re.match(AS_BUTTON, query.data or "")
        if chosen is None or not isinstance(asked, Message) or not has_button(asked, chosen[0]):
            await _confirm(query, context.texts.too_old)
            return
        place = place_of(asked)
        await _confirm(query)
        is_first = await _removed(asked) or context.courier.is_repeated
        if not is_first or not self.house.access.speaks_in(place.chat_id):
            return
        if person := self.house.access.roster.person(int(chosen[1])):
            await self._speak(context, place, person, datetime.now(UTC))

    async def tell_voice(self, update: Update, context: Context) -> None:
        """Say in whose voice the bot sent the sticker whose button was pressed."""
        query = update.callback_query
        if query is None:
            return
        line = None
        if pressed := query.message:
            line = await self.house.shelves.journal.line(pressed.chat.id, pressed.message_id)
        await _confirm(query, context.texts.only_a_voice.format(name=line.voice) if line else None)

    async def _speak(
        self,
        context: Context,
        place: Place,
        person: Person,
        at: datetime,
        wish: Wish = NOTHING_MORE,
    ) -> None:
        if refusal := why_silent(person, self.house.access, context.texts):
            await context.courier.say(place, refusal)
        else:
            await self.acting.answer(context, place, person.name, at, wish)

    async def _let_anyone_speak(
        self, context: Context, place: Place, at: datetime, wish: Wish
    ) -> None:
        """Let the model choose who answers, among those who agreed."""
        if names := [person.name for person in self.house.access.voices]:
            await self.acting.anyone(context, place, names, at, wish)
        else:
            await context.courier.say(place, context.texts.no_voices)

    async def _voice_of(self, replied: Message) -> Person | None:
        """Return whose voice the bot used, from the store where Telegram does not repeat it."""
        text = replied.text
        if text is None:
            kept = await self.house.shelves.messages.find(replied.chat.id, replied.message_id)
            text = kept.text if kept else ""
        played = parse_spoken(text)
        return self.house.access.roster.called(played[0]) if played else None


async def _confirm(query: CallbackQuery, text: str | None = None) -> None:
    with suppress(TelegramError):  # the press is only shown as done; the reply still counts
        await query.answer(text)


async def _removed(asked: Message) -> bool:
    """Remove a question with its buttons; return whether this press was the first to do so."""
    try:
        return await asked.delete()
    except BadRequest:
        pass
    except TelegramError:  # whether it went is not known: better answer twice than never
        return True
    try:  # older than 48 hours it stays, without buttons
        await asked.edit_reply_markup(None)
    except BadRequest:
        return False
    return True
