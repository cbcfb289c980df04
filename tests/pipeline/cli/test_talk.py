"""`chat` and `simulate` in a terminal, in a pipe, and for programs."""

import io
import json
import re

import pytest
from click.testing import CliRunner
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.cells import cell_len
from rich.console import Console

from model.chat.person import Person
from model.chat.roster import Roster
from pipeline.cli import talk as module
from pipeline.cli.main import app
from pipeline.cli.talk import (
    Talk,
    TerminalChat,
    complete_line,
    make_prompt,
    run_chat,
    run_simulation,
)
from pipeline.terminal import colours_of
from tests.command_line import understudy
from tests.model.fake_artifacts import card


class FakeSpeaker:
    """Answers with the number of lines in view; `artifact` holds the roster."""

    def __init__(self, *names):
        people = tuple(Person(name, (number,)) for number, name in enumerate(names, 1))
        self.artifact = type("Artifact", (), {"card": card(roster=Roster(people))})
        self.answers = 0

    def reply(self, context, voice):
        self.answers += 1
        return (f"answer {self.answers} after {len(context)}", "and\nmore")

    def turn(self, context, voices):
        return voices[-1], self.reply(context, voices[-1])


def talk_in(console, *names, **more):
    return Talk(FakeSpeaker(*(names or ("Hugo Silva", "Ana"))), console, **more)


def terminal(width=80, **more):
    return Console(file=io.StringIO(), force_terminal=True, width=width, **more)


@pytest.fixture
def typed(monkeypatch):
    """Answer lines that come from a pipe; return what is printed."""

    def run(*lines, as_json=False):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        console = Console(file=io.StringIO(), width=80)
        talk = talk_in(console, as_json=as_json)
        run_chat(talk, "hugo", "Me")
        return console.file.getvalue(), talk

    return run


def test_a_pipe_gets_plain_lines_of_both_sides(typed):
    said, _ = typed("hello")

    assert said == " │ Me: hello\n🎭 Hugo Silva: answer 1 after 1\n🎭 Hugo Silva: and\n     more\n"


def test_words_after_a_name_are_said_to_that_voice(typed):
    _, talk = typed("/as ana good morning")

    assert talk.lines == ["Me: good morning", "Ana: answer 1 after 1", "Ana: and\rmore"]


def test_again_replaces_the_last_answer(typed):
    said, talk = typed("hello", "/again")

    assert talk.lines == ["Me: hello", "Hugo Silva: answer 2 after 1", "Hugo Silva: and\rmore"]
    assert "answer 1" in said


def test_anyone_lets_the_model_choose_who_answers(typed):
    _, talk = typed("/as anyone hello", "and you?")

    assert [line.split(":")[0] for line in talk.lines] == ["Me", "Ana", "Ana", "Me", "Ana", "Ana"]


def test_quit_ends_and_an_unknown_command_is_no_message(typed):
    said, talk = typed("/az Hugo", "/quit", "never read")

    assert "there is no command /az: /help lists them" in said
    assert talk.lines == []


def test_json_is_one_object_for_each_line_of_the_input(typed, capsys):
    typed("hello", "/as nobody", "/voices", "/as ana", as_json=True)

    values = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    answer = {"messages": ["answer 1 after 1", "and\nmore"], "generated": True}
    assert values[0] == {"name": "Hugo Silva", **answer}
    assert values[1]["error"].startswith("no voice is called 'nobody'")
    assert values[2] == {"voices": ["Hugo Silva", "Ana"]}
    assert values[3]["name"] == "Ana"
    assert len(values) == 4


def test_json_escapes_what_would_change_a_screen(capsys):
    talk = talk_in(None, as_json=True)

    talk.print_turn("Ana", ["\x9b31m\u202e"], generated=False)

    printed = capsys.readouterr().out
    assert "\\u009b31m\\u202e" in printed
    assert json.loads(printed)["messages"] == ["\x9b31m\u202e"]


