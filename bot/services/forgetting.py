"""Erase messages, delete the bot's messages generated from them, and enforce retention."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from telegram import Bot
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError

from bot.services.state import BotState
from bot.store.erasure import ErasureQuery
from bot.store.inbox import record_wait
from bot.store.messages import Ref
from bot.texts.en import Wording
from bot.transport.outgoing import retry_seconds

MAX_SECONDS = 30.0  # for which deletions wait if Telegram asks for it; the rest is done later
CHATS_PER_STEP = 20  # chats to erase from before other work gets a turn
NOT_FOUND = "to delete not found"  # unlike "chat not found"
"""Part of Telegram's answer if the message is already deleted."""
_REFUSED = (BadRequest, Forbidden, ChatMigrated)
"""Errors after which a message can never be deleted."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """How many of people's messages were erased, and what became of the bot's.

    `deleted` and `undeleted` count those that were deleted and those that could not be deleted yet;
    `refused` are those that the bot can never delete.
    """

    messages: int
    deleted: int
    undeleted: int
    refused: tuple[Ref, ...]

    def describe(self, first: str, texts: Wording) -> str:
        """Return a text that describes the result, after a first sentence."""
        counts = {
            texts.also_deleted: self.deleted,
            texts.deleted_later: self.undeleted,
            texts.cannot_delete: len(self.refused),
        }
        sentences = [
            sentence.format(messages=texts.format_count(texts.messages, count))
            for sentence, count in counts.items()
            if count
        ]
        return "\n".join([first, *sentences])


async def erase(
    wanted: ErasureQuery, state: BotState, bot: Bot, update_id: int | None = None
) -> ErasureResult:
    """Overwrite messages, delete the bot's messages generated from them, then erase all rows.

    `update_id` is the update that asks for this. After a kill in between, it is handled again. A
    message that is being sent at that time is deleted by its sender, see `bot.store.outbox`.
    `delete_withdrawn_later` retries what cannot be deleted in its chat now.
    """
    if wanted == ErasureQuery():
        return ErasureResult(0, 0, 0, ())
    await record_wait()  # for the database, which may take long
    eraser = state.store.eraser
    marked = await eraser.mark(wanted, datetime.now(UTC), update_id)
    if marked.lines:  # deleting them may take minutes
        await eraser.clear_log()
    refused, undeleted = await _delete_all(bot, marked.lines)
    await eraser.erase(wanted, marked.lines, update_id, undeleted)
    deleted = len(marked.lines) - len(refused) - len(undeleted)
    return ErasureResult(marked.messages, deleted, len(undeleted), tuple(refused))


async def delete_withdrawn(
    lines: Collection[Ref], state: BotState, bot: Bot, update_id: int | None = None
) -> ErasureResult:
    """Delete withdrawn lines after answering the person; log those that Telegram refuses."""
    result = await erase(ErasureQuery(own=tuple(lines)), state, bot, update_id)
    for ref in result.refused:
        logger.warning(
            "chat %d: message %d was withdrawn, but Telegram does not let the bot delete it",
            ref.chat_id,
            ref.message_id,
        )
    return result


async def delete_withdrawn_later(state: BotState, bot: Bot, before: datetime) -> None:
    """Delete the lines that should have been deleted before a moment.

    Raises:
        TelegramError: None of them can be deleted now.
    """
    result = await delete_withdrawn(await state.store.outbox.find_withdrawn(before), state, bot)
    if result.undeleted and not (result.deleted or result.refused):
        raise TelegramError(f"{result.undeleted} withdrawn messages cannot be deleted now")


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
    # people unknown to this group's model who agreed in another group
    here = {chat_id: own & kept for chat_id, own in strangers.items() if own & kept}
    expired = await eraser.expire(moment, everywhere, here, spared)
    if expired:
        logger.info("%d messages older than RETENTION_DAYS were erased", expired)
    return expired


async def _delete_all(bot: Bot, lines: Collection[Ref]) -> tuple[list[Ref], set[Ref]]:
    """Delete messages in their chats, newest first; return those that stay.

    These are the ones that Telegram refuses for good, and the ones to try again later. Once some
    cannot be deleted now, the others are tried for `MAX_SECONDS` at most.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + MAX_SECONDS
    refused, undeleted = list[Ref](), set[Ref]()
    for ref in sorted(lines, key=lambda ref: (ref.chat_id, -ref.message_id)):
        try:
            if (undeleted and loop.time() > end) or not await _delete(bot, ref, end):
                undeleted.add(ref)
        except _REFUSED as error:
            if NOT_FOUND not in error.message:
                refused.append(ref)
    return refused, undeleted


async def _delete(bot: Bot, ref: Ref, end: float) -> bool:
    """Delete a message in its chat; return False if Telegram or the network does not allow it now.

    Raises:
        BadRequest, Forbidden: It can never be deleted: it is too old, or gone already.
        ChatMigrated: The same: it is in a group that has become a supergroup.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            await bot.delete_message(ref.chat_id, ref.message_id)
        except RetryAfter as error:
            pause = retry_seconds(error)
            if loop.time() + pause > end:
                return False
            await asyncio.sleep(pause)
        except _REFUSED:
            raise
        except TelegramError:
            return False
        else:
            return True
