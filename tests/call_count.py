"""Count function calls, which do not depend on the speed of the machine."""

import sys


def count_calls(work):
    """Return how many Python and C functions `work` calls."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
