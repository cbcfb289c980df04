"""Who lets the bot into a group: an admin, or nobody; and what becomes of a group that moves."""

import logging
from dataclasses import dataclass, replace

from telegram import Chat, ChatMember, ChatMemberUpdated, Update

from bot.context import Context
from bot.house import House
from bot.incoming import place_of
from bot.store.groups import Group
from bot.store.messages import Place

logger = logging.getLogger(__name__)

_IN = {ChatMember.OWNER, ChatMember.ADMINISTRATOR, ChatMember.MEMBER, ChatMember.RESTRICTED}


@dataclass(frozen=True, slots=True)
class Membership:
    """The handlers of the bot's own coming and going, of `/allow`, and of migrations."""

    house: House

    async def changed(self, update: Update, context: Context) -> None:
        """Greet the group that an admin put the bot in; leave any other."""
        change = update.my_chat_member
        if change is None or change.chat.type == Chat.PRIVATE:
            return
        was, is_now = (m.status in _IN for m in (change.old_chat_member, change.new_chat_member))
        if is_now and not was:
            await self._arrived(change, context)
        elif was and not is_now:
            gone = replace(self.house.group(change.chat.id), authorised=False, allowed=False)
            await self.house.change(gone)

    async def allow(self, update: Update, context: Context) -> None:
        """Let the bot speak in this group though its model learned from another chat."""
        message = update.message
        if message is None or message.chat.type == Chat.PRIVATE:
            return
        if message.from_user is None or message.from_user.id not in self.house.settings.admins:
            await context.courier.say(place_of(message), context.texts.for_admins)
            return
        known = self.house.group(message.chat.id)
        group = replace(known, title=message.chat.title, authorised=True, allowed=True)
        await self.house.change(group)
        text = context.texts.allowed_here.format(chats=self.house.origin)
        if self.house.access.learned_from(group.chat_id):
            text = context.texts.help([person.name for person in self.house.access.voices])
        await context.courier.say(place_of(message), text)

    async def moved(self, update: Update, _: Context) -> None:
        """Carry over what is known of a group that has become a supergroup."""
        message = update.message
        if message is None:
            return
        old, new = message.chat.id, message.migrate_to_chat_id
        if message.migrate_from_chat_id:
            old, new = message.migrate_from_chat_id, message.chat.id
        if new is None or self.house.group(new).moved_from == old:
            return
        earlier = self.house.groups.get(old)
        authorised = earlier.authorised if earlier else self.house.access.speaks_in(old)
        known = earlier or Group(old, title=message.chat.title)
        await self.house.change(replace(known, chat_id=new, authorised=authorised, moved_from=old))
        logger.info("chat %d is %d now", old, new)

    async def _arrived(self, change: ChatMemberUpdated, context: Context) -> None:
        chat, place = change.chat, Place(change.chat.id)
        if change.from_user.id not in self.house.settings.admins:
            await context.courier.say(place, context.texts.stranger_group)
            await context.bot.leave_chat(chat.id)
            logger.info("left chat %d, into which no admin put the bot", chat.id)
            return
        known = replace(self.house.group(chat.id), title=chat.title, authorised=True)
        await self.house.change(known)
        await context.courier.say(place, self._greeting(chat.id, context))

    def _greeting(self, chat_id: int, context: Context) -> str:
        access, texts = self.house.access, context.texts
        if not access.speaks_in(chat_id):
            return texts.may_be_allowed.format(chats=self.house.origin)
        names = [person.name for person in access.voices]
        voices = texts.voices_here.format(names=", ".join(names)) if names else texts.no_voices
        return texts.authorised_here.format(help=f"/help. {voices}")
