"""Deletes what the bot said, where Telegram still lets it."""

import asyncio
from collections.abc import Iterable

from telegram import Bot
from telegram.error import BadRequest, RetryAfter, TelegramError

from bot.outgoing import seconds_of
from bot.store.scrubbing import Ref

TRIES = 3
GONE = "not found"
"""What Telegram says of a message that somebody deleted before."""


async def take_back(bot: Bot, refs: Iterable[Ref]) -> int:
    """Delete messages in their chats; return how many stay.

    Telegram deletes none after 48 hours, nor any in a group that has become a supergroup.
    """
    newest_first = sorted(refs, key=lambda ref: (ref.chat_id, -ref.message_id))
    return sum([not await _is_gone(bot, ref) for ref in newest_first])


async def _is_gone(bot: Bot, ref: Ref) -> bool:
    for _ in range(TRIES):
        try:
            return await bot.delete_message(ref.chat_id, ref.message_id)
        except RetryAfter as error:
            await asyncio.sleep(seconds_of(error))
        except BadRequest as error:
            return GONE in error.message
        except TelegramError:
            continue
    return False
