"""The help of both programs, and their answers to wrong usage and to errors."""

import re

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from bot.__main__ import cli as bot_app
from model.command_line import add_commands, make_app, run_app
from model.errors import UnderstudyError
from pipeline.cli.main import app as pipeline_app


def commands_of(app, *words):
    """Yield the words of every command and group of a program."""
    yield words
    for name, command in app.commands.items():
        yield (*words, name)
        for inner in getattr(command, "commands", {}):
            yield (*words, name, inner)


COMMANDS = [(app, words) for app in (pipeline_app, bot_app) for words in commands_of(app)]


def command_at(app, words):
    command = app
    for word in words:
        command = command.commands[word]
    return command


@pytest.mark.parametrize(("app", "words"), COMMANDS, ids=[" ".join(w) for _, w in COMMANDS])
def test_help_fits_80_columns_and_shows_nothing_of_python(app, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    command = command_at(app, words)

    result = CliRunner().invoke(app, [*words, "--help"])

    lines = result.output.splitlines()
    assert result.exit_code == 0
    assert max(map(cell_len, lines)) <= 80
    assert not re.search(
        r"<\w|list\[|\bint\b|\bstr\b|INTEGER|FLOAT|TEXT|default: None|PosixPath", result.output
    )
    for one in getattr(command, "options", ()):
        if not one.panel:
            assert any(one.help in line for line in lines), f"{one.name} is broken in two lines"
            assert f"--no-{one.name}" in result.output or not one.can_switch_off


@pytest.mark.parametrize(("app", "words"), COMMANDS, ids=[" ".join(w) for _, w in COMMANDS])
def test_a_command_s_help_begins_with_one_line_and_ends_with_an_example(app, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    command = command_at(app, words)

    shown = CliRunner().invoke(app, [*words, "--help"]).output.splitlines()

    first, *rest = command.help.splitlines()
    assert first.endswith(".")
    assert not rest or not rest[0]
    if words:
        assert any(line.strip() == first for line in shown)
    if not hasattr(command, "commands"):
        (example,) = (line.split(": ", 1)[1].strip() for line in shown if "Example: " in line)
        assert example.split()[1 : len(words) + 1] == list(words)


def test_a_list_of_commands_shows_each_on_one_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    for app, words in COMMANDS:
        shown = CliRunner().invoke(app, [*words, "--help"]).output
        for command in getattr(command_at(app, words), "commands", {}).values():
            assert command.help.splitlines()[0] in shown


def app_that_raises(error, monkeypatch):
    """Return a program whose only command raises an error."""
    monkeypatch.setattr("sys.argv", ["program", "fail"])

    def fail():
        raise error

    app = make_app("Fail.")
    add_commands(app, [(fail, "program fail")])
    return app


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UnderstudyError("no model\x1b[31m"), "program: no model[31m\n"),
        (
            FileNotFoundError(2, "no", "there"),
            "program: cannot use there: No such file or directory\n",
        ),
    ],
    ids=["one of ours", "the system's"],
)
def test_an_error_that_a_person_can_fix_is_one_line(error, line, capsys, monkeypatch):
    app = app_that_raises(error, monkeypatch)

    with pytest.raises(SystemExit) as caught:
        run_app(app, "program", exit_at_signals=False)

    assert caught.value.code == 1
    assert capsys.readouterr().err == line


def test_an_error_in_a_terminal_is_wrapped_between_words(monkeypatch, capsys):
    path = f"/a/{'long-' * 12}path.json"
    error = UnderstudyError(f"{'cannot read this file ' * 4}{path}: name another")
    app = app_that_raises(error, monkeypatch)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")

    with pytest.raises(SystemExit):
        run_app(app, "program", exit_at_signals=False)

    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("program: cannot read this file")
    assert all(line.startswith("  ") for line in lines[1:])
    assert f"  {path}:" in lines
    assert all(len(line) <= 60 for line in lines if path not in line)


@pytest.mark.parametrize(
    ("app", "program"), [(pipeline_app, "understudy"), (bot_app, "understudy-bot")]
)
def test_both_programs_print_their_version(app, program):
    result = CliRunner().invoke(app, ["--version"])

    assert result.exit_code == 0
    assert re.fullmatch(rf"{program} \d+\.\d+\.\d+\n", result.output)


@pytest.mark.parametrize(
    ("app", "program", "word"),
    [(pipeline_app, "understudy", "simulate"), (bot_app, "understudy-bot", "playground")],
)
def test_both_programs_complete_their_commands_in_a_shell(app, program, word):
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    line = {"COMP_WORDS": f"{program} {word[:3]}", "COMP_CWORD": "1"}

    shown = CliRunner().invoke(app, [], prog_name=program, env={variable: "bash_source"})
    found = CliRunner().invoke(app, [], prog_name=program, env={variable: "bash_complete", **line})

    assert f"{variable}=bash_complete" in shown.output
    assert found.output.split() == [f"plain,{word}"]
