"""Print the memory that bases need, computed from their configs; `--serve NAME` measures one.

    python -m benchmarks.base_memory
    python -m benchmarks.base_memory --serve Qwen3-0.6B

A measured base has random weights of its real shape: memory depends on nothing else.
"""
# ruff: noqa: T201 - this script prints a table.

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from model.artifacts.artifact import Decoding
from model.artifacts.tokenizer import load_codec, make_codec
from model.speaking.engine import Request, open_engine

TOKENS = 480  # the longest prompt and reply by default
CANDIDATES = 8
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
_T5 = {"model_type": "t5", "vocab_size": 32128, "d_kv": 64, "feed_forward_proj": "gated-gelu"}
SHAPES = {
    "google/flan-t5-small": {**_T5, "d_model": 512, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "google/flan-t5-base": {**_T5, "d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "smollm2": {
        **_LLAMA, "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "rope_theta": 1e5, "max_position_embeddings": 8192,
    },
    "google/gemma-3-270m": {
        **_GEMMA3, "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18,
        "num_attention_heads": 4, "num_key_value_heads": 1,
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


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", metavar="NAME", help="measure the memory of serving this base")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # in a process of its own
    given = parser.parse_args()
    if given.measure:
        return generate(Path(given.measure[0]), given.measure[1])
    if given.serve:
        return serve(next(name for name in SHAPES if name.endswith(given.serve)))
    from pipeline.training.trainer import activation_bytes

    print("| base | weights | all weights | LoRA | conversion |\n|---|---|---|---|---|")
    for name in SHAPES:
        weights = build(name, "meta")
        count = sum(value.numel() for value in weights.parameters())
        embedded = weights.get_input_embeddings().weight.numel()
        row = activation_bytes(weights.config, TOKENS, bf16=True)
        whole = 18 * count + row  # float32 weights, gradients, AdamW, and autocast's bf16 copy
        # Measuring the untuned loss needs the float32 weights and autocast's copy. LoRA then
        # converts all but the embedding to bf16; T5's embedding and output layer are trained.
        trained = 2 * 16 * embedded if weights.config.is_encoder_decoder else 4 * embedded
        lora = max(6 * count, 2 * (count - embedded) + trained) + row
        print(
            f"| `{name}` | {count / 1e6:,.0f} M | {gigabytes(whole)} | {gigabytes(lora)} | "
            f"{gigabytes(9 * count)} |"
        )
    return None


def build(name: str, device: str) -> Any:
    """Return a base with random weights."""
    import torch
    import transformers

    from pipeline.training.kinds import KINDS

    config = transformers.AutoConfig.for_model(tie_word_embeddings=True, **SHAPES[name])
    with torch.device(device):
        if KINDS[config.model_type].family == "decoder-only":
            return transformers.AutoModelForCausalLM.from_config(config)
        model = transformers.T5ForConditionalGeneration(config)
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
        model.config.tie_word_embeddings = False
        return model


def serve(name: str) -> None:
    """Convert a base of random weights to int8, then speak with it in a process of its own."""
    from pipeline.training.kinds import KINDS, write_engine
    from tests.checkpoints import byte_level_tokenizer

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = build(name, "cpu").float().eval()
        family = KINDS[weights.config.model_type].family
        codec = make_codec(byte_level_tokenizer([]), 2, 0)
        weights.config.bos_token_id, weights.config.decoder_start_token_id = 1, 0
        write_engine(weights, codec, folder / "engine", "int8")
        codec.save(folder / "tokenizer.json")
        subprocess.run(
            [sys.executable, "-m", "benchmarks.base_memory", "--measure", temporary, family],
            check=True,
        )


def generate(folder: Path, family: str) -> None:
    """Draw candidates and score them, and print the peak memory of this process."""
    codec = load_codec(folder / "tokenizer.json")
    before = peak()
    engine = open_engine(folder / "engine", family, codec, device="cpu")
    loaded = peak()
    prompt, forced = [5 + n % 300 for n in range(384)], [7, 8]
    request = Request(prompt, forced, forced)
    decoding = Decoding(max_new_tokens=32, candidates=CANDIDATES)
    began = time.process_time()
    spoken = [c.ids or [9] for c in engine.candidates([request], decoding)[0]]
    drawn, seconds = peak(), time.process_time() - began
    engine.scores([prompt] * CANDIDATES, [forced] * CANDIDATES, spoken)
    print(
        f"files {sum(file.stat().st_size for file in folder.rglob('*')) / 2**20:,.0f} MiB; peak "
        f"{before:,.0f} MiB before loading, {loaded:,.0f} loaded, {drawn:,.0f} after {CANDIDATES} "
        f"candidates ({seconds:.1f} s of CPU, {os.cpu_count()} cores), {peak():,.0f} after scoring"
    )


def peak() -> float:
    """Return the largest memory of this process so far, in MiB."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def gigabytes(size: float) -> str:
    """Return a size in GB."""
    return f"{size / 1e9:.1f} GB"


if __name__ == "__main__":
    main()
