"""Generate a turn in a voice, or choose who speaks next."""

import logging
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import ctranslate2

from model.artifacts.artifact import Artifact, Decoding
from model.artifacts.tokenizer import Codec, load_codec
from model.chat.names import make_printable
from model.chat.prompt import (
    cut_at_other_speaker,
    parse_reply,
    render_reply,
    split_line,
    strip_own_labels,
)
from model.errors import ArtifactError, VoiceError
from model.speaking.candidates import (
    OpeningError,
    Reply,
    choose_reply,
    clean_opening,
    continues_opening,
    cut_to_sentences,
    find_rejection,
    is_fresh,
    list_speakers,
)
from model.speaking.copy_index import CopyIndex, open_index
from model.speaking.engine import Candidate, Engine, ShouldStop, open_engine, raise_if_stopped

_MIN_TRIES = 3
_MIN_CANDIDATES = 8
"""Minimum number of candidates over all tries; with fewer per try, more tries are made."""

_MAX_CONSECUTIVE_LINES = 2
"""Number of lines in a row after which a voice rests; two turns have at least two lines."""
_CLEAR_MAJORITY = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A loaded model. Calls block, and must come from one thread.

    `rejected` counts the rejected candidates of the last turn, by one of `REJECTIONS`.
    """

    artifact: Artifact
    engine: Engine
    codec: Codec
    decoding: Decoding
    rng: random.Random = field(repr=False)
    copy_index: CopyIndex | None = None
    rejected: Counter[str] = field(default_factory=Counter, repr=False)

    def reply(
        self,
        context: Sequence[str],
        voice: str,
        begins: str = "",
        should_stop: ShouldStop | None = None,
    ) -> tuple[str, ...]:
        """Return the messages of a turn in a voice after these rendered lines.

        With `begins`, the turn begins with these words, and the model continues them.

        Raises:
            GenerationStopped: `should_stop` returned True.
            OpeningError: These opening words are not allowed, see `model.speaking.candidates`.
            VoiceError: No candidate was acceptable after several tries.
        """
        self.rejected.clear()
        prompt = self.codec.prompt_ids(context, self.artifact.card.max_prompt_tokens)
        speakers = list_speakers(context)
        labels = {voice, *self.artifact.card.learned, *speakers}  # names of other speakers' lines
        opening = self._score_opening(
            prompt, voice, clean_opening(begins, labels) if begins else ""
        )
        for _ in range(max(_MIN_TRIES, _MIN_CANDIDATES // self.decoding.candidates)):
            drawn = self.engine.candidates(prompt, opening.forced, self.decoding, should_stop)
            accepted: dict[tuple[str, ...], Reply] = {}
            for candidate in drawn:
                reply = self._parse_candidate(voice, candidate, opening)
                reason = find_rejection(reply.messages, labels)
                if not reason and not continues_opening(reply.messages, opening.words):
                    reason = "opening"
                if not reason and not is_fresh(reply.messages, context):
                    reason = "repeats"
                if not reason and self.copy_index and self.copy_index.contains(reply.messages):
                    reason = "copied"
                if reason:
                    self.rejected[reason] += 1
                else:
                    accepted.setdefault(reply.messages, reply)
            if accepted:
                raise_if_stopped(should_stop)
                # The voices to contrast with: first those in the conversation.
                others = [name for name in self.artifact.card.learned if name != voice]
                others.sort(key=lambda name: name not in speakers)
                names = [voice, *others[: self.decoding.contrast]]
                replies = list(accepted.values())
                return choose_reply(self.engine, self.codec, replies, names, self.decoding).messages
        raise VoiceError(f"{voice} has nothing to say to that: say something else, then try again")

    def turn(
        self,
        context: Sequence[str],
        voices: Sequence[str],
        begins: str = "",
        should_stop: ShouldStop | None = None,
    ) -> tuple[str, tuple[str, ...]]:
        """Return which of `voices` speaks next, and the messages; skip voices without a reply.

        Raises:
            GenerationStopped: `should_stop` returned True.
            OpeningError: These opening words are not allowed.
            VoiceError: None of them has a reply, or `voices` is empty.
        """
        left = list(voices)
        while True:
            voice = self.choose_voice(context, left)
            try:
                return voice, self.reply(context, voice, begins, should_stop)
            except OpeningError:
                raise
            except VoiceError:
                left.remove(voice)
                if not left:
                    raise

    def choose_voice(self, context: Sequence[str], voices: Sequence[str]) -> str:
        """Draw who speaks next from the model's own distribution over these voices.

        Raises:
            VoiceError: `voices` is empty.
        """
        if not voices:
            raise VoiceError("nobody may speak: no voice of this model has agreed")
        prompt = self.codec.prompt_ids(context, self.artifact.card.max_prompt_tokens)
        scores = self.engine.label_scores(prompt, [self.codec.label_ids(name) for name in voices])
        return draw_voice(context, voices, scores, self.rng)

    def _score_opening(self, prompt: Sequence[int], voice: str, words: str) -> "_Opening":
        """Return the forced beginning of a reply: the voice's label, then the required words."""
        if not words:
            return _Opening(self.codec.label_ids(voice))
        label, rest = self.codec.reply_ids(voice, render_reply((words,)))
        [row] = self.engine.scores([prompt], [label], [rest])
        return _Opening([*label, *rest], words, rest, sum(row[:-1]))

    def _parse_candidate(self, voice: str, candidate: Candidate, opening: "_Opening") -> Reply:
        """Return a candidate's messages, without a sentence that the token limit cut off."""
        text = self.codec.reply_text(voice, [*opening.ids, *candidate.ids])
        text = strip_own_labels(text, voice)
        own = cut_at_other_speaker(text)
        messages = parse_reply(own)
        if len(candidate.ids) >= self.decoding.max_new_tokens and own == text:
            messages = cut_to_sentences(messages)
        share = len("\n".join(messages)) / max(1, len(text.strip()))
        return Reply(messages, (opening.score + candidate.score) * min(1.0, share))


