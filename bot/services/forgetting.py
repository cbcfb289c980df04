"""Erase messages, delete what the bot said about them, and enforce retention."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from telegram import Bot
from telegram.error import BadRequest, RetryAfter, TelegramError

from bot.services.context import Context
from bot.services.state import BotState
from bot.store.erasure import ErasureQuery
from bot.store.inbox import Ref, waits
from bot.texts.wording import Wording
from bot.transport.outgoing import retry_seconds

TRIES = 3
GONE = "not found"
"""What Telegram says of a message that somebody deleted before."""


async def delete_in_chat(bot: Bot, refs: Iterable[Ref]) -> int:
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
            await asyncio.sleep(retry_seconds(error))
        except BadRequest as error:
            return GONE in error.message
        except TelegramError:
            continue
    return False


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """What was forgotten: messages of people, lines taken back in the chat, those that stay."""

    messages: int
    taken_back: int
    stays: int

    def describe(self, first: str, texts: Wording) -> str:
        """Say what happened, after a first sentence."""
        said = [first]
        if self.taken_back:
            deleted = texts.format_count(texts.messages, self.taken_back)
            said.append(texts.also_deleted.format(messages=deleted))
        if self.stays:
            left = texts.format_count(texts.messages, self.stays)
            said.append(texts.cannot_delete.format(messages=left))
        return "\n".join(said)


async def erase(wanted: ErasureQuery, state: BotState, context: Context) -> ErasureResult:
    """Overwrite it, delete the bot's lines in the chat, then erase all.

    A kill in between loses nothing: the update that asked for it is handled again.
    """
    if wanted == ErasureQuery():
        return ErasureResult(0, 0, 0)
    await waits()  # for the database, which may take long
    marked = await state.mark(wanted)
    if marked.lines:  # deleting them may take minutes
        await state.store.eraser.wipe()
    stays = await delete_in_chat(context.bot, marked.lines)
    await state.store.eraser.erase(wanted, context.delivery.update_id)
    return ErasureResult(marked.messages, len(marked.lines) - stays, stays)


logger = logging.getLogger(__name__)


async def expire_messages(state: BotState, now: datetime) -> int:
    """Erase messages older than RETENTION_DAYS, except of friends who agreed; return how many.

    The bot's own lines in groups stay. In private chats with admins everything is erased.
    """
    moment = now - timedelta(days=state.settings.retention_days)
    access, eraser = state.access, state.store.eraser
    strangers = {
        author
        for author in await eraser.authors_before(moment)
        if author not in access.roster.understudies and not access.has_agreed(author)
    }
    vanished = await eraser.expire(moment, strangers)
    if vanished:
        logger.info("%d messages were older than RETENTION_DAYS and are erased", vanished)
    return vanished
