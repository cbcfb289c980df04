"""`understudy retrain` as a person or a timer calls it: what it prints, and its exit status."""

import io
import re
import threading
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from model.artifacts.artifact import LearnedChat
from model.artifacts.registry import Registry
from model.errors import UnderstudyError
from pipeline.cli.main import app
from pipeline.export.reader import CHUNK
from pipeline.retrain import run
from pipeline.retrain.request import RetrainResult
from pipeline.terminal import (
    STEPS,
    Watch,
)
from tests.model.fake_artifacts import make
from tests.pipeline.chats import account, chat, conversation, write
from tests.pipeline.retrain.dumps import dump


@pytest.fixture
def call(running):
    def run(*words):
        command = ["retrain", *map(str, words), "--models-dir", str(running.root)]
        return CliRunner().invoke(app, command)

    return run


def test_nothing_new_is_one_line_and_no_failure(running, call):
    (same,) = running.put(chat(*conversation(20)))

    result = call(same, "--no-live-bot", "--quiet")

    assert result.exit_code == 0
    assert result.output.startswith("no new messages since 2024-03-03")
    assert len(result.output.splitlines()) == 1


def test_ctrl_c_says_that_nothing_changed(running, call, monkeypatch):
    (fresh,) = running.put(chat(*conversation(45)))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_retrain", interrupted)

    result = call(fresh, "--no-live-bot", "--quiet")

    assert result.exit_code == 130
    assert "stopped; the current version is unchanged" in result.output


def test_a_missing_dump_is_one_line(running, call):
    (fresh,) = running.put(chat(*conversation(45)))

    result = call(fresh)

    assert isinstance(result.exception, UnderstudyError)
    assert "--no-live-bot" in str(result.exception)


def test_a_shorter_export_waits_for_yes_where_nobody_can_be_asked(running, call):
    (shorter,) = running.put(chat(*conversation(20)[8:]))

    asked = call(shorter, "--no-live-bot")
    agreed = call(shorter, "--no-live-bot", "--yes")

    assert "or pass --yes if this is intended" in str(asked.exception)
    assert agreed.exit_code == 0
    assert "train with --force-training" in agreed.output


def test_each_file_is_read_twice_at_most(running, call, monkeypatch):
    older, dumped = running.put(chat(*conversation(10)), dump())
    whole = write(running.folder / "whole", account(chat(*conversation(20)), chat(id=5, name="B")))
    files, counts, open_path = {older, whole, dumped}, Counter(), Path.open

    class Counted(io.BufferedReader):
        def read(self, size=-1):
            part = super().read(size)
            counts[Path(self.raw.name)] += len(part)
            return part

    def open_counted(path, *words, **more):
        file = open_path(path, *words, **more)
        return Counted(file.detach()) if path in files else file

    monkeypatch.setattr(Path, "open", open_counted)

    result = call(older, whole, dumped, "--yes")

    assert result.exit_code == 0
    assert counts.keys() == files
    for file, count in counts.items():
        assert count <= 2 * (file.stat().st_size + CHUNK), file  # a chunk shows the format


def test_brackets_in_a_name_are_no_markup(running, call):
    damaged = chat(*conversation(20), {"id": "x", "type": "message"})
    file = write(running.folder / "[" / "red]", damaged)

    result = call(file, "--no-live-bot")

    assert result.exit_code == 0
    assert "[/red]/result.jsonisdamaged" in "".join(result.stdout.split())


def test_why_a_version_does_not_serve_is_the_last_line_of_the_errors(running, call, monkeypatch):
    why = RetrainResult("0002-0123abcd is not promoted: it is worse", "0002-0123abcd", receipt="r")
    monkeypatch.setattr(run, "retrain", lambda *_: why)

    result = call(*running.put(chat()), "--quiet")

    assert result.exit_code == 1
    assert result.stderr == "0002-0123abcd is not promoted: it is worse\n"
    assert result.stdout == "Receipt: r\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "from=nowhere"], "--set: from: must be base or current, not nowhere"),
        (["--force-promotion", " "], "--force-promotion needs a reason"),
        (["--set", "keep=0"], "--set: keep: must be a whole number of 1 or more, not 0"),
    ],
)
def test_an_option_that_makes_no_sense_is_wrong_usage(call, words, says):
    result = call("result.json", *words)

    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())


def test_help_names_every_option_and_its_default(call):
    told = " ".join(re.sub(r"[│╭╮╰╯─]", " ", call("--help").output).split())

    for words in (
        "--no-live-bot",
        "--resume",
        "the current version's",
        "understudy settings retrain",
    ):
        assert words in told


