"""The bot's client of the Bot API: it keeps updates, and one unreadable stops no other."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from telegram import Update
from telegram.error import InvalidToken, NetworkError
from telegram.ext import ExtBot
from telegram.request import HTTPXRequest

from bot.errors import StoreError
from bot.outgoing import Limiter
from bot.settings import Settings
from bot.store.inbox import Inbox
from bot.store.scrubbing import Json

READ_SECONDS = 20  # a send that times out may have been delivered: be patient
CONNECTIONS = 64
MOST_REFUSALS = 8
"""How often in a row Telegram may refuse the token before the bot ends: for about half a minute,
as the library waits 1 s, then 1.5 times as long each time. Telegram may be wrong for a moment."""

logger = logging.getLogger(__name__)


class Client(ExtBot[Any]):
    """An ExtBot that keeps updates before Telegram hears that they arrived.

    What it cannot read, or has seen before, it returns as an update of the same id without
    content. Left alone the library would poll for the unreadable for ever, and log it each time.
    """

    _inbox: Inbox | None = None
    _trim: Callable[[Json], Json] | None = None
    _refusals = 0

    def keep_in(self, inbox: Inbox, trim: Callable[[Json], Json]) -> None:
        """Keep all further updates in an inbox, each as `trim` returns it."""
        self._inbox, self._trim = inbox, trim

    async def get_updates(self, *args: Any, **kwargs: Any) -> tuple[Update, ...]:  # noqa: ANN401
        """Ask for updates, as the library does.

        The library stops asking for ever once the token is refused, so the first refusals are
        raised as an error after which it asks again.

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

    async def _post(self, endpoint: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        result = await super()._post(endpoint, *args, **kwargs)
        if endpoint != "getUpdates" or not isinstance(result, list):
            return result
        try:
            fresh = await self.keep(result)
        except StoreError as error:
            raise NetworkError("updates cannot be kept: they are asked for again") from error
        return [one if one["update_id"] in fresh else _empty(one) for one in result]

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
    return Client(
        settings.token,
        base_url=f"{settings.telegram_api_url}/bot",
        base_file_url=f"{settings.telegram_api_url}/file/bot",
        request=HTTPXRequest(connection_pool_size=CONNECTIONS, read_timeout=READ_SECONDS),
        get_updates_request=HTTPXRequest(connection_pool_size=1),
        rate_limiter=Limiter(),
    )


def _empty(update: dict[str, Any]) -> dict[str, Any]:
    """Return an update of the same id, so that it is acknowledged, with nothing in it."""
    return {"update_id": update["update_id"]}
