"""Handle joins, leaves and migration; keep the bot out of groups without an admin."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from telegram import (
    CallbackQuery,
    Chat,
    ChatMember,
    ChatMemberRestricted,
    ChatMemberUpdated,
    Message,
    Update,
)
from telegram.error import BadRequest, Forbidden, NetworkError, TelegramError
from telegram.ext import ApplicationHandlerStop, BaseHandler, TypeHandler

from bot.handlers.privacy_mode import PrivacyMode
from bot.services.context import Context
from bot.services.state import BotState
from bot.store.messages import Place
from bot.transport.incoming import command_of, is_by_bot, person_id, place_of

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

    state: BotState
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
        if self.state.access.may_speak_in(chat.id):
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
            known = self.state.groups.get(chat.id)
            if known is None or known.title != chat.title:
                group = replace(self.state.group(chat.id), title=chat.title, authorised=True)
                await self.state.change(group)

    def _guard_message(self, update: Update, message: Message, context: Context) -> None:
        is_private = message.chat.type == Chat.PRIVATE
        name = command_of(message, context.bot.username)
        moves = message.migrate_to_chat_id or message.migrate_from_chat_id
        if moves or name in (OPEN if is_private else OPEN_IN_GROUPS):
            return
        if is_private:
            fresh = message.chat.id not in self.told
            self.told.add(message.chat.id)
            refusal = context.texts.private_admins_only if fresh or name else None
        else:
            refusal = context.texts.silent_here if name in context.texts.command_names else None
        say = context.delivery.say(place_of(message), refusal) if refusal else None
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


SETTLES = 3.0
"""Seconds for which a supergroup may turn out to be a group that moved. Telegram tells of the bot's
arrival there, by whoever moved it, beside the two messages of the move, and in no order."""
WAITS = (1.0, 5.0, 30.0)  # seconds between tries to leave

logger = logging.getLogger(__name__)

_IN = {ChatMember.OWNER, ChatMember.ADMINISTRATOR, ChatMember.MEMBER}


@dataclass(frozen=True, slots=True)
class Membership:
    """The handlers of the bot's own coming and going, of `/allow`, and of migrations.

    What a change means is kept before the next update is handled; what is said of it comes later.
    """

    state: BotState
    privacy_mode: PrivacyMode

    async def changed(self, update: Update, context: Context) -> None:
        """Greet the group that an admin put the bot in; leave any other."""
        change = update.my_chat_member
        if change is None or change.chat.type == Chat.PRIVATE:
            return
        was, is_now = _is_in(change.old_chat_member), _is_in(change.new_chat_member)
        if is_now and not was:
            await self._arrived(update, change, context)
        elif was and not is_now:
            group = replace(self.state.group(change.chat.id), authorised=False)
            await self.state.change(group)

    async def allow(self, update: Update, context: Context) -> None:
        """Let the bot speak in this group though its model learned from another chat.

        A group that has not been told yet whose chat that is is told so first.
        """
        message = update.message
        if message is None:
            return
        chat, text = message.chat, ""
        if person_id(message.from_user) not in self.state.settings.admins:
            text = context.texts.admins_only
        elif chat.type == Chat.PRIVATE:
            text = context.texts.groups_only
        elif self.state.group(chat.id).authorised and not self.state.access.learned_from(chat.id):
            await self._let_in(chat, allowed=self.state.access.chats)
            text = context.texts.allowed.format(chats=self.state.origin)
        else:
            await self._let_in(chat)
            text = self._greeting(chat.id, context)
        await context.delivery.say(place_of(message), text)

    async def moved(self, update: Update, _: Context) -> None:
        """Carry over what is known of a group that has become a supergroup."""
        message = update.message
        if message is None:
            return
        old, new = message.chat.id, message.migrate_to_chat_id
        if message.migrate_from_chat_id:
            old, new = message.migrate_from_chat_id, message.chat.id
        if new is not None:
            await self.state.move(old, new, message.chat.title)

    async def _arrived(self, update: Update, change: ChatMemberUpdated, context: Context) -> None:
        chat, known = change.chat, self.state.group(change.chat.id)
        if chat.type == Chat.CHANNEL:
            later = self._leave_channel(change, context)
        elif person_id(change.from_user) in self.state.settings.admins:
            await self._let_in(chat)
            later = self._greet(chat, change.from_user.id, context)
        elif known.authorised and known.moved_from:
            return  # it was in there under another id
        else:
            await self.state.change(replace(known, authorised=False))
            later = self._leave(chat, context)
        context.application.create_task(later, update)

    async def _let_in(self, chat: Chat, allowed: frozenset[int] = frozenset()) -> None:
        known = self.state.group(chat.id)
        may_tell = known.allowed | allowed
        await self.state.change(replace(known, title=chat.title, authorised=True, allowed=may_tell))

    async def _greet(self, chat: Chat, adder: int, context: Context) -> None:
        place = Place(chat.id)
        hears_all = await self.privacy_mode.hears_all(context, place, anew=True)
        await context.delivery.say(place, self._greeting(chat.id, context))
        if not hears_all:
            await self.privacy_mode.explain(context, place, adder)

    async def _leave(self, chat: Chat, context: Context) -> None:
        """Say why, and leave, unless the group turns out to be one that moved."""
        if chat.type == Chat.SUPERGROUP:
            await asyncio.sleep(SETTLES)
            if self.state.group(chat.id).authorised:
                return
        texts = context.texts
        has_admins = bool(self.state.settings.admins)
        await context.delivery.say(
            Place(chat.id), texts.not_added_by_admin if has_admins else texts.no_admin_yet
        )
        await _out(chat, context)

    async def _leave_channel(self, change: ChatMemberUpdated, context: Context) -> None:
        """Leave a channel; who put the bot there is told, not all who read it."""
        with suppress(TelegramError):  # who never wrote to the bot cannot be written to
            await context.delivery.say(Place(change.from_user.id), context.texts.no_channels)
        await _out(change.chat, context)

    def _greeting(self, chat_id: int, context: Context) -> str:
        access, texts = self.state.access, context.texts
        if not access.may_speak_in(chat_id):
            return texts.needs_allow.format(chats=self.state.origin)
        names = [person.name for person in access.voices]
        voices = texts.voices_here.format(names=", ".join(names)) if names else texts.no_voices
        return texts.greeting.format(voices=voices)


def _is_in(member: ChatMember) -> bool:
    """Whether somebody is in a chat; who is restricted may be in it or not."""
    if isinstance(member, ChatMemberRestricted):
        return member.is_member
    return member.status in _IN


async def _out(chat: Chat, context: Context) -> None:
    """Leave a chat, and try again where Telegram does not hear it."""
    for wait in (*WAITS, None):
        try:
            await context.bot.leave_chat(chat.id)
        except (BadRequest, Forbidden):
            break  # out already
        except NetworkError:
            if wait is None:
                raise
            await asyncio.sleep(wait)
        else:
            logger.info("left chat %d, into which no admin put the bot", chat.id)
            break
