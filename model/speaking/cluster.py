"""Generate on a Ray cluster that serves versions with `model.serving`."""

from collections.abc import Sequence
from dataclasses import asdict

from model.artifacts.artifact import Decoding
from model.speaking.engine import Candidate, Ids, Request, ShouldStop, raise_if_stopped
from model.speaking.server import SECONDS, GenerationServer, failure


class ClusterEngine:
    """Draws and scores replies on a cluster, which has the same engines; see Engine."""

    def __init__(self, server: GenerationServer) -> None:
        self._server = server

    def candidates(
        self,
        requests: Sequence[Request],
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[list[Candidate]]:
        """See Engine. The server stops by itself when nobody waits any longer."""
        raise_if_stopped(should_stop)
        answer = self._server.post(
            "candidates",
            {
                "requests": [asdict(request) for request in requests],
                "decoding": asdict(decoding),
                "seconds": SECONDS,
            },
        )
        raise_if_stopped(should_stop)
        try:
            return [[Candidate(**one) for one in own] for own in answer]
        except TypeError as error:
            raise failure(error) from error

    def scores(
        self, prompts: Sequence[Ids], forced: Sequence[Ids], replies: Sequence[Ids]
    ) -> list[list[float]]:
        """See Engine."""
        body = {"prompts": prompts, "forced": forced, "replies": replies}
        answer: list[list[float]] = self._server.post("scores", body)
        return answer

    def label_scores(self, prompt: Ids, labels: Sequence[Ids]) -> list[float]:
        """See Engine."""
        answer: list[float] = self._server.post("labels", {"prompt": prompt, "labels": labels})
        return answer