def test_a_simulation_prints_one_object_for_each_turn(trained):
    result = understudy(
        "simulate", "--turns", 2, "--seed", 2, "--json", "--models-dir", trained.root
    )

    assert result.returncode == 0, result.stderr
    turns = [json.loads(line) for line in result.stdout.splitlines()]
    assert [turn["generated"] for turn in turns] == [False] * 4 + [True] * 2
    assert all(turn["messages"] for turn in turns)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["chat", "--models-dir", "{root}", "--as", "H"], ["Hugo"]),
        (["simulate", "--models-dir", "{root}", "--model", "c"], ["current"]),
        (["models", "promote", "--models-dir", "{root}", "0"], ["{version}"]),
        (["chat", "--models-dir", "nowhere", "--as", "H"], []),
    ],
    ids=["a voice", "a version of an option", "a version", "no model"],
)
def test_the_shell_completes_voices_and_versions(trained, words, found):
    facts = {"root": trained.root, "version": trained.current}
    line = ["understudy", *(word.format(**facts) for word in words)]
    asked = {"COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)}

    result = CliRunner().invoke(
        app, [], prog_name="understudy", env={"_UNDERSTUDY_COMPLETE": "bash_complete", **asked}
    )

    assert result.output.split() == [f"plain,{one.format(**facts)}" for one in found]


def test_a_terminal_shows_names_in_their_colours_and_wraps_below_them():
    console = terminal(40, color_system="256")
    talk = talk_in(console)

    talk.print_turn("Ana", ["word " * 20], generated=True)

    lines = console.file.getvalue().splitlines()
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    assert re.match(r"🎭 \x1b\[1;38;5;\d+mAna: \x1b\[0mword", lines[0])
    assert max(map(cell_len, plain)) <= 40
    assert all(line.startswith("   word") for line in plain[1:])


def test_no_colour_is_used_where_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = terminal()

    talk_in(console).print_turn("Ana", ["hi"], generated=True)

    assert "38;" not in console.file.getvalue()
    assert "3" not in re.findall(r"\x1b\[([\d;]*)m", console.file.getvalue())


def test_control_characters_of_a_message_do_not_reach_the_terminal():
    console = terminal()

    talk_in(console).print_turn("Ana", ["\x1b]0;title\x07\u202ehi"], generated=False)

    assert "\x1b]" not in console.file.getvalue()
    assert "\u202e" not in console.file.getvalue()


def test_a_colour_stays_with_its_name_and_no_two_of_ten_are_the_same():
    names = [f"Friend {number}" for number in range(10)]

    colours = colours_of(names)

    assert len(set(colours.values())) == 10
    assert colours_of(reversed(names)) == colours
    assert colours_of(["Friend 3"]) == colours_of(["Friend 3"])
    assert len(colours_of([*names, "another"])) == 11


def test_commands_and_names_are_completed():
    talk = talk_in(terminal(), "João", "Hugo Silva", "Ana")

    def completions(line):
        return [text for text, _, _ in complete_line(talk, line)]

    assert completions("/a") == ["/as", "/again"]
    assert completions("/as JO") == ["João"]
    assert completions("/as ") == ["João", "Hugo Silva", "Ana", "anyone"]
    assert completions("/as hugo silva hello") == []
    assert completions("hello") == []


def test_the_line_editor_completes_and_remembers_lines():
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        session = make_prompt(TerminalChat(talk_in(terminal()), "Ana", "Me"))
        keys.send_text("/as hu\t hi\r")
        first = session.prompt()
        keys.send_text("\x1b[A!\r")
        second = session.prompt()

    assert first == "/as Hugo Silva hi"
    assert second == f"{first}!"


def test_without_its_library_a_line_is_read_as_always(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "prompt_toolkit", None)

    assert make_prompt(TerminalChat(talk_in(terminal()), "Ana", "Me")) is None


def test_the_terminal_says_that_an_answer_is_on_its_way():
    console = terminal()

    run_simulation(talk_in(console), 1)

    assert "somebody is writing …" in console.file.getvalue()
    assert module.ANYONE not in console.file.getvalue()
