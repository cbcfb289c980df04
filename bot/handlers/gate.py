"""Stands before the other handlers: where the bot may not speak, they get only what is open."""

from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from telegram import CallbackQuery, Chat, Message, Update
from telegram.error import TelegramError
from telegram.ext import ApplicationHandlerStop, BaseHandler, TypeHandler

from bot.context import Context
from bot.house import House
from bot.incoming import command_of, is_by_bot, place_of

OPEN = frozenset({"start", "help", "privacy", "optin", "optout", "forget"})
"""The commands that anybody may send anywhere: they tell of the bot, or of the asker alone."""
OPEN_IN_GROUPS = OPEN | {"allow", "status"}
"""Those that see for themselves who may send them."""


def is_open(command: str, username: str) -> bool:
    """Whether a command such as `/help@the_bot` is for this bot and open to everyone."""
    name, _, whose = command.removeprefix("/").partition("@")
    return name.lower() in OPEN_IN_GROUPS and whose.lower() in {"", username.lower()}


@dataclass(frozen=True, slots=True)
class Gate:
    """Handles every update; `told` are the private chats that got the notice for non-admins."""

    house: House
    told: set[int] = field(default_factory=set)

    def handler(self) -> BaseHandler[Update, Context, None]:
        """Return the handler that stops updates; it must not run beside the others."""
        return TypeHandler(Update, self.guard)

    async def guard(self, update: Update, context: Context) -> None:
        """Let an update of a chat that the bot speaks in pass, and of any other what is open.

        Other bots are answered nowhere: two of them would never stop.
        """
        chat = update.effective_chat
        if chat is None or update.my_chat_member:
            return
        if update.message and is_by_bot(update.message):
            raise ApplicationHandlerStop
        if self.house.access.speaks_in(chat.id):
            await self._know(chat)
        elif query := update.callback_query:
            _stop(update, context, _confirm(query, context.texts.silent_here))
        elif message := update.message:
            self._guard_message(update, message, context)
        else:
            raise ApplicationHandlerStop

    async def _know(self, chat: Chat) -> None:
        """Keep a group in which the bot was before it kept any, and the title it has now."""
        if chat.type in {Chat.GROUP, Chat.SUPERGROUP}:
            known = self.house.groups.get(chat.id)
            if known is None or known.title != chat.title:
                group = replace(self.house.group(chat.id), title=chat.title, authorised=True)
                await self.house.change(group)

    def _guard_message(self, update: Update, message: Message, context: Context) -> None:
        is_private = message.chat.type == Chat.PRIVATE
        name = command_of(message, context.bot.username)
        moves = message.migrate_to_chat_id or message.migrate_from_chat_id
        if moves or name in (OPEN if is_private else OPEN_IN_GROUPS):
            return
        if is_private:
            fresh = message.chat.id not in self.told
            self.told.add(message.chat.id)
            refusal = context.texts.admins_only_here if fresh or name else None
        else:
            refusal = context.texts.silent_here if name in context.texts.command_names else None
        say = context.courier.say(place_of(message), refusal) if refusal else None
        _stop(update, context, say)


def _stop(update: Update, context: Context, last: Coroutine[Any, Any, Any] | None) -> None:
    """Let no other handler have an update, and a last word be said meanwhile."""
    try:
        if last:
            context.application.create_task(last, update)
    finally:  # whatever fails here must open no gate
        raise ApplicationHandlerStop


async def _confirm(query: CallbackQuery, text: str) -> None:
    with suppress(TelegramError):  # who pressed sees only that nothing comes
        await query.answer(text)
