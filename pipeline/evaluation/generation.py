"""Generate the replies that the scorecard measures, and their losses."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from model.artifacts.artifact import Artifact, Decoding
from model.errors import VoiceError
from model.speaking.speaker import open_speaker
from pipeline.evaluation.heldout import Answer, Turn, map_to_next_voice
from pipeline.evaluation.likelihood import Cost, compute_costs, repeat_under_names
from pipeline.evaluation.scorecard import BASE, GENERATED, SWAPPED, UNRANKED, Measured

_SHARDS = 2  # parallel speakers; fixed, because sampled replies depend on the number

OnStep = Callable[[], None]
"""Called after each reply or turn."""
ShowProgress = Callable[[str, int], AbstractContextManager[OnStep]]
"""Shows a progress bar with a title and a number of steps."""


@dataclass(frozen=True, slots=True)
class Size:
    """Replies generated for each voice in each condition, and real turns scored for each voice."""

    generated: int
    unranked: int
    swapped: int
    base: int
    scored: int
    quick: bool = False

    def with_lines(self, lines: int) -> "Size":
        """Return a size with `lines` replies for each voice, other counts in proportion."""

        def scaled(count: int) -> int:
            return max(1, round(count * lines / self.generated))

        return Size(
            generated=lines,
            unranked=scaled(self.unranked),
            swapped=scaled(self.swapped),
            base=scaled(self.base),
            scored=scaled(self.scored),
            quick=self.quick,
        )

    def with_replies(self, replies: int, voices: int) -> "Size":
        """Return a size with at least `replies` replies of the tuned model over all voices.

        The additional ones are unranked, which are the cheapest.
        """
        each = -(-replies // max(1, voices))
        more = max(0, each - self.generated - self.unranked - self.swapped)
        return replace(self, unranked=self.unranked + more)

    @property
    def turns_per_voice(self) -> int:
        """Return the number of real turns needed for each voice."""
        return max(self.generated, self.unranked, self.swapped, self.base, self.scored)


def take_first(turns: Sequence[Turn], per_voice: int) -> tuple[Turn, ...]:
    """Return the first `per_voice` turns of each voice, in their order."""
    taken: dict[str, int] = {}
    kept = []
    for turn in turns:
        taken[turn.voice] = taken.get(turn.voice, 0) + 1
        if taken[turn.voice] <= per_voice:
            kept.append(turn)
    return tuple(kept)


def generate_answers(
    tuned: Artifact,
    base: Artifact,
    asked: Sequence[Turn],
    size: Size,
    seed: int,
    show_progress: ShowProgress,
) -> dict[str, tuple[Answer, ...]]:
    """Generate replies in four conditions: ranked, one candidate, another voice, untuned base."""
    ranked = tuned.card.decoding
    one = replace(ranked, candidates=1)
    names = sorted({turn.voice for turn in asked})
    own = {name: name for name in names}
    after = map_to_next_voice(names)
    plans = {
        GENERATED: (f"Replies, best of {ranked.candidates}", tuned, ranked, size.generated, own),
        UNRANKED: ("Replies, one candidate", tuned, one, size.unranked, own),
        SWAPPED: ("Replies in another voice", tuned, one, size.swapped, after),
        BASE: ("Replies of the untuned base", base, one, size.base, own),
    }
    arms = {}
    for arm, (title, artifact, decoding, count, speaks_as) in plans.items():
        asks = [(turn, speaks_as[turn.voice]) for turn in take_first(asked, count)]
        with show_progress(title, len(asks)) as on_step:
            arms[arm] = tuple(_answer_turns(artifact, decoding, asks, seed, on_step))
    return arms


def measure_losses(
    tuned: Artifact,
    base: Artifact,
    turns: tuple[Turn, ...],
    voices: Sequence[str],
    show_progress: ShowProgress,
) -> Measured:
    """Return the losses of real turns under every name, without context, and under the base."""
    named = repeat_under_names(turns, voices)
    with show_progress("Real turns under every name", len(named)) as on_step:
        names = measure_costs(tuned, named, on_step)
    with show_progress("Real turns without context", len(turns)) as on_step:
        alone = measure_costs(tuned, [replace(turn, context=()) for turn in turns], on_step)
    with show_progress("Real turns by the untuned base", len(turns)) as on_step:
        untuned = measure_costs(base, turns, on_step)
    own = tuple(
        names[number * len(voices) + voices.index(turn.voice)] for number, turn in enumerate(turns)
    )
    return Measured(turns, own, untuned, alone, names)


def measure_costs(artifact: Artifact, turns: Sequence[Turn], on_step: OnStep) -> tuple[Cost, ...]:
    """Return the loss of each turn under its voice's name."""
    speakers = [open_speaker(artifact) for _ in range(_SHARDS)]
    limit = artifact.card.max_prompt_tokens

    def score(shard: int) -> list[Cost]:
        own, speaker, costs = turns[shard::_SHARDS], speakers[shard], []
        for cost in compute_costs(speaker.engine, speaker.codec, own, limit):
            costs.append(cost)
            on_step()
        return costs

    return tuple(_run_shards(score))


def _answer_turns(
    artifact: Artifact,
    decoding: Decoding,
    asks: Sequence[tuple[Turn, str]],
    seed: int,
    on_step: OnStep,
) -> list[Answer]:
    """Reply to the context of each turn as the name paired with it."""
    speakers = [open_speaker(artifact, seed=seed, decoding=decoding) for _ in range(_SHARDS)]

    def answer(shard: int) -> list[Answer]:
        found = []
        for turn, name in asks[shard::_SHARDS]:
            try:
                messages = speakers[shard].reply(turn.context, name)
            except VoiceError:
                messages = ()
            found.append(Answer(turn, messages))
            on_step()
        return found

    return _run_shards(answer)


def _run_shards(work: Callable[[int], list[Any]]) -> list[Any]:
    """Run the shards in parallel and interleave their results again."""
    with ThreadPoolExecutor(_SHARDS) as pool:
        parts = list(pool.map(work, range(_SHARDS)))
    merged: list[Any] = [None] * sum(map(len, parts))
    for shard, part in enumerate(parts):
        merged[shard::_SHARDS] = part
    return merged
