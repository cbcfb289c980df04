"""Tell a group when privacy mode keeps its messages from the bot."""

import logging
from collections import Counter
from dataclasses import dataclass, field, replace

from telegram.error import TelegramError

from bot.services.access import is_admin
from bot.services.context import Context
from bot.store.messages import Place

MAX_HINTS = 3
"""How many of the first answers in a group are followed by a hint about privacy mode."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PrivacyMode:
    """Tells a group, once, that privacy mode is on and how to switch it off.

    `hints` counts the hints sent to each group; `open_groups` are those in which the bot is an
    admin and so receives all messages.
    """

    hints: Counter[int] = field(default_factory=Counter)
    open_groups: set[int] = field(default_factory=set)

    async def explain(self, context: Context, place: Place, adder_id: int) -> None:
        """Explain privacy mode to a group that the bot was added to, and to who added it."""
        if not context.state.group(place.chat_id).told_privacy:
            await context.delivery.say(place, context.texts.privacy_mode_on)
            await context.delivery.say(Place(adder_id), context.texts.privacy_mode_on)

    async def hint(self, context: Context, place: Place) -> None:
        """Mention privacy mode after one of the first answers in a group."""
        state = context.state
        chat_id = state.address(place).chat_id
        group = state.known(chat_id)
        if chat_id > 0 or group.told_privacy or await self.receives_all(context, place):
            return
        self.hints[chat_id] += 1
        if self.hints[chat_id] >= MAX_HINTS:
            await state.change(replace(group, told_privacy=True))
            del self.hints[chat_id]
        await context.delivery.say(place, context.texts.privacy_mode_hint)

    async def receives_all(self, context: Context, place: Place, *, refresh: bool = False) -> bool:
        """Whether the bot receives all messages of a group; True if Telegram does not say.

        With `refresh` it asks Telegram again: privacy mode may have changed since the bot started.
        """
        try:
            if refresh:
                await context.bot.get_me()
            if context.bot.bot.can_read_all_group_messages or place.chat_id in self.open_groups:
                return True
            member = await context.bot.get_chat_member(place.chat_id, context.bot.id)
        except TelegramError as error:
            logger.info("chat %d: privacy mode: %s", place.chat_id, type(error).__name__)
            return True
        if is_admin(member):
            self.open_groups.add(place.chat_id)
        return place.chat_id in self.open_groups
