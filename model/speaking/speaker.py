"""Generate a turn in a voice, or choose who speaks next."""

import logging
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
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

_ROW = 2
"""Lines in a row after which somebody rests: as many as two turns have at least."""
_LIKELY = 0.5


def draw_voice(
    context: Sequence[str],
    voices: Sequence[str],
    scores: Sequence[float],
    chance: random.Random,
) -> str:
    """Draw a voice by its log-probability right after the context.

    Nobody speaks three turns in a row unless the model finds it likelier than all else together.
    """
    best = max(scores)
    weights = [math.exp(score - best) for score in scores]
    tired = _tired(context)
    rested = [
        weight if voice != tired or weight / sum(weights) > _LIKELY else 0.0
        for voice, weight in zip(voices, weights, strict=True)
    ]
    return chance.choices(voices, rested if any(rested) else weights)[0]


def _tired(context: Sequence[str]) -> str | None:
    """Return who said the last two lines, None if two people did.

    Lines do not say where a turn ends, so a burst of two counts as two turns: in the demo chat
    who has just said two lines or more takes the next turn in 8 % of the cases.
    """
    names = [split_line(line)[0] for line in reversed(context)]
    row = list(takewhile(lambda name: name == names[0], names))
    return names[0] if len(row) >= _ROW else None


_TRIES = 3
_DRAWS = 8  # of one candidate at a time more tries are made, up to as many draws

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A loaded model. Calls block; let one thread make them.

    `rejected` counts the rejected candidates of the last turn, by one of `REJECTIONS`.
    """

    artifact: Artifact
    engine: Engine
    codec: Codec
    decoding: Decoding
    chance: random.Random = field(repr=False)
    copy_index: CopyIndex | None = None
    rejected: Counter[str] = field(default_factory=Counter, repr=False)

    def reply(
        self,
        context: Sequence[str],
        voice: str,
        begins: str = "",
        should_stop: ShouldStop | None = None,
    ) -> tuple[str, ...]:
        """Return the messages of a turn in somebody's voice after these rendered lines.

        With `begins`, the turn starts with these words, and the model continues them.

        Raises:
            GenerationStopped: `should_stop` returned True.
            OpeningError: These opening words are not allowed, see `model.speaking.candidates`.
            VoiceError: No candidate was acceptable after several tries.
        """
        self.rejected.clear()
        prompt = self.codec.prompt_ids(context, self.artifact.card.max_prompt_tokens)
        begun = self._begun(context, voice, prompt, begins)
        for _ in range(max(_TRIES, _DRAWS // self.decoding.candidates)):
            drawn = self.engine.candidates(prompt, begun.forced, self.decoding, should_stop)
            if replies := self._sayable(drawn, context, voice, begun):
                raise_if_stopped(should_stop)
                names = self._contrasted(context, voice)
                return choose_reply(self.engine, self.codec, replies, names, self.decoding).messages
        raise VoiceError(f"{voice} has nothing to say to that: say something else, then try again")

    def turn(
        self,
        context: Sequence[str],
        voices: Sequence[str],
        begins: str = "",
        should_stop: ShouldStop | None = None,
    ) -> tuple[str, tuple[str, ...]]:
        """Return which of `voices` speaks next, and what they say; skip voices without a reply.

        Raises:
            GenerationStopped: `should_stop` returned True.
            OpeningError: These opening words are not allowed.
            VoiceError: None of them has a reply, or there is nobody to choose from.
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
            VoiceError: There is nobody to choose from.
        """
        if not voices:
            raise VoiceError("nobody may speak: no voice of this model has agreed")
        prompt = self.codec.prompt_ids(context, self.artifact.card.max_prompt_tokens)
        scores = self.engine.label_scores(prompt, [self.codec.label_ids(name) for name in voices])
        return draw_voice(context, voices, scores, self.chance)

    def _begun(
        self, context: Sequence[str], voice: str, prompt: Sequence[int], begins: str
    ) -> "_Begun":
        """Return what the decoder is forced to begin with: the voice, and words put after it."""
        if not begins:
            return _Begun(self.codec.label_ids(voice))
        words = clean_opening(begins, self._names(context, voice))
        label, rest = self.codec.reply_ids(voice, render_reply((words,)))
        [row] = self.engine.scores([prompt], [label], [rest])
        return _Begun([*label, *rest], words, rest, sum(row[:-1]))

    def _names(self, context: Sequence[str], voice: str) -> set[str]:
        """Return all names that would be another speaker's label in a reply."""
        return {voice, *self.artifact.card.learned, *list_speakers(context)}

    def _contrasted(self, context: Sequence[str], voice: str) -> list[str]:
        """Return a voice and the few it is told from: first who is in the conversation."""
        here = list_speakers(context)
        others = [name for name in self.artifact.card.learned if name != voice]
        others.sort(key=lambda name: name not in here)
        return [voice, *others[: self.decoding.contrast]]

    def _sayable(
        self, drawn: Iterable[Candidate], context: Sequence[str], voice: str, begun: "_Begun"
    ) -> list[Reply]:
        """Return what of the candidates may be said, each once."""
        names = self._names(context, voice)
        found: dict[tuple[str, ...], Reply] = {}
        for draw in drawn:
            reply = self._reply(voice, draw, begun)
            if reason := self._why_rejected(reply.messages, context, names, begun):
                self.rejected[reason] += 1
            else:
                found.setdefault(reply.messages, reply)
        return list(found.values())

    def _why_rejected(
        self, messages: Sequence[str], context: Sequence[str], names: Iterable[str], begun: "_Begun"
    ) -> str:
        """Return which of `REJECTIONS` applies to a candidate, or ""."""
        if reason := find_rejection(messages, names):
            return reason
        if not continues_opening(messages, begun.words):
            return "opening"
        if not is_fresh(messages, context):
            return "repeats"
        return "copied" if self.copy_index and self.copy_index.contains(messages) else ""

    def _reply(self, voice: str, draw: Candidate, begun: "_Begun") -> Reply:
        """Return a candidate's messages, less a sentence that the token limit cut off."""
        text = strip_own_labels(self.codec.reply_text(voice, [*begun.ids, *draw.ids]), voice)
        own = cut_at_other_speaker(text)
        messages = parse_reply(own)
        if len(draw.ids) >= self.decoding.max_new_tokens and own == text:
            messages = cut_to_sentences(messages)
        share = len("\n".join(messages)) / max(1, len(text.strip()))
        return Reply(messages, (begun.score + draw.score) * min(1.0, share))


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a reply begins with: the ids forced, and of its own words the ids and how likely."""

    forced: list[int]
    words: str = ""
    ids: Sequence[int] = ()
    score: float = 0.0


def open_speaker(
    artifact: Artifact,
    *,
    device: str = "auto",
    threads: int = 1,
    seed: int | None = None,
    decoding: Decoding | None = None,
) -> Speaker:
    """Load an artifact's weights; with a seed a fresh process repeats itself.

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
    lines = _open_lines(artifact)
    chance = random.Random(seed)
    return Speaker(artifact, engine, codec, decoding or artifact.card.decoding, chance, lines)


def _open_lines(artifact: Artifact) -> CopyIndex | None:
    if artifact.copy_index.is_file():
        return open_index(artifact.copy_index)
    _log.warning(
        "%s has no index of training messages: replies may repeat one whole. "
        "Add it with `python -m pipeline.training.run`",
        artifact.path.name,
    )
    return None
