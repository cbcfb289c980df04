"""Erase messages, delete the bot's messages generated from them, and enforce retention."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from telegram import Bot
from telegram.error import BadRequest, RetryAfter, TelegramError

from bot.services.state import BotState
from bot.store.erasure import ErasureQuery
from bot.store.inbox import record_wait
from bot.store.messages import Ref
from bot.texts.wording import Wording
from bot.transport.outgoing import retry_seconds

MAX_ATTEMPTS = 3
CHATS_PER_STEP = 20  # after which other work gets a turn
NOT_FOUND = "not found"
"""Part of Telegram's answer if the message is already deleted."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """Numbers of people's messages, and of the bot's messages that were and were not deleted."""

    messages: int
    deleted: int
    remaining: int

    def describe(self, first: str, texts: Wording) -> str:
        """Return a text that describes the result, after a first sentence."""
        sentences = [first]
        if self.deleted:
            count = texts.format_count(texts.messages, self.deleted)
            sentences.append(texts.also_deleted.format(messages=count))
        if self.remaining:
            count = texts.format_count(texts.messages, self.remaining)
            sentences.append(texts.cannot_delete.format(messages=count))
        return "\n".join(sentences)


async def erase(wanted: ErasureQuery, state: BotState, bot: Bot, update_id: int) -> ErasureResult:
    """Overwrite messages, delete the bot's messages generated from them, then erase all rows.

    `update_id` is the update that asks for this. After a kill in between, it is handled again. A
    message that is on its way meanwhile is deleted by its sender, see `bot.store.outbox`.
    """
    if wanted == ErasureQuery():
        return ErasureResult(0, 0, 0)
    await record_wait()  # for the database, which may take long
    eraser = state.store.eraser
    marked = await eraser.mark(wanted, datetime.now(UTC))
    if marked.lines:  # deleting them may take minutes
        await eraser.wipe()
    newest_first = sorted(marked.lines, key=lambda ref: (ref.chat_id, -ref.message_id))
    remaining = sum([not await _delete(bot, ref) for ref in newest_first])
    await eraser.erase(wanted, marked.lines, update_id)
    return ErasureResult(marked.messages, len(marked.lines) - remaining, remaining)


async def expire_messages(state: BotState, now: datetime) -> int:
    """Erase messages older than RETENTION_DAYS, except of friends who agreed; return how many.

    The bot's own messages in groups remain. In private chats with admins everything is erased.
    Groups whose own model cannot be used now are left alone: it is not known who agreed there.
    """
    moment, eraser = now - timedelta(days=state.settings.retention_days), state.store.eraser
    kept, spared = set[int](), set[int]()
    strangers: dict[int, set[int]] = {}  # by chat
    for number, (chat_id, authors) in enumerate((await eraser.authors_before(moment)).items(), 1):
        if state.is_without_model(chat_id):
            spared.add(chat_id)
            continue
        access = state.access_in(chat_id)
        agreed = {
            one for one in authors if one in access.roster.understudies or access.has_agreed(one)
        }
        kept |= agreed
        strangers[chat_id] = set(authors) - agreed
        if number % CHATS_PER_STEP == 0:
            await asyncio.sleep(0)
    everywhere = set().union(*strangers.values()) - kept
    # strangers here who agreed in another group with a model of its own
    here = {chat_id: own & kept for chat_id, own in strangers.items() if own & kept}
    expired = await eraser.expire(moment, everywhere, here, spared)
    if expired:
        logger.info("%d messages were older than RETENTION_DAYS and are erased", expired)
    return expired


async def _delete(bot: Bot, ref: Ref) -> bool:
    """Delete a message in its chat; return whether it is gone.

    Telegram refuses after 48 hours, and in a group that has become a supergroup.
    """
    for _ in range(MAX_ATTEMPTS):
        try:
            return await bot.delete_message(ref.chat_id, ref.message_id)
        except RetryAfter as error:
            await asyncio.sleep(retry_seconds(error))
        except BadRequest as error:
            return NOT_FOUND in error.message
        except TelegramError:
            continue
    return False
