"""Call a function just before a request leaves for Telegram."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import httpx

Callback: TypeAlias = Callable[[], Awaitable[None]]

_CALLBACK: ContextVar[Callback | None] = ContextVar("callback", default=None)


@contextmanager
def calling_before_departure(callback: Callback) -> Iterator[None]:
    """Await `callback` just before each request in the block is sent.

    If it fails, the request is not sent.
    """
    token = _CALLBACK.set(callback)
    try:
        yield
    finally:
        _CALLBACK.reset(token)


async def watch_departure(request: httpx.Request) -> None:
    """Ask httpx to call back (an httpx event hook for requests).

    httpx names the events at https://www.python-httpx.org/advanced/extensions/#trace.
    """
    callback = _CALLBACK.get()
    if callback is None:
        return

    async def trace(event: str, _: Mapping[str, Any]) -> None:
        if event.endswith(".send_request_headers.started"):
            await callback()

    request.extensions = {**request.extensions, "trace": trace}
