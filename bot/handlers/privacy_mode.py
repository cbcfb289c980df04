"""Tell a group when privacy mode keeps its messages from the bot."""

import logging
from collections import Counter
from dataclasses import dataclass, field, replace

from telegram.error import TelegramError

from bot.services.access import is_admin
from bot.services.context import Context
from bot.services.state import BotState
from bot.store.messages import Place

HINTS = 3
"""So many of the first answers in a group say that the talk before them was not heard."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PrivacyMode:
    """Tells a group, once, what the bot does not hear there and how to mend it."""

    state: BotState
    hints: Counter[int] = field(default_factory=Counter)
    open_ears: set[int] = field(default_factory=set)

    async def explain(self, context: Context, place: Place, adder: int) -> None:
        """Tell a group that the bot was put into, and whoever put it there, of privacy mode."""
        if not self.state.group(place.chat_id).told_privacy:
            await context.delivery.say(place, context.texts.privacy_mode_on)
            await context.delivery.say(Place(adder), context.texts.privacy_mode_on)

    async def hint(self, context: Context, place: Place) -> None:
        """Let the first answers in a group say what was not heard."""
        chat_id = self.state.address(place).chat_id
        group = self.state.known(chat_id)
        if chat_id > 0 or group.told_privacy or await self.hears_all(context, place):
            return
        self.hints[chat_id] += 1
        if self.hints[chat_id] >= HINTS:
            await self.state.change(replace(group, told_privacy=True))
            del self.hints[chat_id]
        await context.delivery.say(place, context.texts.privacy_mode_hint)

    async def hears_all(self, context: Context, place: Place, *, anew: bool = False) -> bool:
        """Whether all that is said in a group reaches the bot: it does an admin of it.

        `anew`: privacy mode may have been switched off since the bot started.
        """
        try:
            if anew:
                await context.bot.get_me()
            if context.bot.bot.can_read_all_group_messages or place.chat_id in self.open_ears:
                return True
            member = await context.bot.get_chat_member(place.chat_id, context.bot.id)
        except TelegramError as error:
            logger.info("chat %d: privacy mode: %s", place.chat_id, type(error).__name__)
            return True  # nothing is said of what is not known
        if is_admin(member):
            self.open_ears.add(place.chat_id)
        return place.chat_id in self.open_ears
