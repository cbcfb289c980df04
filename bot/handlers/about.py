"""`/help` and `/start`: what the bot is, in plain words."""

from dataclasses import dataclass

from telegram import Update
from telegram.ext import ContextTypes

from bot import texts
from bot.access import Access
from bot.incoming import place_of
from bot.outgoing import send


@dataclass(frozen=True, slots=True)
class About:
    """The handlers that explain; `access` knows where names may be told."""

    access: Access

    async def help(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """Say what the bot does."""
        if message := update.message:
            await send(context.bot, place_of(message), self._explanation(message.chat.id))

    async def start(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """Say what the bot does; in private, while there is no admin, say who is asking."""
        message = update.message
        if message is None:
            return
        text = self._explanation(message.chat.id)
        if message.chat.type == message.chat.PRIVATE and not self.access.admins:
            text = texts.your_id(message.chat.id)
        await send(context.bot, place_of(message), text)

    def _explanation(self, chat_id: int) -> str:
        if not self.access.speaks_in(chat_id):
            return texts.SILENT_HERE
        return texts.help_text([person.name for person in self.access.voices])
