"""Poll Telegram for updates and store them before they are confirmed to Telegram."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import urlencode

from telegram import Update
from telegram.error import InvalidToken, NetworkError
from telegram.ext import ExtBot
from telegram.request import BaseRequest, HTTPXRequest

from bot.errors import StoreError
from bot.settings import Settings
from bot.store.inbox import Inbox
from bot.store.updates import Json
from bot.transport.outgoing import CountMessage, Limiter, watch_sending

ALLOWED_UPDATES = (
    "message",
    "edited_message",
    "callback_query",
    "my_chat_member",
    "message_reaction",
    "poll_answer",
)

READ_SECONDS = 20  # long, because a send that times out may have been delivered
CONNECTIONS = 64
MAX_REFUSALS = 8
"""Number of consecutive refusals of the token after which the bot exits.

A refusal may be a temporary error. The library waits 1 s before the second attempt, then each time
1.5 times as long: about half a minute in total.
"""
POLL_SECONDS = 2
"""Time limit for connecting, and for the answer beyond the length of a poll."""

_POLLING_TASK = "Updater:start_polling:polling_task"

Trim: TypeAlias = Callable[[Sequence[Json]], Awaitable[Sequence[Json]]]
"""Returns updates as they are stored."""

logger = logging.getLogger(__name__)


class Client(ExtBot[Any]):
    """An ExtBot that stores updates before they are confirmed to Telegram."""

    def __init__(self, polling: BaseRequest, **parts: Any) -> None:  # noqa: ANN401
        """Request updates with `polling`; `parts` are ExtBot's."""
        super().__init__(get_updates_request=polling, **parts)
        self._polling = polling
        self._inbox: Inbox | None = None
        self._trim: Trim | None = None
        self._refusals = 0

    def set_inbox(self, inbox: Inbox, trim: Trim) -> None:
        """Store all further updates in an inbox, as `trim` returns them."""
        self._inbox, self._trim = inbox, trim

    async def get_updates(
        self,
        offset: int | None = None,
        limit: int | None = None,
        timeout: int | timedelta | None = None,  # noqa: ASYNC109  the library's name
        allowed_updates: Sequence[str] | None = None,
        **_: Any,  # noqa: ANN401
    ) -> tuple[Update, ...]:
        """Request updates and store them; return updates with their ids and no content.

        The library only confirms them; those that are new are in the inbox's queue. The library
        stops for good once the token is refused, so the first refusals are raised as a
        NetworkError, after which it requests updates again.

        Raises:
            InvalidToken: The token was refused `MAX_REFUSALS` times in a row.
            NetworkError: The updates cannot be stored; the library requests them again.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout or 0
        parameters = {
            "offset": offset,
            "limit": limit,
            "timeout": int(seconds),
            "allowed_updates": None if allowed_updates is None else json.dumps(allowed_updates),
        }
        query = urlencode({name: one for name, one in parameters.items() if one is not None})
        try:
            updates: Any = await self._polling.post(
                f"{self.base_url}/getUpdates?{query}", read_timeout=POLL_SECONDS + seconds
            )
        except InvalidToken as error:
            self._refusals += 1
            if self._refusals >= MAX_REFUSALS:
                raise
            raise NetworkError(f"token refused, {self._refusals} of {MAX_REFUSALS}") from error
        self._refusals = 0
        try:
            await self.store(updates)
        except StoreError as error:
            raise NetworkError("updates cannot be stored: they are requested again") from error
        return tuple(Update(update["update_id"]) for update in updates)

    async def store(self, updates: Sequence[Json]) -> frozenset[int]:
        """Store updates; return the ids of those that are new.

        Updates with a number that no database can store are not from Telegram and are skipped.

        Raises:
            StoreError: They cannot be stored.
        """
        if self._inbox is None or self._trim is None:
            return frozenset()
        if strange := [update for update in updates if _has_huge_number(update)]:
            logger.error("%d updates have a number above 64 bits: skipped", len(strange))
            updates = [update for update in updates if update not in strange]
        return await self._inbox.store(await self._trim(updates)) if updates else frozenset()

    def parse_update(self, update: Json) -> Update | None:
        """Return an update as the library's, or None if it cannot be read."""
        try:
            return Update.de_json(update, self)
        except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as e:
            number, kind = update.get("update_id"), type(e).__name__
            logger.error("update %s cannot be read (%s): set aside", number, kind)  # noqa: TRY400  its text would be logged
            return None


def find_polling_task() -> asyncio.Task[Any] | None:
    """Return the library's task that polls, or None if it is not running."""
    tasks = (one for one in asyncio.all_tasks() if one.get_name() == _POLLING_TASK)
    return next(tasks, None)


def _has_huge_number(update: Json) -> bool:
    """Whether a whole number in an update does not fit into 64 bits; Telegram's ids have 52."""
    left: list[Any] = [update]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            return True
    return False


def make_client(
    settings: Settings, count: CountMessage | None = None, request: BaseRequest | None = None
) -> Client:
    """Return the client for these settings, not yet initialised.

    `count`: how several processes share Telegram's limits, see `Limiter`. `request` sends all
    requests instead of the network.

    Raises:
        SettingsError: There is no token.
    """
    polling = request or HTTPXRequest(
        connection_pool_size=1, read_timeout=POLL_SECONDS, connect_timeout=POLL_SECONDS
    )
    return Client(
        polling,
        token=settings.token,
        base_url=f"{settings.telegram_api_url}/bot",
        base_file_url=f"{settings.telegram_api_url}/file/bot",
        request=request
        or HTTPXRequest(
            connection_pool_size=CONNECTIONS,
            read_timeout=READ_SECONDS,
            httpx_kwargs={"event_hooks": {"request": [watch_sending]}},
        ),
        rate_limiter=Limiter(count),
    )
