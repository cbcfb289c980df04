"""Count this machine's cores, tune how its C library allocates memory, and delay signals."""

import ctypes
import os
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_glibc() -> bool:
    """Whether the C library is glibc, whose `mallopt` and `malloc_trim` tune it."""
    return platform.libc_ver()[0] == "glibc"


def set_malloc_option(option: int, value: int) -> None:
    """Set an option of glibc's `mallopt`, numbered as in malloc.h; leave other systems alone."""
    if has_glibc():
        ctypes.CDLL(None).mallopt(option, value)


@contextmanager
def signals_blocked(*numbers: signal.Signals) -> Iterator[None]:
    """Delay these signals until the block has ended; processes started in it never get them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
