"""Connect to a completions server: a Ray cluster of `model.serving`, or another one."""

import logging
import math
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import httpx

from model.chat.names import make_printable
from model.errors import ArtifactError, ServerBusyError, ServerError
from model.speaking.engine import ShouldStop, raise_if_stopped

SECONDS = 20.0  # timeout of one request; a reply may need several
RETRY_SECONDS = 0.5  # seconds before a lost request, or one to a busy server, is retried

OWNER = "understudy"
"""The owner of the versions that `model.serving` lists."""

BAD_ANSWER = (
    LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError,
)  # fmt: skip
"""Exceptions that parsing a malformed answer may raise."""

_RETRIED = {httpx.codes.INTERNAL_SERVER_ERROR, httpx.codes.BAD_GATEWAY}
_BUSY = {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}
_BUSY_ATTEMPTS = 20  # to list a busy server's versions, or to continue a reply that it has begun
_MAX_NAMES = 5  # of the versions that an error message lists

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


class GenerationClient:
    """A client of the server at GENERATION_URL, for one version; calls block.

    `is_cluster` says that the server is a Ray cluster of `model.serving`.
    """

    def __init__(self, url: str, version: str) -> None:
        """Connect to a server, if it serves this version.

        Raises:
            ArtifactError: It does not answer, or does not serve this version.
        """
        headers = {"serve_multiplexed_model_id": version}  # Ray prefers a worker that has it loaded
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/", timeout=SECONDS, headers=headers
        )
        weakref.finalize(self, self._client.close)
        self.is_cluster, served = self._list_versions()
        if version not in served:
            names = ", ".join(map(make_printable, served[:_MAX_NAMES])) or "nothing"
            more = f" and {len(served) - _MAX_NAMES} more" if len(served) > _MAX_NAMES else ""
            how = (
                "copy the version's folder into the cluster's models folder"
                if self.is_cluster
                else f"start it with --served-model-name {version}"
            )
            raise ArtifactError(
                f"the server at GENERATION_URL serves {names}{more}, not {version}: {how}"
            )

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        parse: Callable[[Any], _T],
        should_stop: ShouldStop | None = None,
        *,
        waits: bool = False,
    ) -> _T:
        """Post JSON; return the answer as parsed by `parse`. A lost request is repeated once.

        `parse` may raise the exceptions in `BAD_ANSWER`. `should_stop` is checked before each
        attempt, and after the answer. If the server is busy, a request that `waits` is repeated for
        ten seconds.

        Raises:
            ServerBusyError: The server has too many requests.
            ServerError: It cannot be reached, or fails.
            GenerationStopped: `should_stop` returned True.
        """
        raise_if_stopped(should_stop)
        try:
            send = partial(self._post, path, body, should_stop)
            answer = _send_until_free(send) if waits else send()
            if answer.status_code in _BUSY:
                raise ServerBusyError("the generation server has too many requests")
            answer.raise_for_status()
            found = parse(answer.json())
        except (httpx.HTTPError, *BAD_ANSWER) as error:
            reason = type(error).__name__
            if isinstance(error, httpx.HTTPStatusError):
                reason = f"HTTP {error.response.status_code}"
            logger.warning("the server at GENERATION_URL failed: %s", reason)
            raise ServerError(f"the generation server failed ({reason})") from error
        raise_if_stopped(should_stop)
        return found

    def _post(
        self, path: str, body: Mapping[str, Any], should_stop: ShouldStop | None
    ) -> httpx.Response:
        try:
            answer = self._client.post(path, json=body)
            if answer.status_code not in _RETRIED:
                return answer
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
            pass
        time.sleep(RETRY_SECONDS)
        raise_if_stopped(should_stop)
        return self._client.post(path, json=body)

    def _list_versions(self) -> tuple[bool, list[str]]:
        """Return whether the server runs `model.serving`, and its versions; wait if it is busy."""
        try:
            answer = _send_until_free(partial(self._client.get, "models"))
            if answer.status_code in _BUSY:
                raise ArtifactError("the server at GENERATION_URL is busy: try again later")
            answer.raise_for_status()
            listed = answer.json()["data"]
            is_cluster = any(one.get("owned_by") == OWNER for one in listed)
            return is_cluster, [str(one["id"]) for one in listed]
        except (httpx.HTTPError, *BAD_ANSWER) as error:
            raise ArtifactError(
                f"the server at GENERATION_URL does not answer ({type(error).__name__}): start it, "
                "or leave GENERATION_URL empty to generate in this process"
            ) from error


def _send_until_free(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Send a request, repeat it while the server is busy, and return the last answer."""
    answer = send()
    for _ in range(_BUSY_ATTEMPTS):
        if answer.status_code not in _BUSY:
            break
        time.sleep(RETRY_SECONDS)
        answer = send()
    return answer


def parse_score(value: Any) -> float:  # noqa: ANN401  JSON's border
    """Return a log-probability.

    Raises:
        ValueError: It is not a finite number.
    """
    score = float(value)
    if not math.isfinite(score):
        raise ValueError("a log-probability is not finite")
    return score
