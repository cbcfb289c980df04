"""Generate on a Ray cluster that serves versions with `model.serving`."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from model.artifacts.artifact import Decoding
from model.speaking.client import SECONDS, GenerationClient, parse_score
from model.speaking.engine import Candidate, GenerationRequest, Ids, ShouldStop


class ClusterEngine:
    """Draws and scores replies on a cluster, which has the same engines; see Engine."""

    def __init__(self, client: GenerationClient) -> None:
        self._client = client

    def candidates(
        self,
        requests: Sequence[GenerationRequest],
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[list[Candidate]]:
        """See Engine. A call that was sent cannot be stopped; the cluster gives up by itself."""
        body = {
            "requests": [asdict(request) for request in requests],
            "decoding": asdict(decoding),
            **_deadline(),
        }

        def parse(answer: Any) -> list[list[Candidate]]:  # noqa: ANN401  JSON's border
            found = [[_parse_candidate(one) for one in own] for own in answer]
            if [len(own) for own in found] != [decoding.candidates] * len(requests):
                raise ValueError("the number of candidates is wrong")
            return found

        return self._client.post("candidates", body, parse, should_stop)

    def scores(
        self, prompts: Sequence[Ids], forced: Sequence[Ids], replies: Sequence[Ids]
    ) -> list[list[float]]:
        """See Engine."""

        def parse(answer: Any) -> list[list[float]]:  # noqa: ANN401  JSON's border
            found = [[parse_score(value) for value in row] for row in answer]
            if [len(row) for row in found] != [len(reply) for reply in replies]:
                raise ValueError("the number of scores is wrong")
            return found

        body = {"prompts": prompts, "forced": forced, "replies": replies, **_deadline()}
        return self._client.post("scores", body, parse, waits=True)

    def label_scores(self, prompt: Ids, labels: Sequence[Ids]) -> list[float]:
        """See Engine."""

        def parse(answer: Any) -> list[float]:  # noqa: ANN401  JSON's border
            found = [parse_score(value) for value in answer]
            if len(found) != len(labels):
                raise ValueError("the number of scores is wrong")
            return found

        body = {"prompt": prompt, "labels": labels, **_deadline()}
        return self._client.post("labels", body, parse, waits=True)


def _deadline() -> dict[str, float]:
    """Return when this process stops to wait, in seconds since 1970."""
    return {"deadline": time.time() + SECONDS}


def _parse_candidate(value: Any) -> Candidate:  # noqa: ANN401  JSON's border
    return Candidate(
        [int(token) for token in value["ids"]],
        parse_score(value["score"]),
        bool(value["is_complete"]),
    )
