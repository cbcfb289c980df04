"""`/start` and `/help`: what the bot is, in plain words."""

from dataclasses import dataclass

from telegram import Update

from bot.context import Context
from bot.house import House
from bot.incoming import place_of


@dataclass(frozen=True, slots=True)
class About:
    """The handlers that explain; `house` knows where names may be told."""

    house: House

    async def help(self, update: Update, context: Context) -> None:
        """Say what the bot does."""
        if message := update.message:
            await context.courier.say(
                place_of(message), self._explanation(message.chat.id, context)
            )

    async def start(self, update: Update, context: Context) -> None:
        """Say what the bot does; in private, while there is no admin, say who is asking."""
        message = update.message
        if message is None:
            return
        text = self._explanation(message.chat.id, context)
        if message.chat.type == message.chat.PRIVATE and not self.house.settings.admins:
            text = context.texts.your_id.format(user_id=message.chat.id)
        await context.courier.say(place_of(message), text)

    def _explanation(self, chat_id: int, context: Context) -> str:
        texts, access = context.texts, self.house.access
        if chat_id > 0 and chat_id not in access.admins:
            return f"{texts.what_it_does}\n\n{texts.admins_only_here}"
        if not access.speaks_in(chat_id):
            return texts.silent_here
        return texts.help([person.name for person in access.voices])
