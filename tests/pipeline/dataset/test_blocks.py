"""A chat that is read in blocks, by one process or several, gives what the whole chat gives."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from model.chat.conversation import Message, Window
from model.errors import DatasetError
from pipeline.dataset import blocks
from pipeline.dataset.blocks import choose_processes, cut_blocks, make_blocks
from pipeline.dataset.build import build
from pipeline.dataset.pairs import BuildOptions, SessionRules, make_sessions
from tests.parity_chats import COMMANDS, NAMES, PHRASES, ROSTER
from tests.pipeline.chats import write

GAP = timedelta(minutes=120)


def make_chat(seed, count=400):
    """Return messages in three topics, with pauses near the length that separates sessions."""
    rng = random.Random(seed)
    texts = [*PHRASES, *COMMANDS, "hi", "hi", "[photo]", "", "so it is", "why?", "never"]
    messages, at = [], datetime(2024, 1, 1, tzinfo=UTC)
    pauses = [*range(5, 65, 20), 300, 7_199, 7_200, 7_201, 9_000, 90_000]
    for number in range(1, count):
        at += timedelta(seconds=rng.choice(pauses))
        author = rng.choice(list(NAMES))
        messages.append(
            Message(
                -5, number, author, NAMES[author][0], rng.choice(texts), at,
                rng.choice([None, None, 7, 9]), rng.choice([None, max(1, number - 2)]),
                is_forward=rng.random() < 0.05, is_from_bot=rng.random() < 0.1,
            )
        )  # fmt: skip
    return sorted(messages, key=lambda one: (one.topic_id or 0, one.sent_at))


@pytest.mark.parametrize("seed", range(40))
def test_blocks_have_the_sessions_of_the_whole_chat(seed):
    messages = make_chat(seed)
    hour = None if seed % 4 == 0 else seed % 24
    repeats = {(who, text): (10, 1) for who in NAMES for text in ("hi", "ok", "why?")}
    rules = SessionRules(ROSTER, Window(), repeats, hour)
    removed = {f"-5/{number}" for number in range(seed, 400, 7)}
    whole = list(make_sessions(messages, rules, removed))
    found, count = [], 0

    for block in cut_blocks(messages, rules, 1 + seed % 9):
        first = len(found)
        own = make_sessions(block, rules, removed)
        found += [replace(session, number=session.number + first) for session in own]
        count += 1

    assert found == whole
    assert count > 8
    assert any(session.surplus for session in whole)
    assert any(session.removed for session in whole)


def test_a_block_is_cut_only_where_a_session_ends():
    messages = make_chat(1)

    blocks = list(cut_blocks(messages, SessionRules(ROSTER, Window()), 5))

    assert [one for block in blocks for one in block] == messages
    for one, other in pairwise(blocks):
        last, first = one[-1], other[0]
        assert last.topic_id != first.topic_id or first.sent_at - last.sent_at >= GAP
        assert len(one) >= 5 or last.topic_id != first.topic_id


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks.cut_blocks, "__defaults__", (100,))


@pytest.fixture(scope="module")
def export(sample_chat, tmp_path_factory):
    """The first messages of the demo's chat: two blocks."""
    chat = json.loads(sample_chat.read_text("utf-8"))
    return write(tmp_path_factory.mktemp("sample"), {**chat, "messages": chat["messages"][:6000]})


def read(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_any_number_of_processes_writes_the_same_bytes(export, tmp_path, monkeypatch):
    table = tmp_path / "review.csv"
    build([export], tmp_path / "one", BuildOptions(review=table))
    expected = table.read_text("utf-8")
    monkeypatch.setattr(blocks.cut_blocks, "__defaults__", (100,))

    build([export], tmp_path / "three", BuildOptions(processes=3, review=tmp_path / "other.csv"))

    assert read(tmp_path / "three") == read(tmp_path / "one")
    assert (tmp_path / "other.csv").read_text("utf-8") == expected


def test_a_killed_process_is_reported(small_blocks):
    found = make_blocks(make_chat(1, 20_000), SessionRules(ROSTER, Window()), (), 2)

    next(found)
    for one in psutil.Process().children():
        if one.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(one.cmdline()):
            one.kill()

    with pytest.raises(DatasetError, match="use --set processes=1"):
        list(found)


READ_SLOWLY = """
import os, signal
from pipeline.dataset import blocks
from pipeline.dataset.pairs import SessionRules
from model.chat.conversation import Window
from tests.parity_chats import ROSTER
from tests.pipeline.dataset.test_blocks import make_chat

if __name__ == "__main__":
    for _ in blocks.make_blocks(make_chat(1, 60_000), SessionRules(ROSTER, Window()), (), 2):
        print("read", flush=True)
        signal.pause()
"""


def test_processes_end_with_their_parent(tmp_path):
    script = tmp_path / "read.py"
    script.write_text(READ_SLOWLY, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as program:
        program.stdout.readline()
        children = psutil.Process(program.pid).children(recursive=True)
        program.send_signal(signal.SIGKILL)

    until = time.monotonic() + 20
    while any(one.is_running() and one.status() != "zombie" for one in children):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert len(children) >= 2


BUILD_SLOWLY = """
import time
from contextlib import closing
from pipeline.cli.main import main
from pipeline.dataset import build

def make_slowly(*words):
    with closing(make_blocks(*words)) as blocks:
        for block in blocks:
            yield block
            time.sleep(60)

make_blocks, build.make_blocks = build.make_blocks, make_slowly
main()
"""


@pytest.mark.parametrize("seconds", [0.05, 0.6])
def test_ctrl_c_ends_all_processes_without_a_word_of_python(export, tmp_path, seconds):
    command = [
        sys.executable, "-c", BUILD_SLOWLY, "build", str(export), "--out", str(tmp_path / "ds"),
        "--set", "processes=2",
    ]  # fmt: skip
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    ) as program:
        for line in program.stdout:
            if "Replacing private data …" in line:
                break
        time.sleep(seconds)
        os.killpg(program.pid, signal.SIGINT)
        printed = program.stdout.read()

    assert program.returncode == 130
    assert printed.split() in (["understudy:", "interrupted"], [])
    assert not (tmp_path / "ds").exists()


@pytest.mark.parametrize(("messages", "expected"), [(10, 1), (99_999, 1), (10**9, 6)])
def test_short_chats_are_read_by_one_process(monkeypatch, messages, expected):
    monkeypatch.setattr(blocks, "count_cores", lambda: 6)

    assert choose_processes(messages) == expected
