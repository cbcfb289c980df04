"""Receive updates by webhook and answer health checks."""

import hmac
import json
import logging
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from telegram.ext import Application as TelegramApplication
from telegram.ext import ExtBot
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from bot.errors import SettingsError, StoreError
from bot.settings import HEALTH, Settings
from bot.transport.polling import (
    ALLOWED_UPDATES,
    Client,
)

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105  a header's name
LARGEST_BODY = 2**20  # an update has a few kilobytes; larger requests are refused
IDLE_SECONDS = 20.0
"""Seconds that a connection may take for a request's headers, for its body, and between
requests."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """Stores and queues updates that arrive with the right secret."""

    secret: str
    app: TelegramApplication[Any, Any, Any, Any, Any, Any]
    client: Client

    def opens_to(self, secret: str) -> bool:
        """Whether this is the secret, compared in constant time."""
        return hmac.compare_digest(secret.encode(), self.secret.encode())

    async def take(self, update: dict[str, Any]) -> None:
        """Store an update, and queue it if it is new and can be read.

        Raises:
            StoreError: It cannot be kept.
        """
        for readable in (await self.client.keep([update])).values():
            await self.app.update_queue.put(readable)


class Knock(RequestHandler):
    """Answers Telegram: 200 if an update is stored, 503 if it cannot be."""

    def initialize(self, door: Door) -> None:
        """Store the receiver; tornado calls this before each request."""
        self._door = door

    async def post(self) -> None:
        """Receive an update."""
        if not self._door.opens_to(self.request.headers.get(SECRET_HEADER, "")):
            raise HTTPError(403)
        update = _update(self.request.body)
        if update is None:
            logger.error("a request of %d bytes holds no update", len(self.request.body))
            return  # 200: otherwise Telegram would send it again forever
        try:
            await self._door.take(update)
        except StoreError as error:
            logger.exception("update %d cannot be kept", update["update_id"])
            raise HTTPError(503) from error

    def log_exception(self, *_: object) -> None:
        """Log nothing: the status says enough."""

    def write_error(self, status_code: int, **_: object) -> None:
        """Answer with the status only."""
        self.set_status(status_code)
        self.finish()


Report: TypeAlias = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
"""Returns the bot's health as JSON values, `ok` among them.

Raises StoreError if the database cannot be read.
"""


class Health(RequestHandler):
    """Answer health checks."""

    def initialize(self, report: Report) -> None:
        """Store the report function; tornado calls this before each request."""
        self._report = report

    async def get(self) -> None:
        """Return the health report; the status is 503 if the database cannot be read.

        A failing job leaves the status at 200: it is retried, and a restart would not help.
        """
        try:
            self.finish(await self._report())
        except StoreError:
            self.set_status(503)
            self.finish({"ok": False})


@asynccontextmanager
async def listening(
    settings: Settings,
    app: TelegramApplication[Any, Any, Any, Any, Any, Any],
    report: Report,
    idle_seconds: float = IDLE_SECONDS,
) -> AsyncIterator[Callable[[], Coroutine[Any, Any, bool]]]:
    """Receive updates while the block runs; yield a function that sets the webhook.

    Without WEBHOOK_SECRET there is a new secret each time, which is sent only to Telegram.
    A connection that is idle or slow for `idle_seconds` is closed.

    Raises:
        SettingsError: The address in WEBHOOK_LISTEN cannot be used.
    """
    url = settings.webhook_url or ""
    given = settings.webhook_secret.get_secret_value() if settings.webhook_secret else ""
    if not isinstance(app.bot, Client):
        raise TypeError("only our own client keeps updates")
    client = app.bot
    door = Door(given or secrets.token_urlsafe(32), app, client)
    routes: list[Any] = [
        (HEALTH, Health, {"report": report}),
        (re.escape(urlsplit(url).path or "/"), Knock, {"door": door}),
    ]
    silent = Application(routes, log_function=lambda _: None)
    server = HTTPServer(
        silent,
        max_body_size=LARGEST_BODY,
        idle_connection_timeout=idle_seconds,
        body_timeout=idle_seconds,
    )
    server.add_sockets(_sockets(settings.webhook_listen))

    async def set_webhook() -> bool:
        return await client.set_webhook(
            url, allowed_updates=ALLOWED_UPDATES, secret_token=door.secret
        )

    try:
        yield set_webhook
    finally:
        server.stop()
        await server.close_all_connections()


async def keep_webhook(
    client: ExtBot[Any], url: str, set_webhook: Callable[[], Coroutine[Any, Any, bool]]
) -> None:
    """Set the webhook again if it was removed, as a polling bot does.

    Raises:
        TelegramError: Telegram does not answer, or refuses the token.
    """
    if (await client.get_webhook_info()).url.rstrip("/") != url.rstrip("/"):
        logger.error(
            "another process removed the webhook: stop that process; the webhook is set again"
        )
        await set_webhook()


def _update(body: bytes) -> dict[str, Any] | None:
    """Return the update in a request, or None if there is none."""
    try:
        update = json.loads(body)
    except (ValueError, RecursionError):
        return None
    has_id = isinstance(update, dict) and type(update.get("update_id")) is int
    return update if has_id else None


def _sockets(listen: str) -> list[socket.socket]:
    host, _, port = listen.rpartition(":")
    try:
        return bind_sockets(int(port), host.strip("[]"))
    except OSError as error:
        raise SettingsError(
            f"WEBHOOK_LISTEN: nobody can listen at {listen} ({error.strerror}): "
            "choose another port, or stop what uses it"
        ) from error
