"""A chat that is paired in blocks, by one process or several, gives what the whole chat gives."""

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
from pipeline.dataset.blocks import choose_processes, cut_blocks, pair_blocks
from pipeline.dataset.build import build
from pipeline.dataset.pairs import BuildOptions, PairingRules, pair_sessions
from pipeline.dataset.review import Review
from pipeline.dataset.sample import write_sample
from tests.parity_chats import COMMANDS, NAMES, PHRASES, ROSTER

GAP = timedelta(minutes=120)
WINDOWS = (Window(), Window(size=1, short=1, fill=0), Window(size=3, short=5, fill=9))
FILES = ("conversations.jsonl", "lines.parquet", "removed.txt", "roster.toml", "summary.json")
PAIRS = ("pairs/train.parquet", "pairs/validation.parquet", "pairs/test.parquet")


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


def shifted(session, first):
    pairs = [
        replace(one, session=one.session + first, since=one.since + first) for one in session.pairs
    ]
    return replace(session, number=session.number + first, pairs=tuple(pairs))


@pytest.mark.parametrize("seed", range(40))
def test_blocks_have_the_sessions_and_pairs_of_the_whole_chat(seed):
    window = WINDOWS[seed % len(WINDOWS)]
    messages = make_chat(seed)
    hour = None if seed % 4 == 0 else seed % 24
    rules = PairingRules(ROSTER, window, {(11, "hi"): (30, 10), (13, "hi"): (20, 10)}, hour)
    whole = list(pair_sessions(messages, ROSTER, window, rules.is_surplus, quiet_hour=hour))
    found, count = [], 0

    for task in cut_blocks(messages, rules, 1 + seed % 9):
        own = pair_sessions(task.messages, ROSTER, window, rules.is_surplus, task.before, hour)
        found += [shifted(session, first) for first in [len(found)] for session in own]
        count += 1

    assert found == whole
    assert count > 8
    assert any(session.pairs for session in whole)


def test_a_block_is_cut_only_where_a_session_ends():
    rules = PairingRules(ROSTER, Window())
    messages = make_chat(1)

    tasks = list(cut_blocks(messages, rules, 5))

    assert [one for task in tasks for one in task.messages] == messages
    for one, other in pairwise(tasks):
        last, first = one.messages[-1], other.messages[0]
        assert last.topic_id != first.topic_id or first.sent_at - last.sent_at >= GAP
        assert len(one.messages) >= 5 or last.topic_id != first.topic_id


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks.cut_blocks, "__defaults__", (100,))


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("sample"))


def read(folder):
    return {name: (folder / name).read_bytes() for name in (*FILES, *PAIRS)}


def test_any_number_of_processes_writes_the_same_bytes(export, tmp_path, monkeypatch):
    table = tmp_path / "review.csv"
    build([export], tmp_path / "one", BuildOptions(review=table))
    expected = table.read_text("utf-8")
    monkeypatch.setattr(blocks.cut_blocks, "__defaults__", (100,))

    build([export], tmp_path / "three", BuildOptions(processes=3, review=tmp_path / "other.csv"))

    assert read(tmp_path / "three") == read(tmp_path / "one")
    assert (tmp_path / "other.csv").read_text("utf-8") == expected


def test_a_killed_process_is_reported(small_blocks):
    rules = PairingRules(ROSTER, Window())
    found = pair_blocks(make_chat(1, 20_000), rules, Review(frozenset(), is_wanted=False), 2)

    next(found)
    for one in psutil.Process().children():
        if one.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(one.cmdline()):
            one.kill()

    with pytest.raises(DatasetError, match="give --set processes=1"):
        list(found)


PAIR_SLOWLY = """
import os, signal
from pipeline.dataset import blocks
from pipeline.dataset.pairs import PairingRules
from pipeline.dataset.review import Review
from model.chat.conversation import Window
from tests.parity_chats import ROSTER
from tests.pipeline.dataset.test_blocks import make_chat

if __name__ == "__main__":
    rules = PairingRules(ROSTER, Window())
    for _ in blocks.pair_blocks(make_chat(1, 60_000), rules, Review(frozenset()), 2):
        print("paired", flush=True)
        signal.pause()
"""


def test_processes_end_with_their_parent(tmp_path):
    script = tmp_path / "pair.py"
    script.write_text(PAIR_SLOWLY, "utf-8")
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

def pair_slowly(*words):
    with closing(pair_blocks(*words)) as blocks:
        for block in blocks:
            yield block
            time.sleep(60)

pair_blocks, build.pair_blocks = build.pair_blocks, pair_slowly
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
            if "pairing" in line:
                break
        time.sleep(seconds)
        os.killpg(program.pid, signal.SIGINT)
        printed = program.stdout.read()

    assert program.returncode == 130
    assert printed.split() in (["understudy:", "interrupted"], [])
    assert not (tmp_path / "ds").exists()


@pytest.mark.parametrize(("messages", "expected"), [(10, 1), (99_999, 1), (10**9, 6)])
def test_short_chats_are_paired_by_one_process(monkeypatch, messages, expected):
    monkeypatch.setattr(blocks, "count_cores", lambda: 6)

    assert choose_processes(messages) == expected
