"""Keeps people's reactions to the bot's lines; they come where the bot is an admin of the chat."""

from dataclasses import dataclass

from telegram import ReactionTypeEmoji, Update

from bot.context import Context
from bot.house import House


@dataclass(frozen=True, slots=True)
class Reacting:
    """The handler of reactions."""

    house: House

    async def changed(self, update: Update, _: Context) -> None:
        """Keep what somebody's reactions are now; custom emoji count as none."""
        change = update.message_reaction
        if change is None or change.user is None:
            return
        if not self.house.access.speaks_in(change.chat.id):
            return
        emoji = [one.emoji for one in change.new_reaction if isinstance(one, ReactionTypeEmoji)]
        await self.house.shelves.reactions.replace(
            change.chat.id, change.message_id, change.user.id, emoji
        )
