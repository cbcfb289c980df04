"""Serve a simulated Telegram over loopback HTTP, for processes, webhooks and lost connections."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPError
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from bot.playground.objects import ApiError, Json, Upload
from bot.playground.telegram import Telegram
from bot.playground.updates import Webhook
from tests.simulated_telegram import ConnectionDropped

JSON_FIELDS = frozenset(
    {
        "allowed_updates",
        "chat_id",
        "commands",
        "correct_option_id",
        "correct_option_ids",
        "drop_pending_updates",
        "entities",
        "is_anonymous",
        "limit",
        "message_id",
        "message_thread_id",
        "offset",
        "options",
        "reply_markup",
        "reply_parameters",
        "scope",
        "show_alert",
        "timeout",
        "user_id",
    }
)
"""Form fields that contain JSON; all others are text, even if they look like a number."""
LOOPBACK = "127.0.0.1"
LARGEST_BODY = 60 * 2**20
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105  a header's name
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
UNAUTHORIZED = ApiError(401, "Unauthorized")
logger = logging.getLogger(__name__)


class MethodHandler(RequestHandler):
    """Answers `/bot<token>/<method>`."""

    def initialize(self, telegram: Telegram) -> None:
        """Store the Telegram; tornado calls this before each request."""
        self._telegram = telegram
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def get(self, token: str, method: str) -> None:
        """Answer a GET like a POST."""
        await self.post(token, method)

    async def post(self, token: str, method: str) -> None:
        """Answer in the Bot API's format, or close the connection if the answer must not arrive."""
        try:
            if token != self._telegram.token:
                raise UNAUTHORIZED
            result = await self._call(method, _parse_parameters(self.request))
        except ConnectionDropped:
            self.detach().close()
        except ApiError as error:
            self._refuse(error)
        else:
            self.finish({"ok": True, "result": result})

    def on_connection_close(self) -> None:
        """Record that the client has disconnected."""
        if not self._closed.done():
            self._closed.set_result(None)

    async def _call(self, method: str, params: Json) -> object:
        """Call the method; end a poll when its connection closes."""
        call = asyncio.ensure_future(self._telegram.call(method, params))
        if method == "getUpdates":
            ends: set[asyncio.Future[Any]] = {call, self._closed}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._closed.done():
                call.cancel()
                raise ConnectionDropped(method)
        return await call

    def _refuse(self, error: ApiError) -> None:
        self.set_status(error.code)
        self.finish(error.json())


class FileHandler(RequestHandler):
    """Answers `/file/bot<token>/<path>` with the file's content."""

    def initialize(self, telegram: Telegram) -> None:
        """Store the Telegram; tornado calls this before each request."""
        self._telegram = telegram

    async def get(self, token: str, path: str) -> None:
        """Answer 401 for another bot's token and 404 for an unknown file."""
        upload = self._telegram.world.files.get(path.removeprefix("documents/"))
        if token != self._telegram.token:
            self.set_status(UNAUTHORIZED.code)
        elif upload is None:
            self.set_status(404)
        else:
            self.set_header("Content-Type", "application/octet-stream")
            self.finish(upload.content)


@asynccontextmanager
async def serve(telegram: Telegram, port: int = 0) -> AsyncIterator[str]:
    """Serve a Telegram while the block runs, and yield its URL; port 0 selects a free port.

    A bot's base_url is the URL + "/bot", its base_file_url the URL + "/file/bot".
    """
    arguments = {"telegram": telegram}
    routes = [
        (r"/bot([^/]+)/(\w+)", MethodHandler, arguments),
        (r"/file/bot([^/]+)/(.+)", FileHandler, arguments),
    ]
    quiet = Application(
        routes, log_function=lambda _: None
    )  # its log lines would contain the token
    server = HTTPServer(quiet, max_body_size=LARGEST_BODY)
    sockets = bind_sockets(port, LOOPBACK)
    server.add_sockets(sockets)
    client = AsyncHTTPClient(force_instance=True)
    delivery = asyncio.create_task(_deliver(telegram, client))
    delivery.add_done_callback(_log_failure)
    try:
        yield f"http://{LOOPBACK}:{sockets[0].getsockname()[1]}"
    finally:
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
        client.close()
        server.stop()
        await server.close_all_connections()


def _parse_parameters(request: HTTPServerRequest) -> Json:
    """Return the parameters with the Bot API's types; files become Upload.

    Raises:
        ApiError: 400 if a value is not valid JSON.
    """
    given: Json = {name: values[-1].decode() for name, values in request.arguments.items()}
    if request.headers.get("Content-Type", "").startswith("application/json"):
        body = _parse_json("request", request.body.decode())
        if not isinstance(body, dict):
            raise ApiError(400, "Bad Request: the request's JSON is not an object")
        given |= body
    for name, files in request.files.items():
        given[name] = Upload(files[-1].filename, files[-1].body)
    return {
        name: _parse_json(name, value) if name in JSON_FIELDS and isinstance(value, str) else value
        for name, value in given.items()
    }


def _parse_json(name: str, text: str) -> object:
    if name == "chat_id" and text.startswith("@"):
        return text
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise ApiError(400, f"Bad Request: can't parse {name} JSON object") from error
    return value


def _log_failure(delivery: asyncio.Task[None]) -> None:
    if not delivery.cancelled() and (error := delivery.exception()):
        logger.error("updates are no longer delivered to the webhook", exc_info=error)


async def _deliver(telegram: Telegram, client: AsyncHTTPClient) -> None:
    """Post each update to the webhook, in order, until it is accepted."""
    pause = FIRST_PAUSE
    while True:
        webhook, update = await telegram.updates.next_delivery()
        error = await _post(client, webhook, update)
        if error is None:
            telegram.updates.delivered(update)
            pause = FIRST_PAUSE
        else:
            telegram.updates.last_error = error
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def _post(client: AsyncHTTPClient, webhook: Webhook, update: Json) -> str | None:
    """Post one update; return an error message, or None."""
    headers = {"Content-Type": "application/json"}
    if webhook.secret:
        headers[SECRET_HEADER] = webhook.secret
    body = json.dumps(update)
    try:
        await client.fetch(webhook.url, method="POST", headers=headers, body=body)
    except HTTPError as error:
        return f"Wrong response from the webhook: {error.code} {error.message}"
    except OSError as error:
        return f"Connection failed: {error.strerror}"
    return None
