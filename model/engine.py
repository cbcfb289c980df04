"""CTranslate2 behind one Protocol: candidates, scores and who speaks next, for both families."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import ctranslate2

from model.artifact import Decoding, Family
from model.tokenizer import Codec


class Engine(Protocol):
    """What a speaker asks of weights; ids are the codec's, log-probabilities natural."""

    def candidates(
        self, prompt: Sequence[int], forced: Sequence[int], decoding: Decoding
    ) -> list[list[int]]:
        """Draw `decoding.candidates` replies after a forced beginning, without it and an end."""

    def scores(
        self,
        prompts: Sequence[Sequence[int]],
        forced: Sequence[Sequence[int]],
        replies: Sequence[Sequence[int]],
    ) -> list[list[float]]:
        """Return the log-probability of each token of each reply and of its end."""

    def label_scores(self, prompt: Sequence[int], labels: Sequence[Sequence[int]]) -> list[float]:
        """Return the log-probability of each label right after the prompt."""


def open_engine(
    folder: Path,
    family: Family,
    codec: Codec,
    *,
    device: str = "auto",
    threads: int = 1,
) -> Engine:
    """Load CTranslate2's files; one thread by default, which is fastest for small int8 models."""
    kind = EncoderDecoder if family == "encoder-decoder" else DecoderOnly
    return kind(folder, codec, device=device, threads=threads)


class EncoderDecoder:
    """T5 and its kin, on CTranslate2's Translator."""

    def __init__(self, folder: Path, codec: Codec, *, device: str, threads: int) -> None:
        self._codec = codec
        self._translator = ctranslate2.Translator(str(folder), device=device, intra_threads=threads)

    def candidates(
        self, prompt: Sequence[int], forced: Sequence[int], decoding: Decoding
    ) -> list[list[int]]:
        """See Engine."""
        result = self._translator.translate_batch(
            [self._codec.tokens(prompt)],
            target_prefix=[self._codec.tokens(forced)],
            max_input_length=0,
            max_decoding_length=len(forced) + decoding.max_new_tokens,
            **_sampling(decoding, self._codec),
        )[0]
        return [self._codec.ids(tokens)[len(forced) :] for tokens in result.hypotheses]

    def scores(
        self,
        prompts: Sequence[Sequence[int]],
        forced: Sequence[Sequence[int]],
        replies: Sequence[Sequence[int]],
    ) -> list[list[float]]:
        """See Engine."""
        results = self._translator.score_batch(
            [self._codec.tokens(prompt) for prompt in prompts],
            [self._codec.tokens([*f, *r]) for f, r in zip(forced, replies, strict=True)],
            max_input_length=0,
        )
        return [list(result.log_probs)[len(f) :] for result, f in zip(results, forced, strict=True)]

    def label_scores(self, prompt: Sequence[int], labels: Sequence[Sequence[int]]) -> list[float]:
        """See Engine."""
        results = self._translator.score_batch(
            [self._codec.tokens(prompt)] * len(labels),
            [self._codec.tokens(label) for label in labels],
            max_input_length=0,
        )
        return [
            sum(list(result.log_probs)[: len(label)])
            for result, label in zip(results, labels, strict=True)
        ]


class DecoderOnly:
    """Llama and its kin, on CTranslate2's Generator."""

    def __init__(self, folder: Path, codec: Codec, *, device: str, threads: int) -> None:
        self._codec = codec
        self._generator = ctranslate2.Generator(str(folder), device=device, intra_threads=threads)

    def candidates(
        self, prompt: Sequence[int], forced: Sequence[int], decoding: Decoding
    ) -> list[list[int]]:
        """See Engine."""
        result = self._generator.generate_batch(
            [self._codec.tokens([*prompt, *forced])],
            include_prompt_in_result=False,
            max_length=decoding.max_new_tokens,
            end_token=[self._codec.end_id],
            **_sampling(decoding, self._codec),
        )[0]
        return [list(ids) for ids in result.sequences_ids]

    def scores(
        self,
        prompts: Sequence[Sequence[int]],
        forced: Sequence[Sequence[int]],
        replies: Sequence[Sequence[int]],
    ) -> list[list[float]]:
        """See Engine."""
        end = self._codec.end_id
        whole = [
            self._codec.tokens([*p, *f, *r, end])
            for p, f, r in zip(prompts, forced, replies, strict=True)
        ]
        results = self._generator.score_batch(whole, max_input_length=0)
        return [
            list(result.log_probs)[-len(reply) - 1 :]
            for result, reply in zip(results, replies, strict=True)
        ]

    def label_scores(self, prompt: Sequence[int], labels: Sequence[Sequence[int]]) -> list[float]:
        """See Engine."""
        whole = [self._codec.tokens([*prompt, *label]) for label in labels]
        results = self._generator.score_batch(whole, max_input_length=0)
        return [
            sum(list(result.log_probs)[-len(label) :])
            for result, label in zip(results, labels, strict=True)
        ]


def _sampling(decoding: Decoding, codec: Codec) -> dict[str, float]:
    return {
        "beam_size": 1,
        "num_hypotheses": decoding.candidates,
        "sampling_topk": min(decoding.top_k, codec.tokenizer.get_vocab_size()),
        "sampling_topp": decoding.top_p,
        "sampling_temperature": decoding.temperature,
        "repetition_penalty": decoding.repetition_penalty,
    }
