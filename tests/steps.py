"""Counts the calls that a piece of work makes: the same on a slow machine as on a fast one."""

import sys


def steps(work):
    """Return how many Python and C functions are called while this runs."""
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
