"""Run a converted model with CTranslate2: one engine for each model family."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import ctranslate2
import numpy as np

from model.artifacts.artifact import Decoding, Family
from model.artifacts.tokenizer import Codec
from model.errors import GenerationStopped

_TOKENS_PER_BATCH = 256
"""A decoder-only model needs a row of logits per token, 200 kB for SmolLM2's vocabulary."""
_REPLIES_PER_BATCH = 16
"""An encoder-decoder model needs a row of logits per token of the reply only."""
_BRACKET_BYTE = "<0x5B>"

Ids: TypeAlias = Sequence[int]

ShouldStop: TypeAlias = Callable[[], bool]
"""Called after each token; generation stops if it returns True."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate's ids without the end token, and its approximate log-probability.

    The score is the sampler's: a repetition penalty shifts it by some tenths of a nat per token.
    """

    ids: list[int]
    score: float


class Engine(Protocol):
    """A loaded model; its ids are the codec's, its log-probabilities are in nats."""

    def candidates(
        self,
        prompt: Ids,
        forced: Ids,
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[Candidate]:
        """Draw `decoding.candidates` replies after a forced beginning, which they do not include.

        Raises:
            GenerationStopped: `should_stop` returned True.
        """

    def scores(
        self, prompts: Sequence[Ids], forced: Sequence[Ids], replies: Sequence[Ids]
    ) -> list[list[float]]:
        """Return the log-probability of each token of each reply and of its end."""

    def label_scores(self, prompt: Ids, labels: Sequence[Ids]) -> list[float]:
        """Return the log-probability of each label directly after the prompt."""


def open_engine(
    folder: Path,
    family: Family,
    codec: Codec,
    *,
    device: str = "auto",
    threads: int = 1,
) -> Engine:
    """Load CTranslate2's files; one thread by default, which is fastest for small int8 models."""
    kind = EncoderDecoderEngine if family == "encoder-decoder" else DecoderOnlyEngine
    return kind(folder, codec, device=device, threads=threads)


class EncoderDecoderEngine:
    """Runs T5 and similar models with CTranslate2's Translator."""

    def __init__(self, folder: Path, codec: Codec, *, device: str, threads: int) -> None:
        self._codec = codec
        self._forbidden = list_forbidden_tokens(codec)
        self._translator = ctranslate2.Translator(str(folder), device=device, intra_threads=threads)

    def candidates(
        self,
        prompt: Ids,
        forced: Ids,
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[Candidate]:
        """See Engine."""
        result = self._translator.translate_batch(
            [self._codec.tokens(prompt)],
            target_prefix=[self._codec.tokens(forced)],
            max_input_length=0,
            max_decoding_length=len(forced) + decoding.max_new_tokens,
            suppress_sequences=self._forbidden,
            **_sampling_options(decoding, self._codec, should_stop),
        )[0]
        raise_if_stopped(should_stop)
        return [
            Candidate(self._codec.ids(tokens)[len(forced) :], score)
            for tokens, score in zip(result.hypotheses, result.scores, strict=True)
        ]

    def scores(
        self, prompts: Sequence[Ids], forced: Sequence[Ids], replies: Sequence[Ids]
    ) -> list[list[float]]:
        """See Engine."""
        results = self._translator.score_batch(
            [self._codec.tokens(prompt) for prompt in prompts],
            [self._codec.tokens([*f, *r]) for f, r in zip(forced, replies, strict=True)],
            max_input_length=0,
            max_batch_size=_REPLIES_PER_BATCH,
        )
        return [list(result.log_probs)[len(f) :] for result, f in zip(results, forced, strict=True)]

    def label_scores(self, prompt: Ids, labels: Sequence[Ids]) -> list[float]:
        """See Engine."""
        count = len(labels)
        rows = self.scores([prompt] * count, [()] * count, labels)
        return [sum(row[:-1]) for row in rows]  # without the end token


class DecoderOnlyEngine:
    """Runs Llama and similar models with CTranslate2's Generator."""

    def __init__(self, folder: Path, codec: Codec, *, device: str, threads: int) -> None:
        self._codec = codec
        self._forbidden = list_forbidden_tokens(codec)
        self._generator = ctranslate2.Generator(str(folder), device=device, intra_threads=threads)

    def candidates(
        self,
        prompt: Ids,
        forced: Ids,
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[Candidate]:
        """See Engine."""
        result = self._generator.generate_batch(
            [self._codec.tokens([*prompt, *forced])],
            include_prompt_in_result=False,
            max_length=decoding.max_new_tokens,
            end_token=[self._codec.end_id],
            suppress_sequences=self._forbidden,
            **_sampling_options(decoding, self._codec, should_stop),
        )[0]
        raise_if_stopped(should_stop)
        return [
            Candidate(list(ids), score)
            for ids, score in zip(result.sequences_ids, result.scores, strict=True)
        ]

    def scores(
        self, prompts: Sequence[Ids], forced: Sequence[Ids], replies: Sequence[Ids]
    ) -> list[list[float]]:
        """See Engine."""
        texts = [
            self._codec.tokens([*p, *f, *r, self._codec.end_id])
            for p, f, r in zip(prompts, forced, replies, strict=True)
        ]
        results = self._generator.score_batch(
            texts, max_input_length=0, max_batch_size=_TOKENS_PER_BATCH, batch_type="tokens"
        )
        return [
            list(result.log_probs)[-len(reply) - 1 :]
            for result, reply in zip(results, replies, strict=True)
        ]

    def label_scores(self, prompt: Ids, labels: Sequence[Ids]) -> list[float]:
        """See Engine. The prompt is read once; then each label is forced."""
        *earlier, last = self._codec.tokens(prompt)
        results = self._generator.generate_batch(
            [[last, *self._codec.tokens(label)] for label in labels],
            static_prompt=earlier,
            cache_static_prompt=False,  # the cache would grow with every conversation
            max_length=max(map(len, labels)),
            return_logits_vocab=True,
        )
        return [
            sum(
                _log_probability(row, token)
                for row, token in zip(result.logits[0], label, strict=False)
            )
            for result, label in zip(results, labels, strict=True)
        ]


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


def _sampling_options(
    decoding: Decoding, codec: Codec, should_stop: ShouldStop | None
) -> dict[str, Any]:
    """Return the options that both families' generation has in common."""
    return {
        "beam_size": 1,
        "num_hypotheses": decoding.candidates,
        "sampling_topk": min(decoding.top_k, codec.tokenizer.get_vocab_size()),
        "sampling_topp": decoding.top_p,
        "sampling_temperature": decoding.temperature,
        "repetition_penalty": decoding.repetition_penalty,
        "return_scores": True,
        "length_penalty": 0,  # the score is the sum over the reply, not the mean of its tokens
        # CTranslate2 calls this with each token of each candidate.
        "callback": None if should_stop is None else lambda _: should_stop(),
    }


def _log_probability(logits: Any, token: int) -> float:  # noqa: ANN401  CTranslate2 has no types
    on_cpu = logits.to_device(ctranslate2.Device.cpu).to(ctranslate2.DataType.float32)
    row = np.asarray(on_cpu, dtype=np.float64)
    top = row.max()
    return float(row[token] - top - np.log(np.exp(row - top).sum()))
