"""Who runs a group: its own admins, anonymous ones too, and the bot's."""

from collections.abc import Container
from typing import Any

from telegram import ChatMember, Message
from telegram.error import TelegramError
from telegram.ext import ExtBot

_ADMINS = {ChatMember.OWNER, ChatMember.ADMINISTRATOR}


def is_admin(member: ChatMember) -> bool:
    """Whether a member of a chat is one of its admins."""
    return member.status in _ADMINS


async def is_group_admin(bot: ExtBot[Any], message: Message, admins: Container[int]) -> bool:
    """Whether who wrote a message runs the group; False where Telegram does not say.

    An anonymous admin speaks as the group itself.
    """
    if message.sender_chat:
        return message.sender_chat.id == message.chat.id
    if message.from_user is None:
        return False
    if message.from_user.id in admins:
        return True
    try:
        member = await bot.get_chat_member(message.chat.id, message.from_user.id)
    except TelegramError:
        return False
    return is_admin(member)
