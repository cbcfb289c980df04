"""`/privacy`: what is kept, for how long, and who runs the bot."""

from dataclasses import dataclass

from telegram import Update
from telegram.error import TelegramError

from bot.context import Bot, Context
from bot.house import House
from bot.incoming import place_of


@dataclass(frozen=True, slots=True)
class Privacy:
    """The handler of `/privacy`, which answers everybody everywhere."""

    house: House

    async def command(self, update: Update, context: Context) -> None:
        """Say it in plain words."""
        if (message := update.message) is None:
            return
        names = [await name_of(user, context.bot) for user in sorted(self.house.settings.admins)]
        texts = context.texts
        text = texts.privacy.format(
            days=texts.count(texts.days, self.house.settings.retention_days),
            admins=", ".join(names) or texts.nobody_named,
        )
        await context.courier.say(place_of(message), text)


async def name_of(user_id: int, bot: Bot) -> str:
    """Return what an admin is called and where to find them, as far as Telegram tells."""
    try:
        chat = await bot.get_chat(user_id)
    except TelegramError:  # who never wrote to the bot is not shown to it
        return f"tg://user?id={user_id}"
    name = chat.full_name or ""
    link = chat.link or f"tg://user?id={user_id}"
    return f"{name} ({link})".strip()
