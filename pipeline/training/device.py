"""Choose the training device and the precision, and estimate how many examples fit in memory."""

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types
import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

_ADAMW_BYTES = 12  # per trained weight: its gradient and AdamW's two moments, in float32
_MEMORY_SHARE = 0.5  # of free memory; the rest is for other programs and the estimate's error
_MATRIX_SIDE = 384  # a product takes 1 ms, too short for other programs to interrupt it often
_MEASURED_SECONDS = 1.0
_MIN_PRODUCTS = 3
_MIN_GAIN = 1.25


@dataclass(frozen=True, slots=True)
class Precision:
    """Whether to train in bf16, and why."""

    bf16: bool
    reason: str

    @property
    def name(self) -> str:
        """Return the name of the precision, as in the settings."""
        return "bf16" if self.bf16 else "float32"


def training_device() -> str:
    """Return the device that trains on this machine."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def move_to_device(weights: Any) -> None:
    """Move weights to the device that trains, and choose the attention that is fastest there.

    Weights that processes share are already there.
    """
    if not isinstance(weights, FSDPModule):
        weights.to(training_device())
    if training_device() == "cpu" and not weights.config.is_encoder_decoder:
        weights.set_attn_implementation("eager")  # with short texts a sixth faster than sdpa


def choose_precision(requested: str, saved: Path | None = None) -> Precision:
    """Choose bf16 only if the hardware supports it; emulated bf16 is slower than float32.

    A resumed run keeps the precision in the file `saved`, whatever is measured now.
    """
    if requested != "auto":
        return Precision(bf16=requested == "bf16", reason=f"{requested}, as requested")
    if saved and saved.is_file():
        name = saved.read_text("utf-8").strip()
        return Precision(bf16=name == "bf16", reason=f"{name}, as in the interrupted run")
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision(bf16=True, reason=f"bf16 on {name}")
        return Precision(bf16=False, reason=f"float32: {name} only emulates bf16")
    if torch.backends.mps.is_available():
        return Precision(bf16=False, reason="float32 on Apple's GPU")
    return _choose_cpu_precision()


def _choose_cpu_precision() -> Precision:
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if not (able.get("amx_bf16") or able.get("avx512_bf16")):
        return Precision(bf16=False, reason="float32: this CPU has no bf16 instructions")
    gain = measure_bf16_gain()
    bf16 = gain >= _MIN_GAIN
    name = "bf16" if bf16 else "float32"
    return Precision(bf16, f"{name}: bf16 is {gain:.1f} times as fast on this CPU")


@cache
def measure_bf16_gain() -> float:
    """Measure how many times faster this CPU multiplies matrices in bf16 than in float32.

    A CPU that has the instructions may still be slow: one of two machine types with avx512_bf16 ran
    bf16 at 0.6 times float32's speed. To exclude the effect of other programs, the two precisions
    alternate and the fastest product of each counts. Takes about a second; the result is cached.
    """
    single = torch.ones(_MATRIX_SIDE, _MATRIX_SIDE)
    half = single.bfloat16()
    _time_product(single), _time_product(half)  # warm-up
    until = time.perf_counter() + _MEASURED_SECONDS
    times: list[tuple[float, float]] = []
    while len(times) < _MIN_PRODUCTS or time.perf_counter() < until:
        times.append((_time_product(single), _time_product(half)))
    return min(one for one, _ in times) / min(other for _, other in times)


def _time_product(matrix: Any) -> float:
    start = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - start


def estimate_batch_size(weights: Any, longest: int, *, bf16: bool) -> int:
    """Estimate how many examples of `longest` tokens fit in memory, with gradients and AdamW."""
    own = (p.to_local() if isinstance(p, DTensor) else p for p in weights.parameters())
    trained = sum(p.numel() for p in own if p.requires_grad)
    left = (_free_bytes(weights.device.type) - _ADAMW_BYTES * trained) * _MEMORY_SHARE
    return max(0, int(left / activation_bytes(weights.config, longest, bf16=bf16)))


def activation_bytes(config: Any, length: int, *, bf16: bool) -> int:
    """Estimate the memory for the activations of one text of `length` tokens.

    They take 34 h + 5 a s bytes a token and layer in 16 bits (Korthikanti et al. 2022,
    equation 2), and the output layer's logits take three float32 values per vocabulary entry.
    """
    layers = config.num_hidden_layers + (getattr(config, "num_decoder_layers", None) or 0)
    per_layer = 34 * config.hidden_size + 5 * config.num_attention_heads * length
    per_token = layers * per_layer * (1 if bf16 else 2) + 12 * config.vocab_size
    return int(per_token * length)


def _free_bytes(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)
