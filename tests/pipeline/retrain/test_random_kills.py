"""A retraining that is killed at a random moment, and then runs again, ends as if undisturbed."""

import json
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing

import pytest

from model.artifacts.registry import Registry, read_receipt_json
from tests.pipeline.chats import chat
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.retrain_runner import NEW, everything

PROGRAM = """
import signal, sys
from pathlib import Path
from tests.pipeline.retrain.retrain_runner import RetrainRunner

runner = RetrainRunner(Path(sys.argv[1]))
if delay := float(sys.argv[2]):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # no Python code runs when it arrives
    signal.setitimer(signal.ITIMER_REAL, delay)
runner.run(*map(Path, sys.argv[3:]))
"""
WITHDRAWN = "guarded"
"""The first word of each message of the person who withdraws."""


def guarded(entries):
    """Return entries in which each message of the first person begins with a word of its own."""
    return [
        {**one, "text": f"{WITHDRAWN} {one['text']}"} if one["from_id"] == "user1" else one
        for one in entries
    ]


def retrain(python, folder, files, delay=0.0):
    """Retrain in a process that is killed after so many seconds; return its exit status."""
    for made in folder.glob("made*"):
        shutil.rmtree(made)  # where the fake trainer builds versions
    words = [python, "-c", PROGRAM, folder, str(delay), *files]
    return subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode


def what_counts(root):
    """Return all that a retraining leaves, without the times and numbers that differ each time."""
    registry = Registry(root)
    version = registry.open()
    receipt = read_receipt_json(root, version.path.name)
    for key in ("made_at", "commit", "seconds", "version", "next_command"):
        receipt.pop(key, None)
    with closing(sqlite3.connect(root / "models.db")) as database:
        tables = {
            table: sorted(database.execute(f"SELECT * FROM {table}").fetchall(), key=repr)  # noqa: S608  constants
            for table in (
                "facts", "people", "chats", "exports", "export_ranges", "messages", "forgotten",
                "aliases",
            )
        }  # fmt: skip
    card = version.card
    return {
        "versions": len(registry.names),
        "roster": card.roster,
        "dataset": card.provenance["dataset"]["sha256"],
        "receipt": json.loads(re.sub(r"\\b\\d{4}-[0-9a-f]{8}\\b", "VERSION", json.dumps(receipt))),
        "tables": tables,
        "files": sorted(path.name for path in root.iterdir()),
    }


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.soak)])
def test_killed_at_random_moments_a_retraining_ends_as_if_undisturbed(
    runner, pipeline_python, kills
):
    entries = guarded(NEW)
    old = [one for one in entries if one["id"] <= 241]
    runner.root.mkdir()
    voices = '[[people]]\nname = "Friend {0}"\nids = [{0}]\nimitate = "yes"\n'
    (runner.root / "roster.toml").write_text(voices.format(1) + voices.format(2))
    assert runner.run(chat(*old)).promoted
    files = runner.put(chat(*entries), dump(decisions=[decision(1, "optout")]))
    saved = runner.folder / "saved"
    shutil.copytree(runner.root, saved)
    began = time.monotonic()
    assert retrain(pipeline_python, runner.folder, files) == 0
    seconds = time.monotonic() - began
    undisturbed = what_counts(runner.root)
    assert WITHDRAWN.encode() not in everything(runner.root)
    rng, killed = random.Random(kills), 0

    for _ in range(kills):
        shutil.rmtree(runner.root)
        shutil.copytree(saved, runner.root)
        delay = rng.uniform(0.001, seconds)
        status = retrain(pipeline_python, runner.folder, files, delay)
        killed += status == -signal.SIGALRM
        Registry(runner.root).open()  # a version serves at any moment
        assert retrain(pipeline_python, runner.folder, files) == 0

        assert what_counts(runner.root) == undisturbed, f"killed after {delay:.3f} s"
        assert WITHDRAWN.encode() not in everything(runner.root), f"killed after {delay:.3f} s"

    assert killed > kills / 4  # a busy machine is slower while it is measured
