"""A model's part of the evidence: it speaks in four arms, and real turns are scored under it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from model.artifact import Artifact, Decoding
from model.errors import VoiceError
from model.evaluation.likelihood import Cost, costs, without_context
from model.evaluation.right_voice import under_every_name
from model.evaluation.scorecard import BASE, GENERATED, SWAPPED, UNRANKED, Measured
from model.evaluation.turns import Answer, Turn, next_voices
from model.speaker import open_speaker

_SHARDS = 2  # so many speakers at once, whatever the machine: their replies depend on it

Told = Callable[[], None]
"""Called for each reply or turn that is done."""
Watch = Callable[[str, int], AbstractContextManager[Told]]
"""Shows work of this title and so many steps while it goes on."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many replies each voice gives in each arm, and how many of its real turns are scored."""

    generated: int
    unranked: int
    swapped: int
    base: int
    scored: int
    quick: bool = False

    def with_lines(self, lines: int) -> "Size":
        """Return a size of so many replies a voice, the other arms in proportion."""

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

    def speaking(self, replies: int, voices: int) -> "Size":
        """Return a size in which the tuned model gives so many replies, the cheap ones more."""
        each = -(-replies // max(1, voices))
        more = max(0, each - self.generated - self.unranked - self.swapped)
        return replace(self, unranked=self.unranked + more)

    @property
    def most(self) -> int:
        """Return how many real turns of a voice the largest part needs."""
        return max(self.generated, self.unranked, self.swapped, self.base, self.scored)


def first(turns: Sequence[Turn], per_voice: int) -> tuple[Turn, ...]:
    """Return the first so many turns of each voice, in their order."""
    taken: dict[str, int] = {}
    kept = []
    for turn in turns:
        taken[turn.voice] = taken.get(turn.voice, 0) + 1
        if taken[turn.voice] <= per_voice:
            kept.append(turn)
    return tuple(kept)


def speak(
    tuned: Artifact, base: Artifact, asked: Sequence[Turn], size: Size, seed: int, watch: Watch
) -> dict[str, tuple[Answer, ...]]:
    """Let the tuned model speak, ranked, with one candidate and as the next voice, and the base."""
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
    tuned: Artifact, base: Artifact, turns: tuple[Turn, ...], voices: Sequence[str], watch: Watch
) -> Measured:
    """Return what real turns cost under every name, without context, and the base."""
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


def cost(artifact: Artifact, turns: Sequence[Turn], told: Told) -> tuple[Cost, ...]:
    """Return what turns cost a model under their voices' names."""
    speakers = [open_speaker(artifact) for _ in range(_SHARDS)]
    limit = artifact.card.max_prompt_tokens

    def found(shard: int) -> list[Cost]:
        own = turns[shard::_SHARDS]
        costed = []
        for each in costs(speakers[shard].engine, speakers[shard].codec, own, limit):
            costed.append(each)
            told()
        return costed

    return tuple(_woven(found))


def _answers(
    artifact: Artifact, decoding: Decoding, asks: Sequence[tuple[Turn, str]], seed: int, told: Told
) -> list[Answer]:
    """Return the answers to turns' contexts, each as the name beside it."""
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

    return _woven(answered)


def _woven(work: Callable[[int], list[Any]]) -> list[Any]:
    """Run the shards side by side and return their results in the order they were dealt in."""
    with ThreadPoolExecutor(_SHARDS) as pool:
        parts = list(pool.map(work, range(_SHARDS)))
    whole: list[Any] = [None] * sum(map(len, parts))
    for shard, part in enumerate(parts):
        whole[shard::_SHARDS] = part
    return whole
