"""Draw candidates for several callers at once, as the workers of `model.serving` do."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from model.artifacts.artifact import Decoding
from model.errors import GenerationStopped
from model.speaking.engine import Candidate, Engine, Request


@dataclass(frozen=True, slots=True)
class CandidateCall:
    """One caller's requests; nobody waits for them after `deadline` (of the monotonic clock)."""

    version: str
    engine: Engine
    requests: Sequence[Request]
    decoding: Decoding
    deadline: float


def draw_together(
    calls: Sequence[CandidateCall],
) -> list[list[list[Candidate]] | GenerationStopped]:
    """Return each call's candidates, or why there are none.

    Calls with the same version and settings are drawn together, until their latest deadline.
    """
    groups: dict[tuple[str, Decoding], list[int]] = defaultdict(list)
    for number, call in enumerate(calls):
        groups[call.version, call.decoding].append(number)
    found: dict[int, list[list[Candidate]] | GenerationStopped] = {}
    for numbers in groups.values():
        group = [calls[number] for number in numbers]
        try:
            drawn = iter(_draw(group))
        except GenerationStopped as error:
            found |= dict.fromkeys(numbers, error)
        else:
            for number, call in zip(numbers, group, strict=True):
                found[number] = [next(drawn) for _ in call.requests]
    return [found[number] for number in range(len(calls))]


def _draw(group: Sequence[CandidateCall]) -> list[list[Candidate]]:
    requests = [request for call in group for request in call.requests]
    deadline = max(call.deadline for call in group)
    return group[0].engine.candidates(requests, group[0].decoding, partial(_is_past, deadline))


def _is_past(deadline: float) -> bool:
    return time.monotonic() > deadline
