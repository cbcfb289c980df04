"""Generate the replies that the scorecard measures, and their losses."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from model.artifacts.artifact import Artifact, Decoding
from model.errors import VoiceError
from model.speaking.speaker import open_speaker
from pipeline.evaluation.heldout import Answer, Turn, next_voices
from pipeline.evaluation.likelihood import Cost, costs, under_every_name, without_context
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


def first(turns: Sequence[Turn], per_voice: int) -> tuple[Turn, ...]:
    """Return the first `per_voice` turns of each voice, in their order."""
    taken: dict[str, int] = {}
    kept = []
    for turn in turns:
        taken[turn.voice] = taken.get(turn.voice, 0) + 1
        if taken[turn.voice] <= per_voice:
            kept.append(turn)
    return tuple(kept)


def speak(
    tuned: Artifact,
    base: Artifact,
    asked: Sequence[Turn],
    size: Size,
    seed: int,
    watch: ShowProgress,
) -> dict[str, tuple[Answer, ...]]:
    """Generate replies in four conditions: ranked, one candidate, another voice, untuned base."""
    ranked = tuned.card.decoding
    one = replace(ranked, candidates=1)
    names = sorted({turn.voice for turn in asked})
    own = {name: name for name in names}
    after = next_voices(names)
    plans = {
        GENERATED: (f"Replies, best of {ranked.candidates}", tuned, ranked, size.generated, own),
        UNRANKED: ("Replies, the first that comes", tuned, one, size.unranked, own),
        SWAPPED: ("Replies in somebody else's voice", tuned, one, size.swapped, after),
        BASE: ("Replies of the untuned base", base, one, size.base, own),
    }
    arms = {}
    for arm, (title, artifact, decoding, count, speaks_as) in plans.items():
        asks = [(turn, speaks_as[turn.voice]) for turn in first(asked, count)]
        with watch(title, len(asks)) as told:
            arms[arm] = tuple(_answers(artifact, decoding, asks, seed, told))
    return arms


def measure(
    tuned: Artifact,
    base: Artifact,
    turns: tuple[Turn, ...],
    voices: Sequence[str],
    watch: ShowProgress,
) -> Measured:
    """Return the losses of real turns under every name, without context, and under the base."""
    named = under_every_name(turns, voices)
    with watch("Real turns under every name", len(named)) as told:
        names = cost(tuned, named, told)
    with watch("Real turns without context", len(turns)) as told:
        alone = cost(tuned, without_context(turns), told)
    with watch("Real turns by the untuned base", len(turns)) as told:
        untuned = cost(base, turns, told)
    own = tuple(
        names[number * len(voices) + voices.index(turn.voice)] for number, turn in enumerate(turns)
    )
    return Measured(turns, own, untuned, alone, names)


def cost(artifact: Artifact, turns: Sequence[Turn], told: OnStep) -> tuple[Cost, ...]:
    """Return the loss of each turn under its voice's name."""
    speakers = [open_speaker(artifact) for _ in range(_SHARDS)]
    limit = artifact.card.max_prompt_tokens

    def found(shard: int) -> list[Cost]:
        own = turns[shard::_SHARDS]
        costed = []
        for each in costs(speakers[shard].engine, speakers[shard].codec, own, limit):
            costed.append(each)
            told()
        return costed

    return tuple(_run_shards(found))


def _answers(
    artifact: Artifact,
    decoding: Decoding,
    asks: Sequence[tuple[Turn, str]],
    seed: int,
    told: OnStep,
) -> list[Answer]:
    """Reply to the context of each turn as the name paired with it."""
    speakers = [open_speaker(artifact, seed=seed, decoding=decoding) for _ in range(_SHARDS)]

    def answered(shard: int) -> list[Answer]:
        found = []
        for turn, name in asks[shard::_SHARDS]:
            try:
                messages = speakers[shard].reply(turn.context, name)
            except VoiceError:
                messages = ()
            found.append(Answer(turn, messages))
            told()
        return found

    return _run_shards(answered)


def _run_shards(work: Callable[[int], list[Any]]) -> list[Any]:
    """Run the shards in parallel and interleave their results again."""
    with ThreadPoolExecutor(_SHARDS) as pool:
        parts = list(pool.map(work, range(_SHARDS)))
    merged: list[Any] = [None] * sum(map(len, parts))
    for shard, part in enumerate(parts):
        merged[shard::_SHARDS] = part
    return merged
