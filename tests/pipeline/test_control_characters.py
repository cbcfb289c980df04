"""No name of a chat or a person can make a command's output control a terminal."""

import io
import json
import sys
import unicodedata
from contextlib import suppress

import pytest

from model.artifacts.artifact import LearnedChat
from model.artifacts.registry import Registry
from model.chat.names import (
    MAX_SHOWN_NAME,
    escape_control_characters,
    make_printable_lines,
    make_printable_name,
)
from model.errors import UnderstudyError
from pipeline.cli import main
from tests.model.fake_artifacts import make
from tests.pipeline.chats import account, chat, conversation, entry, write
from tests.pipeline.retrain.retrain_runner import RetrainRunner

HOSTILE = {
    "ANSI": "\x1b[31m\x1b]0;owned\x07red",
    "one byte's CSI": "\x9b31mred",
    "bidi overrides": "\u202egnp.exe\u2066x\u2069",
    "line breaks": "a\nunderstudy: b\r\u2028c\u2029d\x85e",
    "NUL and backspace": "a\x00b\x08\x08c",
    "a tag": "x\U000e0041\ufeff",
    "markup": "[bold red]x[/bold red]",
    "very long": "long " * 5_000,
}


def is_safe(text):
    """Whether line breaks are the only invisible characters in a text."""
    odd = [c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    return set(odd) <= {"\n"}


@pytest.fixture
def run(capsys, monkeypatch):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["understudy", *map(str, words)])
        with suppress(SystemExit):
            main.main()
        out, err = capsys.readouterr()
        return out + err

    return call


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_no_command_prints_a_name_that_controls_the_terminal(tmp_path, run, name):
    def named(entries):
        return [{**one, "from": name + one["from_id"]} for one in entries]

    talk = chat(*named(conversation()), name=name)
    alone = chat(*named([entry(1, 1, "a"), entry(2, 1, "b")]), name=name, id=5)
    nobody = chat(entry(1, 1, "a", forwarded_from="x"), name=name, id=6)
    nameless = {**talk, "id": None}
    one = write(tmp_path / "one", talk)
    several = write(tmp_path / "several", account(talk, alone, nobody))
    lost = write(tmp_path / "lost", nameless)
    into = ("--out", tmp_path / "out", "--min-messages", "1")
    title = LearnedChat(-5, name)
    folder = make(tmp_path / "made", chats=(title,))
    registry = Registry(tmp_path / "models")
    registry.add(folder)

    printed = [
        run("inspect", one),
        run("inspect", several),
        run("inspect", one, "--json"),
        run("inspect", one, "--roster", tmp_path / "roster.toml"),
        run("build", one, *into),
        run("build", several, *into),
        run("build", several, *into, "--chat", "5"),
        run("build", several, *into, "--chat", "6"),
        run("build", several, *into, "--chat", name),
        run("build", one, *into, "--since", "2099-01-01"),
        run("build", lost, *into),
        run("models", "list", "--models-dir", registry.root),
        run("models", "show", registry.names[0], "--models-dir", registry.root),
        run("retrain", one, "--models-dir", registry.root, "--no-live-bot"),
    ]

    for text in printed:
        assert is_safe(text), text
        assert "Traceback" not in text, text
        assert len(text) < 20_000 or text is printed[2]
    value = printed[2][printed[2].index("{") : printed[2].rindex("}") + 1]
    assert json.loads(value)["chats"][0]["name"] == name
    assert is_safe((tmp_path / "out" / "summary.json").read_text())
    assert is_safe((tmp_path / "roster.toml").read_text())


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_talking_and_evaluating_print_no_text_that_controls_the_terminal(
    trained, tmp_path, run, monkeypatch, name
):
    models = ("--models-dir", trained.root)
    lines = tmp_path / "lines.txt"
    lines.write_text(f"Hugo: {name}\n{name}: hello\n", "utf-8", errors="replace")
    word = name.replace("\0", "")[:100]  # the system allows neither in an argument
    start = ("--opening", lines, "--seed", "1", *models)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{name}\n/as {name}\n"))

    printed = [
        run("chat", "--as", "Hugo", "--me", word, *start),
        run("chat", "--as", word, *start),
        run("simulate", "--turns", "1", *start),
        run("simulate", "--turns", word, *models),
        run("evaluate", word, *models),
        run("evaluate", "--data", tmp_path / word, *models),
        run("evaluate", "--split", word, *models),
    ]

    for text in printed:
        assert text
        assert is_safe(text), text
        assert "Traceback" not in text, text


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_retraining_prints_and_stores_no_control_characters_in_names(tmp_path, name):
    runner = RetrainRunner(tmp_path, about={"name": name})
    result = runner.first()
    said = result.message
    with pytest.raises(UnderstudyError) as caught:
        runner.run(chat(*conversation(21), id=5, name=name), no_live_bot=True)
    said += make_printable_lines(str(caught.value))

    assert is_safe(said + runner.shown.getvalue())
    texts = [path for path in runner.root.rglob("*") if path.suffix in {".json", ".toml", ".txt"}]
    assert texts
    assert all(is_safe(path.read_text("utf-8")) for path in texts)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_name_is_shown_on_one_short_line(name):
    shown = make_printable_name(name)

    assert shown
    assert is_safe(shown)
    assert "\n" not in shown
    assert len(shown) <= MAX_SHOWN_NAME + 1


def test_a_usual_name_is_shown_as_it_is():
    for name in ("Sofia Šimková", "علی‌رضا", "👨‍👩‍👧 Família", "❤️", "a & b"):
        assert make_printable_name(name) == name


def test_escaped_json_is_read_back_unchanged():
    for name in HOSTILE.values():
        text = escape_control_characters(json.dumps({"name": name}, ensure_ascii=False, indent=1))

        assert is_safe(text)
        assert json.loads(text) == {"name": name}
