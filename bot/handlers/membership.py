"""Handle joins, leaves, migration and `/allow`; stop updates of chats where the bot is silent."""

import asyncio
import logging
from collections import Counter, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from telegram import (
    Chat,
    ChatMember,
    ChatMemberRestricted,
    ChatMemberUpdated,
    Message,
    Update,
)
from telegram.error import BadRequest, Forbidden, NetworkError, TelegramError
from telegram.ext import ApplicationHandlerStop

from bot.application import Context
from bot.services.access import is_admin
from bot.services.state import BotState
from bot.store.messages import Place
from bot.transport.incoming import command_of, is_by_bot, person_id, place_of
from bot.transport.outgoing import answer_query

MAX_HINTS = 3
"""How many of the first answers in a group are followed by a hint about privacy mode."""


@dataclass(frozen=True, slots=True)
class PrivacyMode:
    """Tells a group, after its first answers, that privacy mode is on and how to turn it off.

    `hints` counts the hints sent to each group; `open_groups` are those in which the bot is an
    admin and so receives all messages.
    """

    hints: Counter[int] = field(default_factory=Counter)
    open_groups: set[int] = field(default_factory=set)

    async def hint(self, context: Context, place: Place) -> None:
        """Mention privacy mode after one of the first answers in a group."""
        state = context.state
        chat_id = state.current_place(place).chat_id
        group = state.group_to_change(chat_id)
        if chat_id > 0 or group.told_privacy or await self.receives_all(context, place):
            return
        self.hints[chat_id] += 1
        if self.hints[chat_id] >= MAX_HINTS:
            await state.save_group(replace(group, told_privacy=True))
            del self.hints[chat_id]
        await context.delivery.send_text(place, context.texts.privacy_mode_hint)

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


PUBLIC_COMMANDS = frozenset({"start", "help", "privacy", "optin", "optout", "forget"})
"""Commands that anyone may send anywhere; the answers concern only the bot or the sender."""
PUBLIC_GROUP_COMMANDS = PUBLIC_COMMANDS | {"allow", "status"}
"""Commands that are handled in any group; `/allow` and `/status` check the sender themselves."""
DECISION_COMMANDS = frozenset({"optin", "optout", "forget"})
"""Commands that are never ignored."""
MAX_ANSWERS_PER_MINUTE = 20
"""Private commands of one person that are answered per minute, except `DECISION_COMMANDS`.

For admins there is no limit.
"""
MOVE_SECONDS = 3.0
"""Seconds to wait, because a new supergroup may be a group that the bot was already in.

When a group moves, Telegram sends two messages about the move and also reports that the bot was
added, by the person who moved the group. The three arrive in any order.
"""
LEAVE_WAITS = (1.0, 5.0, 30.0)  # seconds between attempts to leave

logger = logging.getLogger(__name__)

