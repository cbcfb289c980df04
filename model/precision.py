"""Where and in what precision weights are trained: what the hardware is good at."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.base import Base

_SIDE = 384  # a product of 1 ms, which other programs seldom break into
_SECONDS = 0.2
_FEWEST = 3
_WORTH = 1.25


@dataclass(frozen=True, slots=True)
class Precision:
    """Whether to train in bf16, and why."""

    bf16: bool
    reason: str

    @property
    def name(self) -> str:
        """Return it as `--precision` has it."""
        return _name(bf16=self.bf16)

    def save(self, path: Path) -> None:
        """Write it beside a run's checkpoints."""
        path.write_text(f"{self.name}\n", "utf-8")


def choose_precision(wanted: str = "auto", begun: Path | None = None) -> Precision:
    """Choose bf16 only where the hardware has it: emulated, it is slower than float32.

    A resumed run goes on in the precision that it wrote to `begun`, whatever is measured now.
    """
    import torch

    if wanted != "auto":
        return Precision(bf16=wanted == "bf16", reason=f"{wanted}, as told")
    if begun and begun.is_file():
        name = begun.read_text("utf-8").strip()
        return Precision(bf16=name == "bf16", reason=f"{name}, as the run began")
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision(bf16=True, reason=f"bf16 on {name}")
        return Precision(bf16=False, reason=f"float32: {name} only emulates bf16")
    if torch.backends.mps.is_available():
        return Precision(bf16=False, reason="float32 on Apple's GPU")
    return _on_cpu()


def _on_cpu() -> Precision:
    import torch

    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if not (able.get("amx_bf16") or able.get("avx512_bf16")):
        return Precision(bf16=False, reason="float32: this CPU has no bf16 instructions")
    gain = bf16_gain()
    name = _name(bf16=gain >= _WORTH)
    reason = f"{name}: bf16 is {gain:.1f} times as fast on this CPU"
    return Precision(bf16=gain >= _WORTH, reason=reason)


def bf16_gain() -> float:
    """Measure how many times faster this CPU multiplies matrices in bf16 than in float32.

    Having the instructions says little: of two kinds of machine that have avx512_bf16 one was
    slowed by it to 0.6 times float32's speed. What else the machine does must not count: the two
    take turns, and the fastest product of each is compared. Some 0.2 s in all.
    """
    import torch

    single = torch.ones(_SIDE, _SIDE)
    half = single.bfloat16()
    _seconds(single), _seconds(half)  # the first ones prepare
    until = time.perf_counter() + _SECONDS
    times: list[tuple[float, float]] = []
    while len(times) < _FEWEST or time.perf_counter() < until:
        times.append((_seconds(single), _seconds(half)))
    return min(one for one, _ in times) / min(other for _, other in times)


def _seconds(matrix: Any) -> float:  # noqa: ANN401  torch's tensor
    """Return the time of a product of the matrix with itself."""
    start = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - start


def _name(*, bf16: bool) -> str:
    return "bf16" if bf16 else "float32"


def training_device() -> str:
    """Return where weights are trained on this machine."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def to_training_device(base: Base) -> None:
    """Move a base's weights to where they will be trained."""
    base.weights.to(training_device())
