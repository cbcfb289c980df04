"""The context object that python-telegram-bot passes to handlers."""

from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

from telegram import Update
from telegram.ext import Application, CallbackContext, ExtBot

from bot.services.delivery import Delivery
from bot.services.state import BotState
from bot.texts import EN, wording
from bot.texts.wording import Wording

if TYPE_CHECKING:
    from bot.application import DurableApplication

Facts: TypeAlias = dict[Any, Any]
Bot: TypeAlias = ExtBot[Any]


class Context(CallbackContext[Bot, Facts, Facts, Facts]):
    """python-telegram-bot's context, with what answers one update."""

    delivery: Delivery
    texts: Wording = EN

    @classmethod
    def from_update(
        cls, update: object, application: Application[Any, Any, Any, Any, Any, Any]
    ) -> Self:
        """Return the context of an update."""
        self = super().from_update(update, application)
        state: BotState = application.bot_data["state"]
        if isinstance(update, Update):
            again = state.store.inbox.was_begun_before(update.update_id)
            app = cast("DurableApplication", application)
            self.delivery = Delivery(
                self.bot, state, update.update_id, again, lambda: not app.is_stopping
            )
            user = update.effective_user
            self.texts = wording(user.language_code if user else None)
        return self