MEMBER_STATUSES = {ChatMember.OWNER, ChatMember.ADMINISTRATOR, ChatMember.MEMBER}


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """Stops updates of chats in which the bot may not speak, before other handlers see them.

    `notified` holds the private chats that were told that the bot talks only with admins;
    `answered` holds the times of the answers of the last minute, by private chat.
    """

    notified: set[int] = field(default_factory=set)
    answered: defaultdict[int, deque[datetime]] = field(default_factory=lambda: defaultdict(deque))

    async def check_update(self, update: Update, context: Context) -> None:
        """Let updates pass if the bot may speak in their chat; let public commands pass anywhere.

        Updates of other bots are always stopped: two bots would answer each other forever.
        """
        state, chat, message = context.state, update.effective_chat, update.message
        if chat is None or update.my_chat_member:
            return
        if context.stage == "refuse":
            await _refuse(update, context)
            raise ApplicationHandlerStop
        if context.stage != "receive":
            return
        if message and is_by_bot(message):
            raise ApplicationHandlerStop
        if state.may_speak_in(chat.id):
            group = state.group(chat.id)
            is_new = chat.id not in state.groups or group.title != chat.title
            if chat.type in {Chat.GROUP, Chat.SUPERGROUP} and is_new:
                await state.save_group(replace(group, title=chat.title, authorised=True))
            return
        if message and self._is_open_to_all(message, context):
            return
        if update.callback_query or (message and self._is_refused(message, context)):
            context.app.answer_later(update, "refuse")
        raise ApplicationHandlerStop

    def _is_open_to_all(self, message: Message, context: Context) -> bool:
        """Whether a message is handled in any chat: a public command, or a group's move.

        A flood of private commands is stopped: Telegram limits how much the bot can answer.
        """
        command = command_of(message, context.bot.username)
        if message.chat.type != Chat.PRIVATE:
            is_move = message.migrate_to_chat_id or message.migrate_from_chat_id
            return bool(is_move) or command in PUBLIC_GROUP_COMMANDS
        now, times = datetime.now(UTC), self.answered[message.chat.id]
        while times and now - times[0] > timedelta(minutes=1):
            times.popleft()
        if command and command not in DECISION_COMMANDS:
            if len(times) >= MAX_ANSWERS_PER_MINUTE:
                raise ApplicationHandlerStop
            times.append(now)
        return command in PUBLIC_COMMANDS

    def _is_refused(self, message: Message, context: Context) -> bool:
        """Whether the bot says that it does not answer here; else it ignores the message.

        In a group it refuses its own commands. In private it refuses the first message, whatever it
        is, and every command.
        """
        command = command_of(message, context.bot.username)
        if message.chat.type != Chat.PRIVATE:
            return command in context.texts.command_names
        is_first = message.chat.id not in self.notified
        self.notified.add(message.chat.id)
        return is_first or command is not None


@dataclass(frozen=True, slots=True)
class Membership:
    """Handles changes of the bot's own membership, and sends messages about them."""

    privacy_mode: PrivacyMode

    async def change_membership(self, update: Update, context: Context) -> None:
        """Store a change; later greet a group that an admin added the bot to, or leave the chat."""
        change, state = update.my_chat_member, context.state
        if change is None or change.chat.type == Chat.PRIVATE:
            return
        if context.stage != "receive":
            await self._announce(change, context)
            return
        chat, group = change.chat, state.group(change.chat.id)
        was_member, is_member = map(_is_member, (change.old_chat_member, change.new_chat_member))
        if was_member and not is_member:
            await state.save_group(replace(group, authorised=False))
        if was_member or not is_member:
            return
        if chat.type != Chat.CHANNEL:
            if person_id(change.from_user) in state.settings.admins:
                await _authorise(chat, state)
            elif group.authorised and group.moved_from:
                return  # the bot was in this group before it moved
            else:
                await state.save_group(replace(group, authorised=False))
        context.app.answer_later(update, "membership")

    async def _announce(self, change: ChatMemberUpdated, context: Context) -> None:
        if change.chat.type == Chat.CHANNEL:
            await _leave_channel(change, context)
        elif person_id(change.from_user) in context.state.settings.admins:
            await self._greet(change.chat, change.from_user.id, context)
        else:
            await _leave_group(change.chat, context)

    async def _greet(self, chat: Chat, adder_id: int, context: Context) -> None:
        place = Place(chat.id)
        receives_all = await self.privacy_mode.receives_all(context, place, refresh=True)
        await context.delivery.send_text(place, _greeting(chat.id, context))
        if not receives_all and not context.state.group(chat.id).told_privacy:
            for receiver in (place, Place(adder_id)):
                await context.delivery.send_text(receiver, context.texts.privacy_mode_on)


async def _refuse(update: Update, context: Context) -> None:
    """Say that the bot does not answer here."""
    texts, message = context.texts, update.message
    if query := update.callback_query:
        await answer_query(query, texts.silent_here)
    elif message:
        is_private = message.chat.type == Chat.PRIVATE
        refusal = texts.private_admins_only if is_private else texts.silent_here
        await context.delivery.send_text(place_of(message), refusal)


