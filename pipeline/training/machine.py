"""Describe this machine: cores, memory, GPU, and the versions of the libraries that use them."""

import ctypes
import gc
import importlib.util
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from model.machine import count_cores, has_glibc, set_malloc_option

GIB = 2**30
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h
_NEVER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that torch can use: its memory in bytes, and whether it computes in bf16."""

    name: str
    memory: int
    bf16: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """What matters for training and serving; memory in bytes, versions "" where missing."""

    system: str
    cores: int
    memory: int
    free_memory: int
    gpu: Gpu | None
    python: str
    torch: str
    ctranslate2: str

    @property
    def training_memory(self) -> int:
        """Return the bytes that training can use: the GPU's, or the machine's free memory."""
        return self.gpu.memory if self.gpu else self.free_memory


def describe_machine() -> Machine:
    """Inspect this machine; imports torch, if it is installed, to find the GPU."""
    memory, free = _memory()
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cores=count_cores(),
        memory=memory,
        free_memory=free,
        gpu=_find_gpu(),
        python=platform.python_version(),
        torch=_version_of("torch"),
        ctranslate2=_version_of("ctranslate2"),
    )


def reuse_freed_memory() -> None:
    """Make glibc keep the memory of freed tensors for the next ones; other systems are left alone.

    By default it returns large blocks to the system at once, and each training step waits until
    the kernel has cleared gigabytes of pages again (docs/development/experiments.md).
    """
    set_malloc_option(_M_MMAP_MAX, 0)
    set_malloc_option(_M_TRIM_THRESHOLD, _NEVER)


@contextmanager
def little_garbage_collection() -> Iterator[None]:
    """Let garbage collections skip the objects that exist now, and run only if they are called.

    Each visits the objects of torch and transformers for 0.25 s. CTranslate2's loaders collect
    after each layer, which took 7 of the 8 s of SmolLM2's conversion; transformers reads a GGUF
    file in 11 s instead of 17 s.
    """
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def return_freed_memory() -> None:
    """Return the memory of freed tensors to the system (glibc)."""
    if has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _memory() -> tuple[int, int]:
    """Return the bytes of main memory, and how many of them programs can still get."""
    if importlib.util.find_spec("psutil"):  # comes with the training extra
        import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

        found = psutil.virtual_memory()
        return int(found.total), int(found.available)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, total


def _find_gpu() -> Gpu | None:
    if not importlib.util.find_spec("torch"):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    memory = torch.cuda.get_device_properties(0).total_memory
    return Gpu(torch.cuda.get_device_name(), int(memory), bool(bf16))


def _version_of(name: str) -> str:
    """Return the version of a package, "" if it is not installed."""
    try:
        return version(name) if importlib.util.find_spec(name) else ""
    except PackageNotFoundError:
        return ""
