"""Memory that training has freed is used again."""

import platform
import subprocess
import sys

import pytest

needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt and malloc_trim"
)
COUNT_FAULTS = """
import resource, sys
import numpy as np
from pipeline.training.machine import reuse_freed_memory

if sys.argv[1] == "reuse":
    reuse_freed_memory()
np.ones(8_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_faults(mode):
    command = [sys.executable, "-c", COUNT_FAULTS, mode]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


COUNT_BYTES = """
import psutil
import numpy as np
from pipeline.training.machine import return_freed_memory, reuse_freed_memory

reuse_freed_memory()
np.ones(8_000_000)
before = psutil.Process().memory_info().rss
return_freed_memory()
print(before - psutil.Process().memory_info().rss)
"""


@needs_glibc
def test_freed_memory_can_be_returned():
    command = [sys.executable, "-c", COUNT_BYTES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert int(done.stdout) > 60_000_000


@needs_glibc
def test_memory_that_was_freed_is_not_requested_again():
    assert count_faults("reuse") * 10 < count_faults("default")
