"""A context and a voice in, a reply out: the model as the bot and the terminal use it."""

import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import ctranslate2

from model.artifact import Artifact, Decoding
from model.copying import LineIndex, open_index
from model.engine import Draw, Engine, open_engine
from model.errors import ArtifactError, VoiceError
from model.prompt import going_on, own_part, parse_reply
from model.ranking import Reply, fittest
from model.sayable import is_fresh, is_sayable, speakers, whole_sentences
from model.tokenizer import Codec, load_codec
from model.turns import draw_voice

_TRIES = 3
_DRAWS = 8  # of one candidate at a time more tries are made, up to as many draws

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A loaded model. Calls block; let one thread make them."""

    artifact: Artifact
    engine: Engine
    codec: Codec
    decoding: Decoding
    chance: random.Random = field(repr=False)
    lines: LineIndex | None = None

    def reply(self, context: Sequence[str], voice: str) -> tuple[str, ...]:
        """Return the messages of a turn in somebody's voice after these rendered lines.

        Raises:
            VoiceError: Nothing sayable came out of several tries.
        """
        prompt = self.codec.prompt_ids(context, self.artifact.card.max_prompt_tokens)
        forced = self.codec.label_ids(voice)
        for _ in range(max(_TRIES, _DRAWS // self.decoding.candidates)):
            drawn = self.engine.candidates(prompt, forced, self.decoding)
            if replies := self._sayable(drawn, context, voice):
                names = self._contrasted(context, voice)
                return fittest(self.engine, self.codec, replies, names, self.decoding).messages
        raise VoiceError(f"{voice} has nothing to say to that: say something else, then try again")

    def turn(self, context: Sequence[str], voices: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """Return who of `voices` speaks next, and what they say; who is speechless is passed over.

        Raises:
            VoiceError: All of them are, or there is nobody to choose from.
        """
        left = list(voices)
        while True:
            voice = self.next_voice(context, left)
            try:
                return voice, self.reply(context, voice)
            except VoiceError:
                left.remove(voice)
                if not left:
                    raise

    def next_voice(self, context: Sequence[str], voices: Sequence[str]) -> str:
        """Draw who speaks next from the model's own distribution over these voices.

        Raises:
            VoiceError: There is nobody to choose from.
        """
        if not voices:
            raise VoiceError("nobody may speak: no voice of this model has agreed")
        prompt = self.codec.prompt_ids(context, self.artifact.card.max_prompt_tokens)
        scores = self.engine.label_scores(prompt, [self.codec.label_ids(name) for name in voices])
        return draw_voice(context, voices, scores, self.chance)

    def _contrasted(self, context: Sequence[str], voice: str) -> list[str]:
        """Return a voice and the few it is told from: first who is in the conversation."""
        here = speakers(context)
        others = [name for name in self.artifact.card.learned if name != voice]
        others.sort(key=lambda name: name not in here)
        return [voice, *others[: self.decoding.contrast]]

    def _sayable(self, drawn: Iterable[Draw], context: Sequence[str], voice: str) -> list[Reply]:
        """Return what of the candidates may be said, each once."""
        names = {voice, *self.artifact.card.learned, *speakers(context)}
        found: dict[tuple[str, ...], Reply] = {}
        for draw in drawn:
            reply = self._reply(voice, draw)
            if (
                is_sayable(reply.messages, names)
                and is_fresh(reply.messages, context)
                and not (self.lines and self.lines.holds(reply.messages))
            ):
                found.setdefault(reply.messages, reply)
        return list(found.values())

    def _reply(self, voice: str, draw: Draw) -> Reply:
        """Return a candidate's messages, less a sentence that the token limit cut off."""
        text = going_on(self.codec.reply_text(voice, draw.ids), voice)
        own = own_part(text)
        messages = parse_reply(own)
        if len(draw.ids) >= self.decoding.max_new_tokens and own == text:
            messages = whole_sentences(messages)
        share = len("\n".join(messages)) / max(1, len(text.strip()))
        return Reply(messages, draw.score * min(1.0, share))


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
            f"the model in {artifact.path} cannot be loaded on device {device!r} ({error}): "
            "try another device, or train again"
        ) from error
    lines = _open_lines(artifact)
    chance = random.Random(seed)
    return Speaker(artifact, engine, codec, decoding or artifact.card.decoding, chance, lines)


def _open_lines(artifact: Artifact) -> LineIndex | None:
    if artifact.lines.is_file():
        return open_index(artifact.lines)
    _log.warning(
        "%s has no index of training messages: replies may repeat one whole. "
        "Add it with `python -m pipeline.lines`",
        artifact.path.name,
    )
    return None
