"""Receive updates by webhook and answer health checks."""

import hmac
import json
import logging
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from telegram.ext import ExtBot
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application, HTTPError, RequestHandler

from bot.errors import SettingsError, StoreError
from bot.settings import HEALTH, Settings
from bot.transport.polling import ALLOWED_UPDATES, Client

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105  a header's name
LARGEST_BODY = 2**20  # an update has a few kilobytes; larger requests are refused
IDLE_SECONDS = 20.0
"""Seconds that a connection may take for a request's headers, for its body, and between
requests."""
MAX_CONNECTIONS = 64
"""Open connections to a server; Telegram opens 40. A process may have only 256 open files."""

logger = logging.getLogger(__name__)


class UpdateHandler(RequestHandler):
    """Answers Telegram: 200 if an update is stored, 503 if it cannot be."""

    def initialize(self, secret: str, client: Client) -> None:
        """Set what the handler needs; tornado calls this before each request."""
        self._secret, self._client = secret, client

    async def post(self) -> None:
        """Store an update."""
        given = self.request.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(given.encode(), self._secret.encode()):
            raise HTTPError(403)
        update = _parse_update(self.request.body)
        if update is None:
            logger.error("a request of %d bytes contains no update", len(self.request.body))
            return  # 200: otherwise Telegram would send it again forever
        try:
            await self._client.store([update])
        except StoreError as error:
            logger.exception("update %d cannot be stored", update["update_id"])
            raise HTTPError(503) from error

    def log_exception(self, *_: object) -> None:
        """Log nothing: the status says enough."""

    def write_error(self, status_code: int, **_: object) -> None:
        """Answer with the status only."""
        self.set_status(status_code)
        self.finish()


Report: TypeAlias = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
"""Returns the bot's health as JSON values, including `ok`.

Raises StoreError if the database cannot be read.
"""


class HealthHandler(RequestHandler):
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
    client: Client,
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
    secret = given or secrets.token_urlsafe(32)
    parts = {"secret": secret, "client": client}
    routes: list[Any] = [
        (HEALTH, HealthHandler, {"report": report}),
        (re.escape(urlsplit(url).path or "/"), UpdateHandler, parts),
    ]

    async def set_webhook() -> bool:
        return await client.set_webhook(url, allowed_updates=ALLOWED_UPDATES, secret_token=secret)

    async with serving(routes, settings.webhook_listen, "WEBHOOK_LISTEN", idle_seconds):
        yield set_webhook


@asynccontextmanager
async def serving(
    routes: Sequence[Any], listen: str, setting: str, idle_seconds: float = IDLE_SECONDS
) -> AsyncIterator[None]:
    """Answer HTTP requests while the block runs, with limits on time, size and connections.

    Raises:
        SettingsError: The address, which is the value of `setting`, cannot be used.
    """
    server = _LimitedServer(
        Application([*routes], log_function=lambda _: None),
        max_body_size=LARGEST_BODY,
        idle_connection_timeout=idle_seconds,
        body_timeout=idle_seconds,
    )
    server.add_sockets(bind_listener(listen, setting))
    try:
        yield
    finally:
        server.stop()
        await server.close_all_connections()


class _LimitedServer(HTTPServer):
    """Closes the oldest connection if there would be more than `MAX_CONNECTIONS`."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  tornado's
        super().__init__(*args, **options)
        self._open: dict[IOStream, None] = {}  # the oldest first

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Serve a connection."""
        self._open[stream] = None
        if len(self._open) > MAX_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.close()
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:  # noqa: ANN401  tornado's
        """Forget a connection that has ended."""
        self._open.pop(server_conn.stream, None)
        super().on_close(server_conn)


async def keep_webhook(
    client: ExtBot[Any], url: str, set_webhook: Callable[[], Coroutine[Any, Any, bool]]
) -> None:
    """Set the webhook again if it was removed, as a polling bot does.

    Raises:
        TelegramError: Telegram does not answer, or refuses the token.
    """
    if (await client.get_webhook_info()).url.rstrip("/") != url.rstrip("/"):
        logger.error(
            "another process removed the webhook: stop that process; the webhook was set again"
        )
        await set_webhook()


def _parse_update(body: bytes) -> dict[str, Any] | None:
    """Return the update in a request, or None if there is none."""
    try:
        update = json.loads(body)
    except (ValueError, RecursionError):
        return None
    has_id = isinstance(update, dict) and type(update.get("update_id")) is int
    return update if has_id else None


def bind_listener(listen: str, setting: str) -> list[socket.socket]:
    """Return a socket that listens at an address and a port.

    Raises:
        SettingsError: The address, which is the value of `setting`, cannot be used.
    """
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), int(port)), family=family)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a host name"
        raise SettingsError(
            f"{setting}: the bot cannot listen at {listen} ({why}): "
            "choose another port, or stop the program that uses it"
        ) from error
    listener.setblocking(False)  # noqa: FBT003  it has no keyword; tornado must not wait
    return [listener]
