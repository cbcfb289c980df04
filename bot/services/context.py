"""The context object that python-telegram-bot passes to handlers."""

from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

from telegram import Update
from telegram.ext import Application, CallbackContext, ExtBot

from bot.services.delivery import Courier
from bot.services.state import House
from bot.texts import EN, wording
from bot.texts.wording import Wording

if TYPE_CHECKING:
    from bot.application import Durable

Facts: TypeAlias = dict[Any, Any]
Bot: TypeAlias = ExtBot[Any]


class Context(CallbackContext[Bot, Facts, Facts, Facts]):
    """python-telegram-bot's context, with what answers one update."""

    courier: Courier
    texts: Wording = EN

    @classmethod
    def from_update(
        cls, update: object, application: Application[Any, Any, Any, Any, Any, Any]
    ) -> Self:
        """Return the context of an update."""
        self = super().from_update(update, application)
        house: House = application.bot_data["house"]
        if isinstance(update, Update):
            again = house.shelves.inbox.was_begun_before(update.update_id)
            app = cast("Durable", application)
            self.courier = Courier(
                self.bot, house, update.update_id, again, lambda: not app.is_stopping
            )
            user = update.effective_user
            self.texts = wording(user.language_code if user else None)
        return self
