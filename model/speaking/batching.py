"""Draw candidates for several callers at once, as the workers of `model.serving` do."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event

from model.artifacts.artifact import Decoding
from model.errors import GenerationStopped
from model.speaking.engine import Candidate, Engine, GenerationRequest


@dataclass(frozen=True, slots=True)
class CandidateCall:
    """One caller's requests.

    Nobody is waiting for them after `deadline` (of the monotonic clock), or when `is_given_up` is
    set.
    """

    version: str
    engine: Engine
    requests: Sequence[GenerationRequest]
    decoding: Decoding
    deadline: float
    is_given_up: Event = field(default_factory=Event)

    @property
    def is_over(self) -> bool:
        """Whether nobody is waiting any more."""
        return self.is_given_up.is_set() or time.monotonic() > self.deadline


def draw_together(
    calls: Sequence[CandidateCall],
) -> list[list[list[Candidate]] | GenerationStopped]:
    """Return each call's candidates, or why there are none.

    Calls with the same version and settings are drawn together, while anybody waits for them.
    """
    groups: dict[tuple[str, Decoding], list[int]] = defaultdict(list)
    found: dict[int, list[list[Candidate]] | GenerationStopped] = {}
    for number, call in enumerate(calls):
        if call.is_over:
            found[number] = GenerationStopped("nobody is waiting for this any more")
        else:
            groups[call.version, call.decoding].append(number)
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
    return group[0].engine.candidates(
        requests, group[0].decoding, lambda: all(call.is_over for call in group)
    )
