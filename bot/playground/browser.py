"""Serve the playground's page on loopback, and run the real bot behind it.

Only the page itself may do anything: each request must name this server as its host, and each
action must also come from this origin and carry the token of this run. The token is in the address
that the terminal shows, after `#`, a part that browsers do not send.
"""

import asyncio
import hmac
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from bot.errors import PlaygroundError
from bot.playground.group import open_group
from bot.playground.group_page import ActionRefused, GroupPage
from bot.playground.objects import Json
from bot.playground.telegram import add_bot
from model.artifacts.artifact import Artifact
from model.artifacts.registry import Registry

LOOPBACK = "127.0.0.1"
GREETING_SECONDS = 30.0
HEARTBEAT_SECONDS = 15.0
SECONDS_A_DAY = 86_400.0
LARGEST_BODY = 8 * 2**20  # a picture in base64
TYPES = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
HEADERS = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        ),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)


@dataclass(frozen=True, slots=True)
class Site:
    """What is served: the page's files, and its group to requests with the token; and the hosts."""

    hosts: frozenset[str]
    files: Mapping[str, bytes]
    token: str
    page: GroupPage


class LocalHandler(RequestHandler):
    """Refuses requests that name another host, which prevents DNS rebinding."""

    def initialize(self, site: Site) -> None:
        """Store the site; tornado calls this before each request."""
        self._site = site
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set_default_headers(self) -> None:
        """Send the security headers with every answer, errors included."""
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.clear_header("Server")

    def prepare(self) -> None:
        """Raise HTTPError 403 for another host."""
        if self.request.headers.get("Host", "").lower() not in self._site.hosts:
            raise HTTPError(403, reason="This server answers on loopback only")

    def write_error(self, status_code: int, **_: object) -> None:
        """Answer with the reason as JSON."""
        self.finish({"error": self._reason, "status": status_code})


class PageHandler(LocalHandler):
    """Answers with the page's files."""

    def get(self, name: str) -> None:
        """Answer 404 for an unknown name."""
        name = name or "index.html"
        if name not in self._site.files:
            raise HTTPError(404)
        self.set_header("Content-Type", TYPES[PurePath(name).suffix])
        self.finish(self._site.files[name])


class ActionHandler(LocalHandler):
    """Answers the page's own requests: `/api/events`, `/api/file` and the actions."""

    def prepare(self) -> None:
        """Raise HTTPError 403 unless the page itself sends this request."""
        super().prepare()
        headers = self.request.headers
        is_own = headers.get("Origin", "").lower() == f"http://{headers['Host'].lower()}"
        given = headers.get("Authorization", "").encode()
        if not is_own or headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise HTTPError(403, reason="This request comes from another page")
        if not hmac.compare_digest(given, f"Bearer {self._site.token}".encode()):
            raise HTTPError(403, reason="Open the address that the terminal shows")
        if headers.get("Content-Type") != "application/json":
            raise HTTPError(415)

    async def post(self, name: str) -> None:
        """Answer 404 for an unknown action, and 400 for one that is refused."""
        params = self._parse_body()
        if name == "events":
            await self._stream()
            return
        try:
            if name == "file":
                self.set_header("Content-Type", "application/octet-stream")
                self.finish(self._site.page.file(params.get("file")).content)
                return
            if name not in self._site.page.actions:
                raise HTTPError(404)
            self.finish(await self._site.page.actions[name](params))
        except ActionRefused as error:
            self.set_status(400)
            self.finish({"error": str(error)})

    def on_connection_close(self) -> None:
        """Record that the page has disconnected."""
        if not self._closed.done():
            self._closed.set_result(None)

    def _parse_body(self) -> Json:
        try:
            params = json.loads(self.request.body)
            json.dumps(
                params, ensure_ascii=False
            ).encode()  # half a surrogate pair cannot be encoded
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, reason="The body is not JSON") from error
        if not isinstance(params, dict):
            raise HTTPError(400, reason="The body is not a JSON object")
        return params

    async def _stream(self) -> None:
        """Send server-sent events until the page goes."""
        self.set_header("Content-Type", "text/event-stream")
        with self._site.page.subscribe() as changes, suppress(StreamClosedError):
            while not self._closed.done():
                change = asyncio.ensure_future(changes.get())
                ends: set[asyncio.Future[Any]] = {change, self._closed}
                await asyncio.wait(
                    ends,
                    timeout=HEARTBEAT_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not change.done():
                    change.cancel()
                    self.write(": the connection is open\n\n")
                elif (event := change.result()) is None:
                    changes.task_done()
                    return
                else:
                    self.write(f"data: {json.dumps(event)}\n\n")
                    changes.task_done()
                await self.flush()


@asynccontextmanager
async def serve_page(page: GroupPage, token: str, port: int = 0) -> AsyncIterator[str]:
    """Serve the page while the block runs, and yield its address without the token.

    Port 0 selects a free port.

    Raises:
        PlaygroundError: The port is in use.
    """
    try:
        listener = socket.create_server((LOOPBACK, port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unknown reason"
        raise PlaygroundError(
            f"port {port} cannot be used ({reason}): choose another with --port N, or a free one "
            "with --port 0"
        ) from error
    listener.settimeout(0)
    number = listener.getsockname()[1]
    hosts = frozenset(f"{name}:{number}" for name in (LOOPBACK, "localhost"))
    content = {
        file.name: file.read_bytes()
        for file in files("bot.playground").joinpath("page").iterdir()
        if PurePath(file.name).suffix in TYPES
    }
    arguments = {"site": Site(hosts, content, token, page)}
    application = Application(
        [(r"/api/(\w+)", ActionHandler, arguments), (r"/([\w.]*)", PageHandler, arguments)],
        default_handler_class=LocalHandler,
        default_handler_args=arguments,
        log_function=lambda _: None,
    )
    server = HTTPServer(application, max_body_size=LARGEST_BODY)
    server.add_socket(listener)
    try:
        yield f"http://{LOOPBACK}:{number}/"
    finally:
        server.stop()
        await server.close_all_connections()


async def play_in_browser(
    artifact: Artifact,
    models: Registry,
    conversations: Sequence[Sequence[str]],
    port: int,
    on_up: Callable[[str, str], object],
) -> None:
    """Run the bot in a group in the browser until SIGINT or SIGTERM.

    `conversations` have lines `Name: words` that are posted first: the last one now, and each of
    the others on a day before it. `on_up` receives the bot's greeting and the page's address when
    both are up.

    Raises:
        UnderstudyError: The bot does not start, or exits; the port is in use.
    """
    days_ago = max(0, len(conversations) - 1)
    group = open_group(
        artifact,
        chain.from_iterable(conversations),
        is_training_group=True,
        clock=lambda: time.time() - days_ago * SECONDS_A_DAY,
    )
    page, token = GroupPage(group), secrets.token_urlsafe(16)
    async with serve_page(page, token, port) as address, group.running_bot(models, pace=1) as bot:
        stop = _stop_at_signals()
        await add_bot(group.telegram, group.chat, group.admin, "administrator")
        with suppress(TimeoutError):
            await group.telegram.wait_for("sendMessage", timeout=GREETING_SECONDS)
        for days_ago in reversed(range(len(conversations))):
            for line in conversations[-1 - days_ago]:
                name, _, words = line.partition(": ")
                await group.say(name, words)
        on_up(bot.greeting, f"{address}#{token}")
        try:
            await stop.wait()
        finally:
            await page.end()


def _stop_at_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # on Windows only Ctrl-C works
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
