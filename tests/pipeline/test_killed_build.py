"""A build that is stopped by a signal leaves no text of the chat, whenever the signal comes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.pipeline.chats import chat, conversation, entry, write
from tests.pipeline.retrain.workshop import found

WORD = "xylophonequartet"
PLACES = ("HOME", "HF_HOME", "XDG_CACHE_HOME", "TMPDIR", "SQLITE_TMPDIR")
STAGES = ("reading", "pairing", "writing")


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    return tmp_path / "work"


@pytest.fixture
def start(tmp_path, work, pytestconfig):
    """Start a build of many messages in its own process; it prints its stages."""
    many = [
        entry(n, 1 + n // 3 % 2, f"{WORD} {n} and so on and on", n * 70) for n in range(1, 12_000)
    ]
    export = write(tmp_path / "export", chat(*many))
    small = write(tmp_path / "small", chat(*conversation()))
    places = {**os.environ, "PYTHONPATH": str(pytestconfig.rootpath), "PYTHONUNBUFFERED": "1"}
    places |= dict.fromkeys(PLACES, str(tmp_path / "home"))

    def run(*, is_small=False):
        command = [sys.executable, "-B", "-m", "pipeline.cli", "build"]
        return subprocess.Popen(
            [*command, small if is_small else export, "--out", "ds", "--min-messages", "1"],
            cwd=work, env=places, text=True, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if is_small else subprocess.PIPE,
        )  # fmt: skip

    return run


def left(tmp_path):
    """Return the files outside a finished dataset that hold the chat's words."""
    ds = tmp_path / "work" / "ds"
    places = [tmp_path / "work", tmp_path / "home"]
    return [path for place in places for path in found(place, WORD) if ds not in path.parents]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.soak)])
def test_a_build_that_is_stopped_leaves_no_words(tmp_path, work, start, number, kills):
    chance, stopped = random.Random(number), 0
    for kill in range(kills):
        build = start()
        for line in build.stdout:
            if line.strip().startswith(STAGES[kill % len(STAGES)]):
                break
        time.sleep(chance.random() * 0.3)
        build.send_signal(number)
        build.communicate()
        status = build.returncode
        stopped += status != 0

        if number == signal.SIGTERM:
            assert status in {0, 128 + number}
            assert left(tmp_path) == []
        elif left(tmp_path):  # after its files got their names, before the folder got its own
            assert all(path.parents[2].stat().st_mode & 0o777 == 0o700 for path in left(tmp_path))
    assert stopped >= kills // 2

    assert start(is_small=True).wait() == 0
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

    assert start(is_small=True).wait() == 0

    assert left(tmp_path) == []


def test_a_build_leaves_the_folder_of_a_running_build(tmp_path, work, start):
    leftover = work / f".ds.understudy-{os.getpid()}-abc" / "new"
    leftover.mkdir(parents=True)

    assert start(is_small=True).wait() == 0

    assert leftover.is_dir()
