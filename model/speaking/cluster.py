"""Generate on a Ray cluster that serves versions with `model.serving`."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

from model.artifacts.artifact import Decoding
from model.speaking.engine import Candidate, Engine, Ids, Request, ShouldStop, raise_if_stopped
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


@dataclass(frozen=True, slots=True)
class Draw:
    """One request for candidates; nobody waits for it after `deadline` (of the monotonic clock)."""

    version: str
    engine: Engine
    requests: list[Request]
    decoding: Decoding
    deadline: float


def draw_together(calls: list[Draw]) -> list[list[list[Candidate]]]:
    """Draw for requests together if they have the same version and settings."""
    together: dict[tuple[str, Decoding], list[int]] = defaultdict(list)
    for number, call in enumerate(calls):
        together[call.version, call.decoding].append(number)
    found: dict[int, list[list[Candidate]]] = {}
    for (_, decoding), numbers in together.items():
        own = [calls[number] for number in numbers]
        deadline = max(call.deadline for call in own)
        requests = [request for call in own for request in call.requests]
        drawn = iter(own[0].engine.candidates(requests, decoding, partial(_is_past, deadline)))
        for number, call in zip(numbers, own, strict=True):
            found[number] = [next(drawn) for _ in call.requests]
    return [found[number] for number in range(len(calls))]


def _is_past(deadline: float) -> bool:
    return time.monotonic() > deadline
