"""The bot's client of the Bot API: one update that cannot be read does not stop the others."""

import logging
from typing import Any

from telegram import Update
from telegram.ext import ExtBot
from telegram.request import HTTPXRequest

from bot.outgoing import Limiter
from bot.settings import Settings

READ_SECONDS = 20  # a send that times out may have been delivered: be patient
CONNECTIONS = 64

logger = logging.getLogger(__name__)


class Client(ExtBot[Any]):
    """An ExtBot that passes over what python-telegram-bot cannot parse.

    Left alone the library would poll for that update for ever, and log it each time.
    """

    async def _post(self, endpoint: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        result = await super()._post(endpoint, *args, **kwargs)
        if endpoint != "getUpdates" or not isinstance(result, list):
            return result
        return [update if self._is_readable(update) else _empty(update) for update in result]

    def _is_readable(self, update: dict[str, Any]) -> bool:
        try:
            Update.de_json(update, self)
        except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as e:
            number, kind = update.get("update_id"), type(e).__name__
            logger.error("update %s cannot be read (%s): passed over", number, kind)  # noqa: TRY400  its text would be logged
            return False
        return True


def client_of(settings: Settings) -> ExtBot[Any]:
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