async def store_permission(message: Message, context: Context) -> None:
    """Let the bot speak in this group, after an admin's `/allow`.

    The first one allows it in a group that no admin added the bot to; only a second one allows it
    although the model learned from another chat. An `/allow` that is handled again after a restart
    may have been the first.
    """
    state, chat = context.state, message.chat
    is_from_admin = person_id(message.from_user) in state.settings.admins
    if not is_from_admin or chat.type == Chat.PRIVATE or state.is_without_model(chat.id):
        return
    access = state.access_in(chat.id)
    is_informed = state.group(chat.id).authorised and not access.learned_from(chat.id)
    is_informed &= not context.delivery.is_repeated
    await _authorise(chat, state, access.chats if is_informed else frozenset())


async def allow(message: Message, context: Context) -> str:
    """Say what an admin's `/allow` has allowed, or which chat the model learned from."""
    state, texts, chat = context.state, context.texts, message.chat
    if chat.type == Chat.PRIVATE:
        return texts.groups_only
    access = state.access_in(chat.id)
    if access.may_speak_in(chat.id) and not access.learned_from(chat.id):
        return texts.allowed.format(chats=state.origin_in(chat.id))
    return _greeting(chat.id, context)


async def migrate_group(update: Update, context: Context) -> None:
    """Carry a group's settings over to the supergroup that it has become."""
    message = update.message
    if message is None:
        return
    old, new = message.chat.id, message.migrate_to_chat_id
    if message.migrate_from_chat_id:
        old, new = message.migrate_from_chat_id, message.chat.id
    if new is not None:
        await context.state.move(old, new, message.chat.title)


async def _authorise(chat: Chat, state: BotState, allowed: frozenset[int] = frozenset()) -> None:
    """Record that an admin added the bot to a group, and add the chats that `/allow` permits."""
    group = state.group(chat.id)
    await state.save_group(
        replace(group, title=chat.title, authorised=True, allowed=group.allowed | allowed)
    )


def _greeting(chat_id: int, context: Context) -> str:
    texts, access = context.texts, context.state.access_in(chat_id)
    if context.state.is_without_model(chat_id):
        return texts.own_model_unusable
    if not access.may_speak_in(chat_id):
        return texts.needs_allow.format(chats=context.state.origin_in(chat_id))
    names = ", ".join(person.name for person in access.voices)
    voices = texts.voices_here.format(names=names) if names else texts.no_voices
    return texts.greeting.format(voices=voices)


async def _leave_group(chat: Chat, context: Context) -> None:
    """Say why the bot leaves, and leave, unless the group has moved or an admin has allowed it."""
    if chat.type == Chat.SUPERGROUP:
        await asyncio.sleep(MOVE_SECONDS)
    if context.state.group(chat.id).authorised:
        return
    texts, has_admins = context.texts, bool(context.state.settings.admins)
    reason = texts.not_added_by_admin if has_admins else texts.no_admin_yet
    await context.delivery.send_text(Place(chat.id), reason)
    await _leave(chat, context)


async def _leave_channel(change: ChatMemberUpdated, context: Context) -> None:
    """Leave a channel without posting there; tell only the person who added the bot."""
    with suppress(TelegramError):  # a bot may not write to people who never wrote to it
        await context.delivery.send_text(Place(change.from_user.id), context.texts.no_channels)
    await _leave(change.chat, context)


async def _leave(chat: Chat, context: Context) -> None:
    """Leave a chat; try again if the network fails."""
    for wait in (*LEAVE_WAITS, None):
        try:
            await context.bot.leave_chat(chat.id)
        except (BadRequest, Forbidden):
            break  # the bot is not a member any more
        except NetworkError:
            if wait is None:
                raise
            await asyncio.sleep(wait)
        else:
            logger.info("left chat %d", chat.id)
            break


def _is_member(member: ChatMember) -> bool:
    """Whether somebody is in a chat; a restricted person may or may not be a member."""
    if isinstance(member, ChatMemberRestricted):
        return member.is_member
    return member.status in MEMBER_STATUSES
