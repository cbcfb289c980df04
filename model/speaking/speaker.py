"""Generate a turn in a voice, or choose who speaks next."""

import logging
import math
import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

import ctranslate2

from model.artifacts.artifact import Artifact, Decoding
from model.artifacts.tokenizer import Codec, load_codec
from model.chat.names import make_printable
from model.chat.prompt import parse_reply, split_line
from model.errors import ArtifactError, VoiceError
from model.speaking.candidates import (
    OpeningError,
    ScoredReply,
    choose_reply,
    clean_opening,
    continues_opening,
    cut_to_sentences,
    find_rejection,
    is_fresh,
    list_speakers,
)
from model.speaking.copy_index import CopyIndex, open_index
from model.speaking.engine import (
    Candidate,
    Engine,
    GenerationRequest,
    ShouldStop,
    open_engine,
    raise_if_stopped,
)
from model.speaking.voice_classifier import VoiceTable, read_table

_MIN_TRIES = 3
_MIN_CANDIDATES = 8
"""Minimum number of candidates over all tries; with fewer per try, more tries are made."""

_MAX_CONSECUTIVE_LINES = 2
"""Number of lines in a row after which a voice rests; two turns have at least two lines."""
_CLEAR_MAJORITY = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for one turn: the rendered lines before it, its voice, and its opening words."""

    context: tuple[str, ...]
    voice: str
    begins: str = ""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A loaded model. Calls block. Each thread needs its own; `fork` makes one.

    `rejected` counts the rejected candidates of the last turn, by one of `REJECTIONS`; `drawn`
    counts all of its candidates' tokens, as "tokens".
    """

    artifact: Artifact
    engine: Engine
    codec: Codec
    decoding: Decoding
    rng: random.Random = field(repr=False)
    copy_index: CopyIndex | None = None
    voice_table: VoiceTable | None = field(default=None, repr=False)
    rejected: Counter[str] = field(default_factory=Counter, repr=False)
    drawn: Counter[str] = field(default_factory=Counter, repr=False)

    @property
    def tokens(self) -> int:
        """Return the number of tokens of all candidates of the last turn."""
        return self.drawn["tokens"]

    def fork(self) -> "Speaker":
        """Return a speaker with the same weights for another thread."""
        rng = random.Random(self.rng.random())
        return replace(self, rng=rng, rejected=Counter(), drawn=Counter())

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
        [messages] = self.replies([Ask(tuple(context), voice, begins)], should_stop)
        if not messages:
            raise VoiceError(
                f"{voice} has nothing to say to that: say something else, then try again"
            )
        return messages

    def replies(
        self, asks: Sequence[Ask], should_stop: ShouldStop | None = None
    ) -> list[tuple[str, ...]]:
        """Return the messages of a turn for each request, drawn together; empty without a reply.

        Raises:
            GenerationStopped: `should_stop` returned True.
            OpeningError: The opening words of a request are not allowed.
        """
        found: list[tuple[str, ...]] = []
        for ask, own in zip(asks, self.candidates(asks, should_stop), strict=True):
            raise_if_stopped(should_stop)
            found.append(self.choose(ask.voice, own))
        return found

    def choose(self, voice: str, replies: Sequence[ScoredReply]) -> tuple[str, ...]:
        """Return the messages of the best of these candidates; empty without a candidate."""
        if not replies:
            return ()
        table = self.voice_table
        return choose_reply(self.engine, self.codec, replies, voice, self.decoding, table).messages

    def candidates(
        self, asks: Sequence[Ask], should_stop: ShouldStop | None = None
    ) -> list[list[ScoredReply]]:
        """Return the acceptable candidates for each request, drawn together; several tries.

        Raises:
            GenerationStopped: `should_stop` returned True.
            OpeningError: The opening words of a request are not allowed.
        """
        self.rejected.clear()
        self.drawn.clear()
        found: list[list[ScoredReply]] = [[] for _ in asks]
        prepared = [self._prepare(ask) for ask in asks]
        for _ in range(max(_MIN_TRIES, _MIN_CANDIDATES // self.decoding.candidates)):
            left = [number for number, own in enumerate(found) if not own]
            if not left:
                break
            requests = [prepared[number].request for number in left]
            drawn = self.engine.candidates(requests, self.decoding, should_stop)
            for number, own in zip(left, drawn, strict=True):
                self.drawn["tokens"] += sum(len(candidate.ids) for candidate in own)
                found[number] = self._accept(prepared[number], own)
        return found

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
            raise VoiceError(
                "there is no voice to use: nobody in this model has agreed to be imitated"
            )
        prompt = self.codec.prompt_ids(context, self.artifact.card.max_prompt_tokens)
        labels = [self.codec.label_ids(name) for name in voices]
        scores = list(map(sum, self.engine.scores(prompt, (), labels)))
        return draw_voice(context, voices, scores, self.rng)

    def _prepare(self, ask: Ask) -> "_PreparedAsk":
        """Encode a request, and list the names that its reply must not use as a label."""
        prompt = self.codec.prompt_ids(ask.context, self.artifact.card.max_prompt_tokens)
        labels = {ask.voice, *self.artifact.card.learned, *list_speakers(ask.context)}
        label = self.codec.label_ids(ask.voice)
        if not (words := clean_opening(ask.begins, labels) if ask.begins else ""):
            return _PreparedAsk(ask, GenerationRequest(prompt, label, label), labels)
        begun = self.codec.reply_ids(ask.voice, (words,))
        [row] = self.engine.scores(prompt, label, [begun.ids])
        request = GenerationRequest(prompt, [*label, *begun.ids], label)
        return _PreparedAsk(ask, request, labels, words, begun.ids, sum(row))

    def _accept(self, prepared: "_PreparedAsk", drawn: Iterable[Candidate]) -> list[ScoredReply]:
        """Return the candidates that may be sent, each once, and count the others by reason."""
        context, accepted = prepared.ask.context, dict[tuple[str, ...], ScoredReply]()
        for candidate in drawn:
            ids = [*prepared.opening_ids, *candidate.ids]
            messages = parse_reply(
                prepared.ask.voice, self.codec.reply_text(prepared.ask.voice, ids)
            )
            if not candidate.is_complete:
                messages = cut_to_sentences(messages)
            reason = find_rejection(messages, prepared.labels)
            if not reason and not continues_opening(messages, prepared.opening):
                reason = "opening"
            if not reason and not is_fresh(messages, context):
                reason = "repeats"
            if not reason and self.copy_index and self.copy_index.contains(messages):
                reason = "copied"
            if reason:
                self.rejected[reason] += 1
            else:
                score = prepared.opening_score + candidate.score
                accepted.setdefault(messages, ScoredReply(messages, score))
        return list(accepted.values())


@dataclass(frozen=True, slots=True)
class _PreparedAsk:
    """A request as ids; `labels` are names that the reply must not use before a colon.

    The reply begins with the words `opening`, if there are any.
    """

    ask: Ask
    request: GenerationRequest
    labels: Collection[str]
    opening: str = ""
    opening_ids: Sequence[int] = ()
    opening_score: float = 0.0


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
    workers: int = 1,
    seed: int | None = None,
    decoding: Decoding | None = None,
    server: str | None = None,
) -> Speaker:
    """Load an artifact's weights; with a seed, a new process repeats its replies.

    Up to `workers` speakers with these weights can generate at once; only one repeats its replies.
    With the address of a `server`, the server generates replies (see `model.speaking.client`).

    Raises:
        ArtifactError: They cannot be loaded, or the server does not serve this version.
    """
    if seed is not None:
        ctranslate2.set_random_seed(seed)
    codec = load_codec(artifact.tokenizer)
    if server is None:
        engine = load_engine(artifact, codec, device=device, threads=threads, workers=workers)
    else:
        engine = _open_server(artifact, codec, server)
    copy_index = None
    if artifact.copy_index.is_file():
        copy_index = open_index(artifact.copy_index)
    else:
        _log.warning(
            "%s has no index of training messages, so replies may copy one. "
            "Add it with `python -m pipeline.training.indexes`",
            artifact.path.name,
        )
    voice_table = read_table(artifact.voice_table) if artifact.voice_table.is_file() else None
    decoding = decoding or artifact.card.decoding
    return Speaker(artifact, engine, codec, decoding, random.Random(seed), copy_index, voice_table)


def load_engine(
    artifact: Artifact, codec: Codec, *, device: str = "auto", threads: int = 1, workers: int = 1
) -> Engine:
    """Load an artifact's weights; see `open_engine`.

    Raises:
        ArtifactError: They cannot be loaded.
    """
    try:
        return open_engine(
            artifact.engine,
            artifact.card.family,
            codec,
            device=device,
            threads=threads,
            workers=workers,
        )
    except (RuntimeError, ValueError) as error:
        raise ArtifactError(
            f"the model in {artifact.path} cannot be loaded on device {device!r} "
            f"({make_printable(str(error))}): try another device, or train again"
        ) from error


def _open_server(artifact: Artifact, codec: Codec, url: str) -> Engine:
    from model.speaking.client import GenerationClient
    from model.speaking.completions import CompletionsEngine

    version = artifact.path.name
    client = GenerationClient(url, version)
    if artifact.card.family == "encoder-decoder" and not client.is_cluster:
        raise ArtifactError(
            f"{version} is an encoder-decoder model, which other completion servers cannot serve: "
            "leave GENERATION_URL empty to generate in this process, or use a Ray cluster"
        )
    return CompletionsEngine(client, version, codec, artifact.card.family)
