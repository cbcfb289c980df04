"""Generate the replies that the scorecard measures."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from model.artifacts.artifact import Artifact
from model.speaking.speaker import Ask, open_speaker
from pipeline.evaluation.heldout import Answer, HeldOutTurn, silence_voice, take_turns
from pipeline.evaluation.scorecard import COLD, GENERATED

_SHARDS = 2  # parallel speakers; fixed, because sampled replies depend on the number
_BATCH = 4
"""Requests drawn together; with more, copying their attention caches costs more than it saves."""

_FULL_MINUTES, _MIN_REPLIES = 5.0, 3
"""Minutes of training from which a size is used in full, and the fewest replies per voice."""
_REPLY_TOKENS, _SCORED_TOKENS, _FIT_TOKENS = 1_200, 700, 2_400
"""The cost of a generated reply, of a scored turn and of its fit, in tokens that a model reads."""

OnStep = Callable[[], None]
"""Called after each reply or turn."""
ShowProgress = Callable[[str, int], AbstractContextManager[OnStep]]
"""Shows a progress bar with a title and a number of steps."""


@dataclass(frozen=True, slots=True)
class Size:
    """Sample sizes of an evaluation, per voice.

    `replies` and `cold` count the replies in these two arms, `scored` the real turns whose
    likelihood and fit are measured. Without `with_fit` nothing is scored under an untuned base: the
    scorecard has no fit and no real-or-generated classifier, which needs it.
    """

    replies: int
    cold: int
    scored: int
    quick: bool = False
    with_fit: bool = True

    def with_replies(self, replies: int) -> "Size":
        """Return a size with this number of replies for each voice, other counts in proportion."""

        def scaled(count: int) -> int:
            return max(1, round(count * replies / self.replies)) if count else 0

        return replace(
            self,
            replies=replies,
            cold=scaled(self.cold),
            scored=scaled(self.scored),
        )

    def for_minutes(self, minutes: float) -> "Size":
        """Return a smaller size after less than five minutes of training.

        A full size stays as it is. Fewer replies are enough to judge such a version.
        """
        if not self.quick or not 0 < minutes < _FULL_MINUTES:
            return self
        return self.with_replies(max(_MIN_REPLIES, round(self.replies * minutes / _FULL_MINUTES)))

    def count_tokens(self, voices: int) -> float:
        """Return what an evaluation costs, in tokens that the model reads."""
        replies = self.replies + self.cold
        scored = self.scored * (_SCORED_TOKENS + (_FIT_TOKENS if self.with_fit else 0))
        return voices * (replies * _REPLY_TOKENS + scored)


def generate_answers(
    artifact: Artifact,
    turns: Sequence[HeldOutTurn],
    size: Size,
    seed: int,
    show_progress: ShowProgress,
) -> dict[str, tuple[Answer, ...]]:
    """Reply to real turns as they are, and cold: without the voice's own lines in view."""
    silenced = filter(None, map(silence_voice, turns))
    arms = {
        GENERATED: ("Generating replies", take_turns(turns, size.replies)),
        COLD: ("Generating replies without the voice's own lines", take_turns(silenced, size.cold)),
    }
    found = {}
    for arm, (title, asked) in arms.items():
        with show_progress(title, len(asked)) as on_step:
            answered = _answer_turns(artifact, asked, seed, on_step) if asked else ()
        if answered or arm == GENERATED:
            found[arm] = answered
    return found


def _answer_turns(
    artifact: Artifact, asked: Sequence[HeldOutTurn], seed: int, on_step: OnStep
) -> tuple[Answer, ...]:
    """Reply to turns, several at a time; prompts of equal length together are fastest."""
    speakers = [open_speaker(artifact, seed=seed) for _ in range(_SHARDS)]
    codec, limit = speakers[0].codec, artifact.card.max_prompt_tokens
    lengths = [
        len(codec.prompt_ids(turn.context, limit)) + len(codec.label_ids(turn.voice))
        for turn in asked
    ]
    order = sorted(range(len(asked)), key=lengths.__getitem__)
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]

    def answer(shard: int) -> dict[int, Answer]:
        found, speaker = {}, speakers[shard]
        for batch in batches[shard::_SHARDS]:
            asks = [Ask(asked[n].context, asked[n].voice) for n in batch]
            for number, messages in zip(batch, speaker.replies(asks), strict=True):
                found[number] = Answer(asked[number], messages)
                on_step()
        return found

    with ThreadPoolExecutor(_SHARDS) as pool:
        found = {n: one for own in pool.map(answer, range(_SHARDS)) for n, one in own.items()}
    return tuple(found[number] for number in range(len(asked)))
