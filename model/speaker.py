"""A context and a voice in, a reply out: the model as the bot and the terminal use it."""

import math
import random
import re
from collections.abc import Mapping, Sequence
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
_RUN = 4


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
        spare: tuple[str, ...] = ()
        for _ in range(_TRIES):
            fresh: dict[tuple[str, ...], list[int]] = {}
            for ids in self.engine.candidates(prompt, forced, self.decoding):
                messages = parse_reply(self.codec.reply_text(voice, ids))
                is_whole = len(ids) < self.decoding.max_new_tokens
                messages = messages if is_whole else _whole_sentences(messages)
                if not _is_sayable(messages):
                    continue
                if is_whole and _is_fresh(messages, said):
                    fresh.setdefault(messages, ids)
                spare = spare or messages
            if fresh:
                return self._fittest(prompt, forced, fresh)
        if spare:
            return spare
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

    def _fittest(
        self,
        prompt: Sequence[int],
        forced: Sequence[int],
        replies: Mapping[tuple[str, ...], Sequence[int]],
    ) -> tuple[str, ...]:
        """Return the reply that the context makes likelier the most, in nats.

        So "I don't know", which fits everywhere, gives way to what fits here (the mutual
        information of Li et al. 2016, arXiv:1510.03055).
        """
        if len(replies) == 1:
            return next(iter(replies))
        count, ids = len(replies), list(replies.values())
        nothing = self.codec.prompt_ids((), self.artifact.card.max_prompt_tokens)
        here = self.engine.scores([prompt] * count, [forced] * count, ids)
        anywhere = self.engine.scores([nothing] * count, [forced] * count, ids)
        gains = [sum(h) - sum(a) for h, a in zip(here, anywhere, strict=True)]
        return max(zip(gains, replies, strict=True))[1]


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


def _is_sayable(messages: tuple[str, ...]) -> bool:
    """Whether a candidate is all words: no bracketed one, no piece of a character."""
    return bool(messages) and all(is_speakable(m) and "\ufffd" not in m for m in messages)


def _is_fresh(messages: tuple[str, ...], said: set[str]) -> bool:
    """Whether a candidate neither repeats what was just said nor goes in circles."""
    repeats = len(set(messages)) < len(messages) or not said.isdisjoint(
        message.casefold() for message in messages
    )
    return not repeats and not _goes_in_circles(" ".join(messages))


def _goes_in_circles(text: str) -> bool:
    """Whether four words in a row come twice."""
    words = text.casefold().split()
    runs = [tuple(words[n : n + _RUN]) for n in range(len(words) - _RUN + 1)]
    return len(set(runs)) < len(runs)


def _whole_sentences(messages: tuple[str, ...]) -> tuple[str, ...]:
    """Return a turn that was cut for its length without its unfinished end, () if all of it is."""
    *whole, last = messages
    ends = [match.end() for match in _SENTENCE_END.finditer(last)]
    return (*whole, last[: ends[-1]]) if ends else tuple(whole)
