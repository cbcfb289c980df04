"""Bases that we know: their shapes, and the memory and the time that training on them takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tokenizers import Tokenizer, models

from model.artifacts.artifact import Family
from model.artifacts.tokenizer import make_codec
from pipeline.training.bases import Base
from pipeline.training.kinds import KINDS
from pipeline.training.machine import reuse_freed_memory
from pipeline.training.wheels import GEMMA

TOKENS = 480  # the longest prompt and reply by default
_QWEN3 = {
    "model_type": "qwen3", "vocab_size": 151936, "head_dim": 128, "num_key_value_heads": 8,
    "rope_theta": 1e6, "rms_norm_eps": 1e-6, "max_position_embeddings": 40960,
}  # fmt: skip
_GEMMA3 = {
    "model_type": "gemma3_text", "vocab_size": 262144, "head_dim": 256, "sliding_window": 512,
    "query_pre_attn_scalar": 256, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
    "sliding_window_pattern": 6, "rms_norm_eps": 1e-6, "max_position_embeddings": 32768,
}  # fmt: skip
_LLAMA = {"model_type": "llama", "rms_norm_eps": 1e-5}
_T5 = {
    "model_type": "t5", "vocab_size": 32128, "d_kv": 64, "feed_forward_proj": "gated-gelu",
    "decoder_start_token_id": 0,
}  # fmt: skip
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "google/flan-t5-small": {**_T5, "d_model": 512, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "google/flan-t5-base": {**_T5, "d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "smollm2": {
        **_LLAMA, "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "rope_theta": 1e5, "max_position_embeddings": 8192,
    },
    GEMMA: {
        **_GEMMA3, "vocab_size": 67_000, "hidden_size": 640, "intermediate_size": 2048,
        "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1,
    },
    "HuggingFaceTB/SmolLM2-360M": {
        **_LLAMA, "vocab_size": 49152, "hidden_size": 960, "intermediate_size": 2560,
        "num_hidden_layers": 32, "num_attention_heads": 15, "num_key_value_heads": 5,
        "rope_theta": 1e5, "max_position_embeddings": 8192,
    },
    "Qwen/Qwen3-0.6B": {
        **_QWEN3, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
        "num_attention_heads": 16,
    },
    "google/gemma-3-1b-pt": {
        **_GEMMA3, "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26,
        "num_attention_heads": 4, "num_key_value_heads": 1,
    },
    "meta-llama/Llama-3.2-1B": {
        **_LLAMA, "vocab_size": 128256, "hidden_size": 2048, "head_dim": 64,
        "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "rope_theta": 5e5, "max_position_embeddings": 131072,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    },
    "Qwen/Qwen3-1.7B": {
        **_QWEN3, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
        "num_attention_heads": 16,
    },
    "Qwen/Qwen3-4B": {
        **_QWEN3, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
        "num_attention_heads": 32,
    },
}  # fmt: skip

_TOKENS_PER_MESSAGE = 17
_PIECE_TOKENS = 400
_PAIRS_PER_MESSAGE, _PROMPT_TOKENS, _REPLY_TOKENS = 0.5, 164, 28
"""In the demo chat: tokens of a line with its label and of a piece of a session; pairs for each
message, and the tokens of their two sides."""

_OPERATIONS = 6  # for each weight and token: 2 forward, 4 backward
_LORA_OPERATIONS = 4  # the gradients of the frozen weights are not needed
_PROBES: Mapping[Family, tuple[str, int]] = {
    "decoder-only": ("smollm2", 10),
    "encoder-decoder": ("google/flan-t5-small", 8),
}
"""The bases whose speed is measured, and how many of their layers: all of them need 3 GB."""

Fit = Literal["all weights", "lora", "no"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a base needs: bytes to train all weights, to train with LoRA, and to convert.

    `operations` are the floating-point operations for one message of a chat, in one pass.
    """

    name: str
    family: Family
    weights: int
    train: int
    lora: int
    convert: int
    operations: float

    def fit(self, training_memory: int, main_memory: int) -> Fit:
        """Return how a base can be trained with these bytes on the device and in main memory."""
        if self.convert > main_memory:
            return "no"
        if self.train <= training_memory:
            return "all weights"
        return "lora" if self.lora <= training_memory else "no"


