"""The progress display shows the time left once it can be estimated."""

import re
import time
from io import StringIO

import pytest
from rich.console import Console

from pipeline.terminal import (
    Progress,
    file_bar,
    print_indented,
    step,
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

    with step(Console(file=said, force_terminal=True, width=80), "Counting") as show:
        show(0.5, "half of them")
        wait_for(said, "50%", "left", "half of them")

    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", said.getvalue())
    assert text.rstrip().endswith("Counting (0 s)")
    assert max(map(len, re.split("[\r\n]+", text))) <= 80


def test_a_step_that_says_nothing_keeps_moving():
    said = StringIO()

    with step(Console(file=said, force_terminal=True, width=80), "Judging"):
        first = said.getvalue()
        wait_for(said, first, "Judging", longer_than=len(first))


def wait_for(file, *words, longer_than=0):
    """Wait until a bar, which redraws itself, has written these words."""
    for _ in range(1_000):
        if all(word in file.getvalue() for word in words) and len(file.getvalue()) > longer_than:
            return
        time.sleep(0.02)
    raise AssertionError(file.getvalue())


def test_a_pipe_gets_a_line_every_half_minute(monkeypatch):
    now = iter((0.0, 10.0, 31.0, 40.0, 62.0, 70.0))
    monkeypatch.setattr("pipeline.terminal.time.monotonic", lambda: next(now))
    said = StringIO()

    with step(Console(file=said, width=80), "Training") as show:
        for share in (0.2, 0.5, 0.6, 0.9):
            show(share)

    assert said.getvalue().splitlines() == [
        "  Training … 20%  about 40 s left",
        "  Training … 60%  about 27 s left",
        "  Training (1 min)",
    ]


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


def shown(tmp_path, *, is_terminal, steps):
    """Return what a bar writes while a file of 1,000 bytes is read in these steps."""
    file = tmp_path / "result.json"
    file.write_bytes(b"x" * 1000)
    said = StringIO()
    console = Console(file=said, force_terminal=is_terminal, width=80)
    with file_bar(console, file) as told:
        for count in steps:
            told(count)
            console.print("a line")
    return said.getvalue()


def test_a_terminal_shows_how_much_of_a_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.terminal._REDRAW", 0)

    said = shown(tmp_path, is_terminal=True, steps=[300, 200])

    text = re.sub(r"\x1b\[[\d;]*m", "", said)
    assert "0.3/1.0 kB" in text
    assert "0.5/1.0 kB" in text
    assert said.count("a line") == 2


def test_nothing_of_the_bar_stays_on_the_screen(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.terminal._REDRAW", 0)

    said = shown(tmp_path, is_terminal=True, steps=[300])

    assert said.endswith("\x1b[2K")  # the line is erased


def test_a_bar_is_drawn_no_more_often_than_it_can_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.terminal._REDRAW", 3600)

    assert "0.3/1.0 kB" not in shown(tmp_path, is_terminal=True, steps=[300, 200])


def test_a_pipe_gets_no_bar(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.terminal._REDRAW", 0)

    assert shown(tmp_path, is_terminal=False, steps=[300, 200]) == "a line\na line\n"
