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
from model.prompt import LINE_BREAK, own_part, parse_reply, render_reply
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
        spare: tuple[str, ...] = ()
        for _ in range(_TRIES):
            drawn = [
                messages
                for ids in self.engine.candidates(prompt, forced, self.decoding)
                if _is_sayable(messages := self._messages(voice, ids))
            ]
            if fresh := [messages for messages in drawn if _is_fresh(messages, context)]:
                return self._fittest(prompt, voice, list(dict.fromkeys(fresh)))
            spare = spare or next(iter(drawn), ())
        if spare:
            return spare
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
        best = max(scores)
        return self.chance.choices(voices, [math.exp(score - best) for score in scores])[0]

    def _fittest(
        self,
        prompt: Sequence[int],
        voice: str,
        replies: Sequence[tuple[str, ...]],
    ) -> tuple[str, ...]:
        """Return the reply that the context makes likelier the most, in nats.

        So "I don't know", which fits everywhere, gives way to what fits here (the mutual
        information of Li et al. 2016, arXiv:1510.03055).
        """
        if len(replies) == 1:
            return replies[0]
        count, forced = len(replies), self.codec.label_ids(voice)
        ids = [self.codec.reply_ids(voice, render_reply(messages))[1] for messages in replies]
        nothing = self.codec.prompt_ids((), self.artifact.card.max_prompt_tokens)
        here = self.engine.scores([prompt] * count, [forced] * count, ids)
        anywhere = self.engine.scores([nothing] * count, [forced] * count, ids)
        gains = [sum(h) - sum(a) for h, a in zip(here, anywhere, strict=True)]
        return max(zip(gains, replies, strict=True))[1]

    def _messages(self, voice: str, ids: Sequence[int]) -> tuple[str, ...]:
        """Return a candidate's messages, less a sentence that the token limit cut off."""
        text = self.codec.reply_text(voice, ids)
        messages = parse_reply(text)
        is_cut = len(ids) >= self.decoding.max_new_tokens and own_part(text) == text
        return _whole_sentences(messages) if is_cut else messages


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
    return Speaker(artifact, engine, codec, decoding or artifact.card.decoding, random.Random(seed))


def _is_sayable(messages: tuple[str, ...]) -> bool:
    """Whether a candidate is all words: no bracketed one, no piece of a character."""
    return bool(messages) and all(is_speakable(m) and "\ufffd" not in m for m in messages)


def _is_fresh(messages: tuple[str, ...], context: Sequence[str]) -> bool:
    """Whether a candidate neither repeats what was said nor goes in circles.

    A short everyday line may come again, but not right after itself.
    """
    said = [line.partition(": ")[2].replace(LINE_BREAK, "\n").casefold() for line in context]
    stale = {text for text in said if len(text.split()) >= _RUN} | set(said[-1:])
    repeats = any(message.casefold() in stale for message in messages)
    return not repeats and not _goes_in_circles(" ".join(messages))


def _goes_in_circles(text: str) -> bool:
    """Whether four words in a row come twice."""
    words = text.casefold().split()
    runs = [tuple(words[n : n + _RUN]) for n in range(len(words) - _RUN + 1)]
    return len(set(runs)) < len(runs)


def _whole_sentences(messages: tuple[str, ...]) -> tuple[str, ...]:
    """Return a turn that was cut for its length without its unfinished end, () if all of it is."""
    if not messages:
        return ()
    *whole, last = messages
    ends = [match.end() for match in _SENTENCE_END.finditer(last)]
    return (*whole, last[: ends[-1]]) if ends else tuple(whole)