@pytest.mark.parametrize("lasted", [{}, {"read": 2.0, "train": 9.0}], ids=["first", "later"])
def test_a_terminal_shows_one_bar_and_the_time_left_once_known(lasted, monkeypatch):
    monkeypatch.setattr("pipeline.terminal._MIN_SECONDS", 0.0)
    shown = io.StringIO()
    watch = Watch(Console(file=shown, force_terminal=True, width=80), lasted)

    for step in STEPS:
        watch.begin(step)
        if step == "train":
            with watch.step("Loading a base"):
                pass
            watch.share(0.5)
    watch.stop()

    told = shown.getvalue()
    assert re.search(r"overall.* \d\d %", told)
    assert bool(re.search(r"overall.*about .* left", told)) == bool(lasted)
    assert "Loading a base" in told
    assert set(watch.seconds) == set(STEPS)


def test_the_shares_of_the_bar_are_those_of_the_last_run():
    lasted = {"read": 1.0, "erase": 1.0, "keep": 1.0, "build": 1.0, "train": 12.0}
    shown = io.StringIO()
    watch = Watch(Console(file=shown, force_terminal=True, width=80), lasted)

    for step in ("read", "erase", "keep", "build", "train"):
        watch.begin(step)
    watch.begin("compare")  # on from there, as if scoring had not been needed
    watch.stop()

    assert " 88 %" in shown.getvalue()


def test_one_thread_redraws_all_bars():
    watch = Watch(Console(file=io.StringIO(), force_terminal=True, width=80))
    before = {*threading.enumerate()}

    watch.begin("train")
    with watch.step("Loading a base"):
        during = {*threading.enumerate()} - before
    with watch.count("Replies", 2) as advance:
        advance(1)
        bars = {*threading.enumerate()} - before
    watch.stop()

    assert (len(during), len(bars)) == (1, 1)


class TestGroupFolders:
    """The models folder of a chat is found among those of groups."""

    @pytest.fixture
    def call(self, running, monkeypatch):
        """Return what calls `retrain` without --models-dir, where `artifacts` is the root."""
        (running.folder / "artifacts").symlink_to(running.root)
        monkeypatch.chdir(running.folder)
        return lambda *words: CliRunner().invoke(app, ["retrain", *map(str, words)])

    @pytest.fixture
    def with_group(self, running):
        """Add the folder of a group whose model learned from the chat of the given number."""

        def add(name, number):
            own = Registry(running.root / "groups" / name)
            chats = (LearnedChat(-(10**12 + number), name),)
            own.promote(own.add(make(running.folder / name, words=name, chats=chats)))
            return Path("artifacts") / "groups" / name

        return add

    @pytest.fixture
    def roots(self, monkeypatch):
        """The folders in which retrainings were started."""
        found = []

        def start(request, _):
            found.append(request.root)
            return RetrainResult("nothing to do")

        monkeypatch.setattr(run, "retrain", start)
        return found

    def test_a_groups_export_trains_its_own_model(self, running, call, with_group, roots):
        own = with_group("climbers", 88)
        with_group("zoo", 99)
        mine, theirs = running.put(chat(*conversation(2)), chat(*conversation(2), id=88))

        results = [call(one, "--no-live-bot") for one in (theirs, mine)]

        assert roots == [own, Path("artifacts")]
        assert f"Models folder: {own}" in "".join(results[0].output.splitlines())
        assert "Models folder" not in results[1].output

    def test_a_chat_of_an_account_is_found_by_its_name(self, running, call, with_group, roots):
        own = with_group("climbers", 88)
        with_group("zoo", 99)
        chats = [chat(*conversation(2), id=one, name=f"Chat {one}") for one in (88, 99)]
        (file,) = running.put(account(*chats))

        call(file, "--no-live-bot", "--chat", "Chat 88")

        assert roots == [own]

    def test_another_chat_is_refused_as_without_groups(self, running, call, with_group):
        with_group("climbers", 88)
        (other,) = running.put(chat(*conversation(2), id=66))

        result = call(other, "--no-live-bot")

        assert "another folder with --models-dir" in str(result.exception)

    def test_a_chat_of_nobody_never_becomes_the_default_models(self, running, call, with_group):
        with_group("climbers", 88)
        for folder in ("versions", "models.db", "current"):
            running.root.joinpath(folder).rename(running.folder / f"old {folder}")
        (other,) = running.put(chat(*conversation(2), id=66))

        result = call(other, "--no-live-bot")

        assert "to Friends (-1000000000066): use --models-dir artifacts/groups/NAME" in (
            str(result.exception)
        )

    def test_a_given_folder_is_used(self, running, call, with_group, roots):
        with_group("climbers", 88)
        (theirs,) = running.put(chat(*conversation(2), id=88))

        call(theirs, "--no-live-bot", "--models-dir", "artifacts")

        assert roots == [Path("artifacts")]

    def test_a_broken_folder_of_a_group_does_not_matter_to_others(
        self, running, call, with_group, roots
    ):
        broken, own = with_group("choir", 77), with_group("climbers", 88)
        (broken / "current").write_text("0099-abcdef01\n")
        (broken / "models.db").write_text("no database")
        (theirs,) = running.put(chat(*conversation(2), id=88))

        call(theirs, "--no-live-bot")

        assert roots == [own]
