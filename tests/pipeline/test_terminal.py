"""The progress display shows the time left once it can be estimated."""

import re
import time
from io import StringIO

import pytest
from rich.console import Console

from pipeline.terminal import (
    Progress,
    print_indented,
    time_left,
)


@pytest.mark.parametrize(
    ("share", "seconds", "left"),
    [
        (0.0, 0.0, ""),
        (0.0001, 13.0, ""),
        (0.04, 300.0, ""),
        (0.3, 2.0, ""),
        (0.1, 60.0, "9 min"),
        (0.5, 7_500.0, "2 h 5 min"),
        (1.0, 60.0, "0 s"),
    ],
)
def test_no_time_left_is_shown_before_it_can_be_estimated(share, seconds, left):
    assert time_left(share, seconds) == left


def test_a_step_shows_how_much_of_it_is_done_and_the_time_left(monkeypatch):
    monkeypatch.setattr("pipeline.terminal._MIN_SECONDS", 0.0)
    said = StringIO()

    with Progress(Console(file=said, force_terminal=True, width=80)).step("Counting") as show:
        show(0.5, "half of them")
        wait_for(said, "50%", "left", "half of them")

    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", said.getvalue())
    assert text.rstrip().endswith("Counting (0 s)")
    assert max(map(len, re.split("[\r\n]+", text))) <= 80


def test_a_step_that_says_nothing_keeps_moving():
    said = StringIO()

    with Progress(Console(file=said, force_terminal=True, width=80)).step("Judging"):
        first = said.getvalue()
        wait_for(said, first, "Judging", longer_than=len(first))


def wait_for(file, *words, longer_than=0):
    """Wait until a bar, which redraws itself, has written these words."""
    for _ in range(1_000):
        if all(word in file.getvalue() for word in words) and len(file.getvalue()) > longer_than:
            return
        time.sleep(0.02)
    raise AssertionError(file.getvalue())


def test_a_pipe_gets_a_line_after_two_seconds_and_then_each_half_minute(monkeypatch):
    monkeypatch.setattr("pipeline.terminal._FIRST_SECONDS", 0.02)
    monkeypatch.setattr("pipeline.terminal._PRINT_SECONDS", 0.02)
    monkeypatch.setattr("pipeline.terminal._MIN_SECONDS", 0.0)
    said = StringIO()

    with Progress(Console(file=said, width=80)).step("Training") as show:
        wait_for(said, "  Training …\n")
        show(0.6, "loss 2")
        wait_for(said, "  Training … 60%  about 0 s left  loss 2\n")

    assert said.getvalue().endswith("  Training (0 s)\n")


def test_details_are_for_those_who_ask():
    said = StringIO()

    Progress(Console(file=said)).detail("bf16")
    Progress(Console(file=said), verbose=True).detail("macro-F1")

    assert said.getvalue() == "  macro-F1\n"


def test_a_long_text_keeps_its_indent():
    said = StringIO()

    print_indented(" ".join(["word"] * 30), Console(file=said, width=40))

    lines = said.getvalue().splitlines()
    assert len(lines) > 3
    assert all(line.startswith("  word") and len(line) <= 40 for line in lines)


def test_a_count_shows_the_share_of_its_parts_that_is_done():
    said = StringIO()

    with Progress(Console(file=said, force_terminal=True, width=80)).count("Reading", 1000) as add:
        add(300)
        add(200)
        wait_for(said, "50%")

    assert said.getvalue().rstrip().endswith("\x1b[0m")
    assert "Reading" in said.getvalue()


def test_a_pipe_gets_no_line_in_the_first_two_seconds():
    said = StringIO()

    with Progress(Console(file=said, width=80)).count("Reading", 1000) as add:
        add(300)

    assert said.getvalue() == "  Reading (0 s)\n"


def test_a_title_is_no_markup():
    said = StringIO()

    with Progress(Console(file=said, force_terminal=True, width=80)).step("Reading [/red] [b]x"):
        wait_for(said, "[/red] [b]x")
