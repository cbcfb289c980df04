"""Calls to a server that are drawn together."""

import time

from model.errors import GenerationStopped
from model.speaking.batching import CandidateCall, draw_together
from model.speaking.engine import Candidate, GenerationRequest
from tests.generation import FAIR, GREEDY


class RecordingEngine:
    """An engine that repeats a request's prompt, and records what was drawn together."""

    def __init__(self, *, stops=False):
        self.calls, self.stops = [], stops

    def candidates(self, requests, decoding, should_stop):
        self.calls.append((len(requests), should_stop()))
        if self.stops:
            raise GenerationStopped("too late")
        return [[Candidate(list(request.prompt), [])] for request in requests]


def test_calls_with_equal_settings_are_drawn_together():
    one, other = RecordingEngine(), RecordingEngine(stops=True)
    past, soon = time.monotonic() - 1, time.monotonic() + 60

    def call(engine, prompt, decoding, deadline):
        request = GenerationRequest([prompt], [], [])
        return CandidateCall(f"{id(engine)}", engine, [request], decoding, deadline)

    found = draw_together(
        [
            call(one, 1, GREEDY, soon),
            call(other, 2, GREEDY, soon),
            call(one, 3, GREEDY, soon),
            call(one, 4, FAIR, soon),
            call(one, 5, GREEDY, past),
        ]
    )

    assert one.calls == [(2, False), (1, False)]
    assert all(isinstance(found[number], GenerationStopped) for number in (1, 4))
    assert [found[number][0][0].ids for number in (0, 2, 3)] == [[1], [3], [4]]