@dataclass(frozen=True, slots=True)
class Rates:
    """Floating-point operations per second while training, by family."""

    by_family: Mapping[Family, float]

    def seconds_per_pass(self, needs: Needs, messages: int, *, lora: bool) -> float:
        """Estimate the seconds of one pass over a chat with this many messages."""
        share = _LORA_OPERATIONS / _OPERATIONS if lora else 1.0
        return messages * needs.operations * share / self.by_family[needs.family]


def build(name: str, device: str, layers: int | None = None) -> Any:
    """Return a known base with random weights, or with none on the device "meta"."""
    import torch
    import transformers

    shape = dict(SHAPES[name])
    if layers:
        shape["num_layers" if shape["model_type"] == "t5" else "num_hidden_layers"] = layers
    config = transformers.AutoConfig.for_model(tie_word_embeddings=True, **shape)
    with torch.device(device):
        if KINDS[config.model_type].family == "decoder-only":
            return transformers.AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]  # transformers' own
        model = transformers.AutoModelForSeq2SeqLM.from_config(config)  # type: ignore[no-untyped-call]  # the same
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
        model.config.tie_word_embeddings = False
        return model


def needs_of(name: str) -> Needs:
    """Compute what a known base needs, from its shape."""
    from pipeline.training.device import activation_bytes

    weights = build(name, "meta")
    count = sum(value.numel() for value in weights.parameters())
    embedded = weights.get_input_embeddings().weight.numel()
    row = activation_bytes(weights.config, TOKENS, bf16=True)
    whole = 18 * count + row  # float32 weights, gradients, AdamW, and autocast's bf16 copy
    # Measuring the untuned loss needs the float32 weights and autocast's copy. LoRA then converts
    # all but the embedding to bf16; T5's embedding and output layer are trained.
    trained = 2 * 16 * embedded if weights.config.is_encoder_decoder else 4 * embedded
    return Needs(
        name=name,
        family=KINDS[weights.config.model_type].family,
        weights=count,
        train=whole,
        lora=max(6 * count, 2 * (count - embedded) + trained) + row,
        convert=9 * count,  # twice in float32, and the int8 result
        operations=_operations_per_message(weights),
    )


def measure_rates(*, bf16: bool) -> Rates:
    """Measure how fast this machine trains small models of both families; takes about 20 s."""
    return Rates({family: _measure(family, bf16=bf16) for family in _PROBES})


def _measure(family: Family, *, bf16: bool) -> float:
    import datasets

    from pipeline.training.device import move_to_device, training_device
    from pipeline.training.plan import measure_speed

    reuse_freed_memory()
    name, layers = _PROBES[family]
    device = training_device()
    weights = build(name, "cpu", layers)
    move_to_device(weights)
    codec = make_codec(Tokenizer(models.WordLevel({"a": 0, "\n": 1, "b": 2})), 2, 0)
    is_decoder = family == "decoder-only"
    prompt, reply = (_PIECE_TOKENS,) * 2 if is_decoder else (_PROMPT_TOKENS, _REPLY_TOKENS)
    row = {"input_ids": list(range(5, 5 + prompt)), "labels": list(range(5, 5 + reply))}
    count = 2 if device == "cpu" else 16  # a busy CPU takes 5 s for each
    rows = datasets.Dataset.from_list([{**row, "length": prompt + reply}] * count)
    base = Base(name, family, weights, codec)
    speed = measure_speed(base, rows, len(rows), minutes=60, bf16=bf16)
    per_message = _operations_per_message(weights)
    tokens = _TOKENS_PER_MESSAGE if is_decoder else _PAIRS_PER_MESSAGE * prompt
    return speed.tokens / tokens * per_message


def _operations_per_message(weights: Any) -> float:
    """Return the operations to learn from one message: 6 for each weight that a token passes."""
    head = weights.get_output_embeddings().weight.numel()
    if not weights.config.is_encoder_decoder:
        inner = sum(value.numel() for value in weights.parameters())
        inner -= weights.get_input_embeddings().weight.numel()  # shared with the output layer
        return float(_OPERATIONS * _TOKENS_PER_MESSAGE * (inner + head))
    encoder, decoder = (
        sum(value.numel() for value in stack.block.parameters())
        for stack in (weights.encoder, weights.decoder)
    )
    pair = encoder * _PROMPT_TOKENS + (decoder + head) * _REPLY_TOKENS
    return float(_OPERATIONS * _PAIRS_PER_MESSAGE * pair)
