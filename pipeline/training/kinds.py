"""Kinds of base models that can be trained, and their conversion to CTranslate2's format."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.artifacts.artifact import Family
from model.artifacts.tokenizer import Codec
from model.chat.names import make_printable
from model.errors import BaseError
from pipeline.training.machine import little_garbage_collection


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A `model_type` of transformers: its name, its family and its loader in CTranslate2."""

    name: str
    family: Family
    loader: str


KINDS: Mapping[str, ModelKind] = {
    "t5": ModelKind("T5, T5 v1.1 and FLAN-T5", "encoder-decoder", "T5Loader"),
    "mt5": ModelKind("mT5", "encoder-decoder", "MT5Loader"),
    "llama": ModelKind("Llama", "decoder-only", "LlamaLoader"),
    "mistral": ModelKind("Mistral", "decoder-only", "MistralLoader"),
    "qwen2": ModelKind("Qwen2", "decoder-only", "Qwen2Loader"),
    "qwen3": ModelKind("Qwen3", "decoder-only", "Qwen3Loader"),
    "gemma": ModelKind("Gemma", "decoder-only", "GemmaLoader"),
    "gemma3_text": ModelKind("Gemma 3 (text only)", "decoder-only", "Gemma3Loader"),
    "falcon": ModelKind("Falcon", "decoder-only", "FalconLoader"),
    "opt": ModelKind("OPT", "decoder-only", "OPTLoader"),
    "bloom": ModelKind("BLOOM", "decoder-only", "BloomLoader"),
    "gpt2": ModelKind("GPT-2", "decoder-only", "GPT2Loader"),
    "gptj": ModelKind("GPT-J", "decoder-only", "GPTJLoader"),
    "gpt_bigcode": ModelKind("GPT BigCode", "decoder-only", "GPTBigCodeMHALoader"),
    "codegen": ModelKind("CodeGen", "decoder-only", "CodeGenLoader"),
}
"""By `model_type`. docs/bases.md says which others were tried and why they are missing."""


def check_config(name: str, raw: Mapping[str, Any]) -> ModelKind:
    """Return the kind of a base from its config.json, without its weights.

    Raises:
        BaseError: This kind cannot be trained.
    """
    kind = KINDS.get(str(raw.get("model_type")))
    if kind is None:
        raise BaseError(
            f"{name} has the model type {make_printable(str(raw.get('model_type')))!r}, which "
            "Understudy cannot train; it can train "
            f"{', '.join(known.name for known in KINDS.values())}"
        )
    if "quantization_config" in raw:
        raise BaseError(f"{name} is quantized and cannot be trained: use the original checkpoint")
    return kind


def max_tokens(config: Any) -> int | None:
    """Return how many tokens a prompt and its reply may have together; None means any number.

    CTranslate2 fails on prompts that are longer than a sliding window.
    """
    limits = [getattr(config, "max_position_embeddings", None)]
    if "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"]):
        limits.append(getattr(config, "sliding_window", None))
    return min((limit for limit in limits if limit), default=None)


def check_length(name: str, config: Any, tokens: int) -> None:
    """Refuse a base that cannot read a prompt and a reply of `tokens` tokens together.

    Raises:
        BaseError: They are too long.
    """
    limit = max_tokens(config)
    if limit is not None and tokens > limit:
        raise BaseError(
            f"{name} reads at most {limit} tokens, but max-prompt-tokens and max-reply-tokens "
            f"add up to {tokens}: lower one of them with --set"
        )


def write_engine(weights: Any, codec: Codec, folder: Path, quantization: str) -> None:
    """Write a transformers model into `folder` in CTranslate2's format, without changing it."""
    import torch
    from ctranslate2.converters import transformers as loaders

    loader = getattr(loaders, KINDS[weights.config.model_type].loader)()
    # On a copy: layers are removed, and quantization works in place.
    with torch.no_grad(), little_garbage_collection():
        spec = loader(copy.deepcopy(weights), _Pieces(codec, weights.config))
    _complete_rope(spec, weights.config)
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def _complete_rope(spec: Any, config: Any) -> None:
    """Add what CTranslate2 4.8 leaves out of Llama 3's rotary embedding: its factor and length.

    Without them CTranslate2 would run a Llama 3.1 or 3.2 with unscaled frequencies.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") != "llama3":
        return
    for layer in spec.decoder.layer:
        vars(layer.self_attention).update(
            rotary_scaling_factor=np.float32(rope["factor"]),
            original_max_position_embeddings=np.int32(rope["original_max_position_embeddings"]),
        )


class _Pieces:
    """The part of a transformers tokenizer that CTranslate2's loaders use."""

    def __init__(self, codec: Codec, config: Any) -> None:
        names = {number: piece for piece, number in codec.tokenizer.get_vocab().items()}
        self._pieces = [names.get(row, f"<row_{row}>") for row in range(config.vocab_size)]
        self.pad_token = names[codec.pad_id]
        self.eos_token = names[codec.end_id]
        begin_id = getattr(config, "bos_token_id", None)
        self.bos_token = self.eos_token if begin_id is None else names[begin_id]
        known = (piece for piece in ("<unk>", "<|endoftext|>") if piece in self._pieces)
        self.unk_token = next(known, self.eos_token)

    def convert_ids_to_tokens(self, number: int) -> str:
        """Return the piece of a row."""
        return self._pieces[number]

    def get_vocab(self) -> dict[str, int]:
        """Return a piece for every row of the weights."""
        return {piece: row for row, piece in enumerate(self._pieces)}
