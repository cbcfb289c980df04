"""The progress display shows the time left once it can be estimated."""

import re
from io import StringIO

import pytest
from rich.console import Console

from pipeline.terminal import (
    TrainingProgress,
    describe,
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


def test_a_training_s_first_steps_show_no_time_left():
    first, later = (
        describe(TrainingProgress(share, 20.0, 1, None, 3.0)) for share in (0.0002, 0.25)
    )

    assert first == "  0%  loss …  3.0 per second"
    assert later == " 25%  loss …  3.0 per second  1 min left"


def test_a_step_shows_how_much_of_it_is_done(monkeypatch):
    monkeypatch.setattr("pipeline.terminal._REDRAW", 0)
    said = StringIO()

    with step(Console(file=said, force_terminal=True, width=80), "Counting") as show:
        show(0.25)
        show(0.5)

    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", said.getvalue())
    assert "Counting … 25%" in text
    assert "Counting … 50%" in text
    assert text.rstrip().endswith("Counting (0 s)")


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
