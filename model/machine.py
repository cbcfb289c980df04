"""Count this machine's cores, and tune how its C library allocates memory."""

import ctypes
import os
import platform


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
