"""A context and a voice in, a reply out: the model as the bot and the terminal use it."""

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import ctranslate2

from model.artifact import Artifact, Decoding
from model.eligible import is_speakable
from model.engine import Engine, open_engine
from model.errors import ArtifactError, VoiceError
from model.prompt import parse_reply
from model.tokenizer import Codec, load_codec

_SENTENCE_END = re.compile(r"[.!?…。！？]+(?=\s|$)")
_TRIES = 3
_ECHO_WORDS = 4


@dataclass(frozen=True, slots=True)
class Speaker:
    """A loaded model. Calls block; let one thread make them."""

    artifact: Artifact
    engine: Engine
    codec: Codec
    decoding: Decoding
    chance: random.Random = field(repr=False)

    def reply(self, context: Sequence[str], voice: str) -> tuple[str, ...]:
        """Return the messages of a turn in somebody's voice after these rendered lines.

        Raises:
            VoiceError: Nothing sayable came out of several tries.
        """
        prompt = self.codec.prompt_ids(context, self.artifact.card.max_prompt_tokens)
        forced = self.codec.label_ids(voice)
        said = {line.partition(": ")[2].casefold() for line in context}
        fallback: tuple[str, ...] = ()
        for _ in range(_TRIES):
            for ids in self.engine.candidates(prompt, forced, self.decoding):
                messages = parse_reply(self.codec.reply_text(voice, ids))
                if not _is_good(messages, said):
                    continue
                if len(ids) < self.decoding.max_new_tokens:
                    return messages
                fallback = fallback or _whole_sentences(messages)
        if fallback:
            return fallback
        raise VoiceError(f"{voice} has nothing to say to that")

    def next_voice(self, context: Sequence[str], voices: Sequence[str]) -> str:
        """Draw who speaks next from the model's own distribution over these voices.

        Raises:
            VoiceError: There is nobody to choose from.
        """
        if not voices:
            raise VoiceError("nobody may speak: no voice of this model has agreed")
        prompt = self.codec.prompt_ids(context, self.artifact.card.max_prompt_tokens)
        scores = self.engine.label_scores(prompt, [self.codec.label_ids(name) for name in voices])
        best = max(scores)
        return self.chance.choices(voices, [math.exp(score - best) for score in scores])[0]


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
    try:
        codec = load_codec(artifact.tokenizer)
        engine = open_engine(
            artifact.engine, artifact.card.family, codec, device=device, threads=threads
        )
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise ArtifactError(f"the model in {artifact.path} cannot be loaded: {error}") from error
    return Speaker(artifact, engine, codec, decoding or artifact.card.decoding, random.Random(seed))


def _is_good(messages: tuple[str, ...], said: set[str]) -> bool:
    """Whether a candidate may be spoken: all of it is words, none of it a parrot's."""
    return (
        bool(messages)
        and all(
            is_speakable(text)
            and "\ufffd" not in text
            and not (len(text.split()) >= _ECHO_WORDS and text.casefold() in said)
            for text in messages
        )
        and not _goes_in_circles(" ".join(messages))
    )


def _goes_in_circles(text: str) -> bool:
    """Whether four words in a row come twice."""
    words = text.casefold().split()
    runs = [tuple(words[n : n + _ECHO_WORDS]) for n in range(len(words) - _ECHO_WORDS + 1)]
    return len(set(runs)) < len(runs)


def _whole_sentences(messages: tuple[str, ...]) -> tuple[str, ...]:
    """Return a turn that was cut for its length without its unfinished end, () if all of it is."""
    *whole, last = messages
    ends = [match.end() for match in _SENTENCE_END.finditer(last)]
    return (*whole, last[: ends[-1]]) if ends else tuple(whole)
