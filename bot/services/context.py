"""The context object that python-telegram-bot passes to handlers, and adapters for handlers."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

from telegram import Message, Update
from telegram.ext import Application, CallbackContext, ExtBot

from bot.services.delivery import Delivery
from bot.services.state import BotState
from bot.texts import EN, wording
from bot.texts.wording import Wording
from bot.transport.incoming import person_id, place_of

if TYPE_CHECKING:
    from bot.application import DurableApplication

Facts: TypeAlias = dict[Any, Any]
Bot: TypeAlias = ExtBot[Any]


class Context(CallbackContext[Bot, Facts, Facts, Facts]):
    """python-telegram-bot's context, with the bot's state and what answers one update."""

    state: BotState
    delivery: Delivery
    texts: Wording = EN

    @classmethod
    def from_update(
        cls, update: object, application: Application[Any, Any, Any, Any, Any, Any]
    ) -> Self:
        """Return the context of an update; remember the language of an admin who sent it."""
        self = super().from_update(update, application)
        state: BotState = application.bot_data["state"]
        self.state = state
        if isinstance(update, Update):
            again = state.store.inbox.was_begun_before(update.update_id)
            app = cast("DurableApplication", application)
            self.delivery = Delivery(
                self.bot, state, update.update_id, again, lambda: not app.is_stopping
            )
            user = update.effective_user
            self.texts = wording(user.language_code if user else None)
            if user and user.language_code and user.id in state.settings.admins:
                state.admin_texts[user.id] = self.texts
        return self


Answer: TypeAlias = Callable[[Message, Context], Awaitable[str | None]]
"""Handles a new message; returns the text to answer it with, if any."""


def on_message(
    answer: Answer, *, is_blocking: bool = False
) -> Callable[[Update, Context], Coroutine[Any, Any, None]]:
    """Return a handler callback that calls `answer` and sends the text that it returns.

    With `is_blocking` the text is sent in a task of its own, so the next update does not wait for
    Telegram.
    """

    async def callback(update: Update, context: Context) -> None:
        if (message := update.message) and (text := await answer(message, context)):
            sending = context.delivery.say(place_of(message), text)
            if is_blocking:
                context.application.create_task(sending, update)
            else:
                await sending

    return callback


def admins_only(answer: Answer) -> Answer:
    """Return an `answer` that refuses everyone but the bot's admins."""

    async def answer_admin(message: Message, context: Context) -> str | None:
        if person_id(message.from_user) not in context.state.settings.admins:
            return context.texts.admins_only
        return await answer(message, context)

    return answer_admin
