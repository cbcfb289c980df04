"""Connect to a server that generates: one of `model.serving`, or an OpenAI-compatible one."""

import logging
import time
import weakref
from collections.abc import Mapping
from typing import Any

import httpx

from model.chat.names import make_printable
from model.errors import ArtifactError, GenerationStopped, ServerBusyError

SECONDS = 20.0  # for the answer to a request: the bot waits no longer for a reply
RETRY_SECONDS = 0.5  # before a request that the server lost is repeated, once
_TRIES = 20  # to ask a busy server for its versions

OWNER = "understudy"
"""The owner of the models that a server of `model.serving` lists."""

_LOST = {httpx.codes.INTERNAL_SERVER_ERROR, httpx.codes.BAD_GATEWAY}
_BUSY = {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}

logger = logging.getLogger(__name__)


class GenerationServer:
    """A server at GENERATION_URL that serves a version; calls block.

    `is_own` says that it is a server of `model.serving`.
    """

    def __init__(self, url: str, version: str) -> None:
        """Connect to a server, if it serves this version.

        Raises:
            ArtifactError: It does not answer, or does not serve this version.
        """
        # A worker of a server of `model.serving` that has loaded the version is preferred.
        headers = {"serve_multiplexed_model_id": version}
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/", timeout=SECONDS, headers=headers
        )
        weakref.finalize(self, self._client.close)
        try:
            answer = self._client.get("models")
            for _ in range(_TRIES):
                if answer.status_code not in _BUSY:
                    break
                time.sleep(RETRY_SECONDS)
                answer = self._client.get("models")
            answer.raise_for_status()
            owners = {str(one["id"]): one.get("owned_by") for one in answer.json()["data"]}
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"the server at GENERATION_URL does not answer ({type(error).__name__}): start it, "
                "or leave GENERATION_URL empty to generate in this process"
            ) from error
        self.is_own = OWNER in owners.values()
        if version not in owners:
            names = ", ".join(map(make_printable, owners)) or "nothing"
            how = (
                "copy the version's folder there"
                if self.is_own
                else f"start it with --served-model-name {version}"
            )
            raise ArtifactError(
                f"the server at GENERATION_URL serves {names}, not {version}: {how}"
            )

    def post(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401  JSON's border
        """Post JSON and return the answer's JSON. A request that the server loses is repeated once.

        Raises:
            ServerBusyError: The server has too many requests.
            GenerationStopped: It cannot be reached, or fails.
        """
        try:
            answer = self._post(path, body)
            if answer.status_code in _BUSY:
                raise ServerBusyError("the server that generates has too many requests")
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise failure(error) from error

    def _post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        try:
            answer = self._client.post(path, json=body)
            if answer.status_code not in _LOST:
                return answer
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
            pass
        time.sleep(RETRY_SECONDS)
        return self._client.post(path, json=body)


def failure(error: Exception) -> GenerationStopped:
    """Log what failed, without the server's words, and return the exception for it."""
    status = f" {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else ""
    logger.warning("the server at GENERATION_URL failed: %s%s", type(error).__name__, status)
    return GenerationStopped("the server that generates did not answer")
