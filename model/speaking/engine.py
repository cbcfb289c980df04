"""Run a converted model with CTranslate2: one engine for each model family."""

import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import ctranslate2
import numpy as np

from model.artifacts.artifact import Decoding, Family
from model.artifacts.tokenizer import Codec
from model.errors import GenerationStopped
from model.machine import set_malloc_option

_TOKENS_PER_BATCH = 256
"""A decoder-only model needs a row of logits per token, 200 kB for SmolLM2's vocabulary."""
_POSITIONS_PER_CALL = 2_048
"""The most tokens of one call: candidates × (prompt + reply).

CTranslate2 4.8 keeps keys and values for each candidate, prompt included, in float32 and repeated
for each query head: 138 kB per token of SmolLM2-135M.
"""
_TOKENS_PER_STEP = 50
"""What a step that forces a token of each reply costs, in tokens of a text read at once.

Measured with SmolLM2-135M in int8, of which a step of 2 to 8 replies took as long as 20 to 50.
"""
_REPLIES_PER_BATCH = 16
"""An encoder-decoder model needs a row of logits per token of the reply only."""
_M_ARENA_MAX = -8  # of glibc's malloc.h
_BRACKET_BYTE = "<0x5B>"

Ids: TypeAlias = Sequence[int]

ShouldStop: TypeAlias = Callable[[], bool]
"""Called after each token; generation stops if it returns True."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate's ids without its end, and their approximate log-probabilities.

    The scores are the sampler's: a repetition penalty shifts them by a few tenths of a nat.
    `is_complete` is false if the token limit cut the reply off.
    """

    ids: list[int]
    scores: list[float]
    is_complete: bool = True

    @property
    def score(self) -> float:
        """Return the log-probability of all its tokens."""
        return sum(self.scores)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A prompt, the ids that a reply must begin with, and the ids of its voice's label.

    A reply ends where a newline is followed by anything other than the label.
    """

    prompt: Ids
    forced: Ids
    label: Ids


class Engine(Protocol):
    """A loaded model; its ids are the codec's, its log-probabilities are in nats."""

    def candidates(
        self,
        requests: Sequence[GenerationRequest],
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[list[Candidate]]:
        """Draw `decoding.candidates` replies to each request, without its forced beginning.

        Raises:
            GenerationStopped: `should_stop` returned True.
        """

    def scores(self, prompt: Ids, forced: Ids, replies: Sequence[Ids]) -> list[list[float]]:
        """Return the log-probability of each token of each reply to a prompt.

        The replies begin with `forced`, which is not scored. `Speaker` scores labels as replies to
        choose who speaks next.
        """


def open_engine(
    folder: Path,
    family: Family,
    codec: Codec,
    *,
    device: str = "auto",
    threads: int = 1,
    workers: int = 1,
) -> Engine:
    """Load CTranslate2's files, and run up to `workers` calls from different threads at once.

    Each call uses `threads` threads; one is fastest for small int8 models. The workers share the
    weights.
    """
    kind = EncoderDecoderEngine if family == "encoder-decoder" else DecoderOnlyEngine
    options = {"device": device, "intra_threads": threads, "inter_threads": workers}
    return kind(folder, codec, options)


def share_heap() -> None:
    """Make all threads allocate from one heap (glibc), so that they reuse each other's memory.

    For SmolLM2-135M and a prompt of 384 tokens, the peak memory of drawing and scoring candidates
    fell from 737 to 571 MiB.
    """
    set_malloc_option(_M_ARENA_MAX, 1)


class EncoderDecoderEngine:
    """Runs T5 and similar models with CTranslate2's Translator."""

    def __init__(self, folder: Path, codec: Codec, options: Mapping[str, Any]) -> None:
        self._codec = codec
        self._forbidden = list_forbidden_tokens(codec)
        self._models = [ctranslate2.Translator(str(folder), **options)]
        weakref.finalize(self, self._models.clear)  # see _ReplyTracker

    def candidates(
        self,
        requests: Sequence[GenerationRequest],
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[list[Candidate]]:
        """See Engine."""
        tracker = _ReplyTracker(self._codec, requests, decoding, should_stop, reports_forced=True)
        self._models[0].translate_batch(
            [self._codec.tokens(request.prompt) for request in requests],
            target_prefix=[self._codec.tokens(request.forced) for request in requests],
            max_input_length=0,
            max_decoding_length=max(len(r.forced) for r in requests) + decoding.max_new_tokens,
            suppress_sequences=self._forbidden,
            **_sampling_options(decoding, self._codec, tracker),
        )
        raise_if_stopped(should_stop)
        return tracker.candidates()

    def scores(self, prompt: Ids, forced: Ids, replies: Sequence[Ids]) -> list[list[float]]:
        """See Engine."""
        results = self._models[0].score_batch(
            [self._codec.tokens(prompt)] * len(replies),
            [self._codec.tokens([*forced, *reply]) for reply in replies],
            max_input_length=0,
            max_batch_size=_REPLIES_PER_BATCH,
        )
        return [
            list(result.log_probs)[len(forced) : len(forced) + len(reply)]  # without the end
            for result, reply in zip(results, replies, strict=True)
        ]


class DecoderOnlyEngine:
    """Runs Llama and similar models with CTranslate2's Generator."""

    def __init__(self, folder: Path, codec: Codec, options: Mapping[str, Any]) -> None:
        self._codec = codec
        self._forbidden = list_forbidden_tokens(codec)
        self._models = [ctranslate2.Generator(str(folder), **options)]
        weakref.finalize(self, self._models.clear)  # see _ReplyTracker
        config = json.loads((folder / "config.json").read_bytes())
        self._scores_alone = bool(config.get("multi_query_attention"))

    def candidates(
        self,
        requests: Sequence[GenerationRequest],
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[list[Candidate]]:
        """See Engine. Prompts of equal length are fastest: the rest is read token by token.

        The candidates of a single request are drawn in several calls if its prompt is long, which
        needs less memory. Several requests are drawn together, which needs more.
        """
        if len(requests) != 1:
            return self._draw(requests, decoding, should_stop)
        found: list[Candidate] = []
        for count in divide_candidates(requests[0], decoding):
            [drawn] = self._draw(requests, replace(decoding, candidates=count), should_stop)
            found += drawn
        return [found]

    def _draw(
        self,
        requests: Sequence[GenerationRequest],
        decoding: Decoding,
        should_stop: ShouldStop | None,
    ) -> list[list[Candidate]]:
        tracker = _ReplyTracker(self._codec, requests, decoding, should_stop, reports_forced=False)
        self._models[0].generate_batch(
            [self._codec.tokens([*request.prompt, *request.forced]) for request in requests],
            include_prompt_in_result=False,
            max_length=decoding.max_new_tokens,
            end_token=[self._codec.end_id],
            suppress_sequences=self._forbidden,
            **_sampling_options(decoding, self._codec, tracker),
        )
        raise_if_stopped(should_stop)
        return tracker.candidates()

    def scores(self, prompt: Ids, forced: Ids, replies: Sequence[Ids]) -> list[list[float]]:
        """See Engine. Short replies are forced token by token after a prompt that is read once.

        CTranslate2 4.8 fails to score texts of different lengths together ("length mask has size…")
        if the model has a single key-value head, as Gemma 3 270M does: it scores one at a time.
        """
        before, steps = [*prompt, *forced], max(map(len, replies), default=0)
        if (len(replies) - 1) * len(before) > _TOKENS_PER_STEP * steps:
            return self._force(before, replies, steps)
        results = self._models[0].score_batch(
            [self._codec.tokens([*before, *reply]) for reply in replies],
            max_input_length=0,
            max_batch_size=1 if self._scores_alone else _TOKENS_PER_BATCH,
            batch_type="examples" if self._scores_alone else "tokens",
        )
        return [
            list(result.log_probs)[len(result.log_probs) - len(reply) :]
            for result, reply in zip(results, replies, strict=True)
        ]

    def _force(self, before: Ids, replies: Sequence[Ids], steps: int) -> list[list[float]]:
        """Score replies of at most `steps` tokens one token at a time."""
        *earlier, last = self._codec.tokens(before)
        results = self._models[0].generate_batch(
            [[last, *self._codec.tokens(reply)] for reply in replies],
            static_prompt=earlier,
            cache_static_prompt=False,  # the cache would grow with every conversation
            max_length=steps,
            return_logits_vocab=True,
        )
        return [
            [
                _log_probability(row, token)
                for row, token in zip(result.logits[0], reply, strict=False)
            ]
            for result, reply in zip(results, replies, strict=True)
        ]


def divide_candidates(request: GenerationRequest, decoding: Decoding) -> list[int]:
    """Return how many of a request's candidates to draw in each call; the numbers differ by 1."""
    tokens = len(request.prompt) + len(request.forced) + decoding.max_new_tokens
    calls = -(-decoding.candidates // max(1, _POSITIONS_PER_CALL // tokens))
    return [(decoding.candidates + call) // calls for call in range(calls)]


def raise_if_stopped(should_stop: ShouldStop | None) -> None:
    """Raise GenerationStopped if `should_stop` returns True."""
    if should_stop is not None and should_stop():
        raise GenerationStopped("the generation was stopped")


def list_forbidden_tokens(codec: Codec) -> list[list[str]]:
    """Return the tokens that no reply may have: special ones except the end, and brackets.

    Without brackets a reply cannot contain a placeholder or `[photo]`.
    """
    special = codec.tokenizer.get_added_tokens_decoder()
    return [
        [piece]
        for piece, number in codec.tokenizer.get_vocab().items()
        if number != codec.end_id
        and (
            "[" in piece
            or piece == _BRACKET_BYTE
            or (number in special and special[number].special)
        )
    ]


class _ReplyTracker:
    """Collects the tokens of each candidate while they are drawn, and ends it after its last line.

    CTranslate2 calls it with each token of each candidate; a candidate ends if it returns True. The
    Translator calls it with the forced tokens too (`reports_forced`). A model's thread keeps the
    last tracker, so the model must be deleted before the interpreter ends: with CTranslate2 4.8 the
    process would abort.
    """

    def __init__(
        self,
        codec: Codec,
        requests: Sequence[GenerationRequest],
        decoding: Decoding,
        should_stop: ShouldStop | None,
        *,
        reports_forced: bool,
    ) -> None:
        self._end_id, self._should_stop = codec.end_id, should_stop
        self._limit = decoding.max_new_tokens
        self._labels = [[codec.newline_id, *request.label] for request in requests]
        skipped = [len(request.forced) if reports_forced else 0 for request in requests]
        self._drawn = [
            [DrawnTokens(count) for _ in range(decoding.candidates)] for count in skipped
        ]

    def __call__(self, step: ctranslate2.GenerationStepResult) -> bool:
        if self._should_stop is not None and self._should_stop():
            return True
        request, token, score = int(step.batch_id), int(step.token_id), float(step.log_prob)
        drawn = self._drawn[request][int(step.hypothesis_id)]
        has_ended = drawn.add(token, score, self._labels[request], self._end_id)
        return has_ended or drawn.length >= self._limit

    def candidates(self) -> list[list[Candidate]]:
        """Return the candidates of each request."""
        return [[sequence.candidate() for sequence in drawn] for drawn in self._drawn]


class DrawnTokens:
    """The tokens of one candidate, with their log-probabilities; `is_complete` as in Candidate."""

    def __init__(self, skipped: int) -> None:
        self._skipped = skipped
        self._ids: list[int] = []
        self._scores: list[float] = []
        self._line_end: int | None = None  # the index of a newline before an unfinished label
        self.is_complete = False

    @property
    def length(self) -> int:
        """Return the number of tokens so far."""
        return len(self._ids)

    def add(self, token: int, score: float, label: list[int], end_id: int) -> bool:
        """Add a token; return whether the reply has ended."""
        if self._skipped:
            self._skipped -= 1
            return False
        if token == end_id:
            self.is_complete = True
            return True
        self._ids.append(token)
        self._scores.append(score)
        if self._line_end is None and token == label[0]:
            self._line_end = len(self._ids) - 1
        elif self._line_end is not None:
            begun = self._ids[self._line_end :]
            if begun != label[: len(begun)]:
                self.is_complete = True
                return True
            if len(begun) == len(label):
                self._line_end = None
        return False

    def candidate(self) -> Candidate:
        """Return the reply, without an unfinished or another speaker's label."""
        kept = len(self._ids) if self._line_end is None else self._line_end
        return Candidate(self._ids[:kept], self._scores[:kept], self.is_complete)


def _sampling_options(decoding: Decoding, codec: Codec, tracker: _ReplyTracker) -> dict[str, Any]:
    """Return the options that both families' generation has in common."""
    return {
        "beam_size": 1,
        "num_hypotheses": decoding.candidates,
        "sampling_topk": min(decoding.top_k, codec.tokenizer.get_vocab_size()),
        "sampling_topp": decoding.top_p,
        "sampling_temperature": decoding.temperature,
        "repetition_penalty": decoding.repetition_penalty,
        "return_scores": True,  # without it, the callback gets no log-probabilities
        "callback": tracker,
    }


def _log_probability(logits: Any, token: int) -> float:  # noqa: ANN401  CTranslate2 has no types
    on_cpu = logits.to_device(ctranslate2.Device.cpu).to(ctranslate2.DataType.float32)
    row = np.asarray(on_cpu, dtype=np.float64)
    top = row.max()
    return float(row[token] - top - np.log(np.exp(row - top).sum()))
