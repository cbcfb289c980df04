"""A run that is killed at any step: the current version serves on, and the next run is clean."""

import json
import signal
import subprocess
import sys

import pytest

from pipeline.retrain.known import withdrawn
from pipeline.retrain.watch import STEPS
from tests.pipeline.chats import chat, conversation
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.workshop import Killed, Workshop, found

OLD, NEW = conversation(20), conversation(45)


def tree(root):
    """Return the names of all that a folder of models holds."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.fixture
def shop(tmp_path):
    shop = Workshop(tmp_path)
    shop.first()
    return shop


def test_killed_at_every_step_the_old_version_serves_and_the_next_run_is_clean(shop):
    first = shop.registry.current
    files = shop.put(chat(*NEW), dump(decisions=[decision(2, "optout")]))

    for step in STEPS:
        shop.killed = step
        with pytest.raises(Killed):
            shop.run(*files)
        if step != "tidy":
            assert shop.registry.current == first
        assert shop.registry.open().path.is_dir()
    shop.killed = None
    result = shop.run(*files, anyway=True)

    assert result.promoted
    assert withdrawn(shop.root)[0].name == "Friend 2"
    left = {name.split("/")[0] for name in tree(shop.root)}
    assert left == {
        "current", "datasets", "history", "lock", "receipts", "removed", "retrain.lock",
        "roster.toml", "served", "tensorboard", "training.lock", "versions",
    }  # fmt: skip
    assert len(list((shop.root / "datasets").iterdir())) <= len(shop.registry.names)
    assert not [name for name in tree(shop.root) if ".new" in name or ".gone" in name]


def test_a_version_whose_run_was_killed_before_its_receipt_goes_with_the_next_run(shop):
    shop.killed = "score"
    with pytest.raises(Killed):
        shop.run(chat(*NEW), no_live_bot=True)
    orphan = shop.registry.names[1]
    shop.killed = None

    shop.run(chat(*NEW), no_live_bot=True)

    assert orphan not in shop.registry.names
    assert [name[:4] for name in shop.registry.names] == ["0001", "0003"]


def test_a_signal_that_nothing_can_catch_leaves_no_half_of_anything(shop):
    (export, notes) = shop.put(chat(*NEW), dump(decisions=[decision(1, "optout")]))
    program = f"""
import os, signal, sys
from pathlib import Path
from tests.pipeline.retrain.workshop import Workshop
class Dying(Workshop):
    def _watch(self):
        watch = super()._watch()
        begin = watch.begin
        def dies(step):
            if step == sys.argv[1]:
                os.kill(os.getpid(), signal.SIGKILL)
            begin(step)
        watch.begin = dies
        return watch
shop = Dying(Path({str(shop.folder)!r}))
shop._count = iter(range(100, 200))
shop.run(Path({str(export)!r}), Path({str(notes)!r}))
"""
    for step in ("keep", "write"):
        done = subprocess.run([sys.executable, "-c", program, step], check=False)
        assert done.returncode == -signal.SIGKILL
        assert shop.registry.current.startswith("0001-")

    assert shop.run(export, notes).promoted
    assert found(shop.root, "words 2 ") == []


def test_a_version_that_somebody_trained_by_hand_meanwhile_stays(shop, tmp_path):
    from tests.model.artifacts import make

    by_hand = shop.registry.add(make(tmp_path / "hand", words="by hand"))

    shop.run(chat(*NEW), no_live_bot=True)

    assert by_hand in shop.registry.names


def test_a_dataset_that_somebody_built_there_stays(shop):
    own = shop.root / "datasets" / "mine"
    own.mkdir()
    (own / "summary.json").write_text(json.dumps({}))

    shop.run(chat(*NEW), no_live_bot=True)

    assert own.is_dir()