@dataclass(frozen=True, slots=True)
class _Opening:
    """The forced beginning of a reply: all its ids, and the required words with ids and score."""

    forced: list[int]
    words: str = ""
    ids: Sequence[int] = ()
    score: float = 0.0


def draw_voice(
    context: Sequence[str],
    voices: Sequence[str],
    scores: Sequence[float],
    rng: random.Random,
) -> str:
    """Draw a voice by its log-probability directly after the context.

    Nobody speaks three turns in a row unless the model finds it likelier than all others together.
    Lines do not show where a turn ends, so a burst of two lines counts as two turns: in the demo
    chat the author of the last two lines takes the next turn in 8 % of the cases.
    """
    names = [split_line(line)[0] for line in reversed(context)]
    consecutive = list(takewhile(lambda name: name == names[0], names))
    resting = names[0] if len(consecutive) >= _MAX_CONSECUTIVE_LINES else None
    best = max(scores)
    weights = [math.exp(score - best) for score in scores]
    allowed = [
        weight if voice != resting or weight / sum(weights) > _CLEAR_MAJORITY else 0.0
        for voice, weight in zip(voices, weights, strict=True)
    ]
    return rng.choices(voices, allowed if any(allowed) else weights)[0]


def open_speaker(
    artifact: Artifact,
    *,
    device: str = "auto",
    threads: int = 1,
    seed: int | None = None,
    decoding: Decoding | None = None,
) -> Speaker:
    """Load an artifact's weights; with a seed, a new process repeats its replies.

    Raises:
        ArtifactError: They cannot be loaded.
    """
    if seed is not None:
        ctranslate2.set_random_seed(seed)
    codec = load_codec(artifact.tokenizer)
    try:
        engine = open_engine(
            artifact.engine, artifact.card.family, codec, device=device, threads=threads
        )
    except (RuntimeError, ValueError) as error:
        raise ArtifactError(
            f"the model in {artifact.path} cannot be loaded on device {device!r} "
            f"({make_printable(str(error))}): try another device, or train again"
        ) from error
    copy_index = None
    if artifact.copy_index.is_file():
        copy_index = open_index(artifact.copy_index)
    else:
        _log.warning(
            "%s has no index of training messages, so replies may copy one. "
            "Add it with `python -m pipeline.training.run`",
            artifact.path.name,
        )
    decoding = decoding or artifact.card.decoding
    return Speaker(artifact, engine, codec, decoding, random.Random(seed), copy_index)
