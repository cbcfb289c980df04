"""Poll Telegram for updates and store them before they are acknowledged."""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

from telegram import Update
from telegram.error import InvalidToken, NetworkError
from telegram.ext import (
    ExtBot,
)
from telegram.request import HTTPXRequest

from bot.errors import StoreError
from bot.settings import Settings
from bot.store.inbox import Inbox, Json
from bot.transport.departure import watch_departure
from bot.transport.outgoing import Limiter

ALLOWED_UPDATES = (
    "message",
    "edited_message",
    "callback_query",
    "my_chat_member",
    "message_reaction",
    "poll_answer",
)


READ_SECONDS = 20  # a send that times out may have been delivered: be patient
CONNECTIONS = 64
MOST_REFUSALS = 8
"""How often in a row Telegram may refuse the token before the bot exits: about half a minute, as
the library waits 1 s, then 1.5 times as long each time. A refusal may be a passing error."""
POLL_SECONDS = 2
"""Time-outs for connecting, and for the answer beyond the length of a poll; a stop waits for one
poll."""

logger = logging.getLogger(__name__)


Keep: TypeAlias = Callable[[Sequence[dict[str, Any]]], Awaitable[frozenset[int]]]


class PollingRequest(HTTPXRequest):
    """Fetches updates, and stores them before they are confirmed to Telegram.

    An update that `keep` does not return, because it was seen before or cannot be read, is replaced
    by one with the same id and no content. Otherwise the library would request an unreadable update
    for ever and log it each time.
    """

    keep: Keep | None = None

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:  # noqa: ANN401
        """Request updates and store them.

        Raises:
            NetworkError: They cannot be stored; the library requests them again.
        """
        code, payload = await super().do_request(*args, **kwargs)
        if code != HTTPStatus.OK or self.keep is None:
            return code, payload
        try:
            updates = json.loads(payload)["result"]
        except (
            LookupError,
            TypeError,
            ValueError,
        ):  # not an answer of Telegram's: the library reports it
            return code, payload
        try:
            fresh = await self.keep(updates)
        except StoreError as error:
            raise NetworkError("updates cannot be kept: they are asked for again") from error
        passed_on = [one if one["update_id"] in fresh else _empty(one) for one in updates]
        return code, json.dumps({"ok": True, "result": passed_on}).encode()


class Client(ExtBot[Any]):
    """An ExtBot that stores updates before they are confirmed to Telegram."""

    _inbox: Inbox | None = None
    _trim: Callable[[Json], Json] | None = None
    _refusals = 0

    def keep_in(self, inbox: Inbox, trim: Callable[[Json], Json]) -> None:
        """Store all further updates in an inbox, each as `trim` returns it."""
        self._inbox, self._trim = inbox, trim

    async def get_updates(self, *args: Any, **kwargs: Any) -> tuple[Update, ...]:  # noqa: ANN401
        """Request updates, as the library does.

        The library stops for good once the token is refused, so the first refusals are raised as a
        NetworkError, after which it requests updates again.

        Raises:
            InvalidToken: The token was refused `MOST_REFUSALS` times in a row.
        """
        try:
            updates = await super().get_updates(*args, **kwargs)
        except InvalidToken as error:
            self._refusals += 1
            if self._refusals >= MOST_REFUSALS:
                raise
            raise NetworkError(f"token refused, {self._refusals} of {MOST_REFUSALS}") from error
        self._refusals = 0
        return updates

    async def keep(self, updates: Sequence[dict[str, Any]]) -> frozenset[int]:
        """Keep updates; return the ids of those that are new and can be read.

        Raises:
            StoreError: They cannot be kept.
        """
        unreadable = {one["update_id"] for one in updates if not self.read(one)}
        if self._inbox is None or self._trim is None:
            return frozenset()
        fresh = await self._inbox.keep(list(map(self._trim, updates)), unreadable)
        return fresh - unreadable

    def read(self, update: dict[str, Any]) -> Update | None:
        """Return an update as the library's, None where it cannot read it."""
        try:
            return Update.de_json(update, self)
        except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as e:
            number, kind = update.get("update_id"), type(e).__name__
            logger.error("update %s cannot be read (%s): set aside", number, kind)  # noqa: TRY400  its text would be logged
            return None


def client_of(settings: Settings) -> Client:
    """Return the client for these settings, not yet initialised.

    Raises:
        SettingsError: There is no token.
    """
    polling = PollingRequest(
        connection_pool_size=1, read_timeout=POLL_SECONDS, connect_timeout=POLL_SECONDS
    )
    client = Client(
        settings.token,
        base_url=f"{settings.telegram_api_url}/bot",
        base_file_url=f"{settings.telegram_api_url}/file/bot",
        request=HTTPXRequest(
            connection_pool_size=CONNECTIONS,
            read_timeout=READ_SECONDS,
            httpx_kwargs={"event_hooks": {"request": [watch_departure]}},
        ),
        get_updates_request=polling,
        rate_limiter=Limiter(),
    )
    polling.keep = client.keep
    return client


def _empty(update: dict[str, Any]) -> dict[str, Any]:
    """Return an update of the same id, so that it is acknowledged, with nothing in it."""
    return {"update_id": update["update_id"]}
