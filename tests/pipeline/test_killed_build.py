"""A build that is stopped by a signal leaves no text of the chat, whenever the signal comes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.pipeline.chats import chat, conversation, entry, write
from tests.pipeline.retrain.retrain_runner import found

WORD = "xylophonequartet"
PLACES = ("HOME", "HF_HOME", "XDG_CACHE_HOME", "TMPDIR", "SQLITE_TMPDIR")
STAGES = ("Reading", "Replacing", "Writing", "Pairing", "naming")
STOP_AT = """
import os, sys, time
from pipeline.cli import main as cli
from pipeline.dataset import build
from pipeline.terminal import Progress

stage, number = sys.argv[1], int(sys.argv[2])
step, give_name = Progress.step, build.give_name


def stop():
    os.kill(os.getpid(), number)
    time.sleep(60)


def begin_and_stop(self, title):
    if title.startswith(stage):
        print(title, flush=True)
        stop()
    return step(self, title)


def name_and_stop(file, path):
    give_name(file, path)
    stop()


Progress.step = begin_and_stop
if stage == "naming":
    build.give_name = name_and_stop
sys.argv[1:] = sys.argv[3:]
cli.main()
"""
"""Runs a build that sends itself a signal when a stage begins, or when its table has a name."""


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    return tmp_path / "work"


@pytest.fixture
def start(tmp_path, work, pipeline_python):
    """Start a build in a process of its own, which prints its stages."""
    small = write(tmp_path / "small", chat(*conversation()))
    places = {**os.environ, "PYTHONUNBUFFERED": "1"}
    places |= dict.fromkeys(PLACES, str(tmp_path / "home"))

    def run(*program, export=small):
        command = [*(program or ("-m", "pipeline.cli")), "build", export]
        return subprocess.Popen(
            [pipeline_python, *map(str, command), "--out", "ds", "--min-messages", "1"],
            cwd=work, env=places, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    return run


@pytest.fixture
def export(tmp_path):
    """Return an export whose build takes a while: 300 conversations of 40 messages."""
    many = [
        entry(n, 1 + n // 3 % 2, f"{WORD} {n} and so on and on", n // 40 * 12_000 + n % 40 * 70)
        for n in range(1, 12_000)
    ]
    return write(tmp_path / "export", chat(*many))


def finish(build):
    """Return the exit status of a build."""
    build.communicate(timeout=300)
    return build.returncode


def worded(entries):
    """Return entries that all hold the word."""
    return [{**one, "text": f"{WORD} {one['id']}"} for one in entries]


def left(tmp_path):
    """Return the files outside a finished dataset that hold the chat's words."""
    ds = tmp_path / "work" / "ds"
    places = [tmp_path / "work", tmp_path / "home"]
    return [path for place in places for path in found(place, WORD) if ds not in path.parents]


def check_words(tmp_path, number):
    """Check that a stopped build left no words that others can read, after SIGTERM none at all."""
    if number == signal.SIGTERM:
        assert left(tmp_path) == []
    else:  # only between naming its files and moving their folder, a moment
        work = tmp_path / "work"
        for path in left(tmp_path):
            folders = [folder for folder in path.parents if work in folder.parents]
            assert any(folder.stat().st_mode & 0o777 == 0o700 for folder in folders)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("stage", STAGES)
def test_a_build_that_is_stopped_leaves_no_words(tmp_path, work, start, number, stage):
    export = write(tmp_path / "export", chat(*worded(conversation())))
    status = finish(start("-c", STOP_AT, stage, int(number), export=export))

    assert status == (143 if number == signal.SIGTERM else -number)
    check_words(tmp_path, number)
    assert bool(left(tmp_path)) == (number == signal.SIGKILL and stage == "naming")
    assert finish(start()) == 0
    assert left(tmp_path) == []
    assert [path.name for path in work.iterdir()] == ["ds"]


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_stopped_at_any_moment_leaves_no_words(
    tmp_path, work, start, export, number
):
    chance, statuses = random.Random(number), []
    for kill in range(100):
        build = start(export=export)
        for line in build.stdout:
            if line.strip().startswith(STAGES[kill % 4]):
                break
        time.sleep(chance.random() * 0.3)
        build.send_signal(number)
        statuses.append(finish(build))
        check_words(tmp_path, number)

    assert set(statuses) <= {0, 143 if number == signal.SIGTERM else -number}
    assert statuses.count(0) < 50
    assert finish(start()) == 0
    assert left(tmp_path) == []
    assert [path.name for path in work.iterdir()] == ["ds"]


@pytest.mark.parametrize("owner", ["of a dead process", "without an owner's number"])
def test_the_next_build_removes_the_folder_of_a_dead_one(tmp_path, work, start, owner):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    number = f"{dead.pid}-abc" if owner == "of a dead process" else "abc"
    leftover = work / f".ds.understudy-{number}" / "new"
    leftover.mkdir(parents=True)
    (leftover / "roster.toml").write_text(WORD)

    assert finish(start()) == 0

    assert left(tmp_path) == []


def test_a_build_leaves_the_folder_of_a_running_build(tmp_path, work, start):
    leftover = work / f".ds.understudy-{os.getpid()}-abc" / "new"
    leftover.mkdir(parents=True)

    assert finish(start()) == 0

    assert leftover.is_dir()
