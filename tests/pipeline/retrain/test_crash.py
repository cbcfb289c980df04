"""A run that is killed at any step: the current version serves on, and the next run is clean."""

import json
import signal
import subprocess

import pytest

from pipeline.terminal import STEPS
from pipeline.versions.ledger import load_withdrawn
from tests.pipeline.chats import chat
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.retrain_runner import NEW, Killed, found


def tree(root):
    """Return the names of all that a models folder holds."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_killed_at_every_step_the_old_version_serves_and_the_next_run_is_clean(running):
    first = running.registry.current
    files = running.put(chat(*NEW), dump(decisions=[decision(2, "optout")]))

    for step in STEPS:
        running.killed = step
        with pytest.raises(Killed):
            running.run(*files)
        if step != "tidy":
            assert running.registry.current == first
        assert running.registry.open().path.is_dir()
    running.killed = None
    result = running.run(*files, force_training=True)

    assert result.promoted
    assert load_withdrawn(running.registry)[0].name == "Friend 2"
    left = {name.split("/")[0] for name in tree(running.root)}
    assert left == {
        "current", "datasets", "lock", "models.db", "roster.toml", "tensorboard", "versions",
    }  # fmt: skip
    assert len(list((running.root / "datasets").iterdir())) <= len(running.registry.names)
    assert not [name for name in tree(running.root) if ".new" in name or ".gone" in name]


@pytest.mark.parametrize("step", ["score", "write"])
def test_killed_before_its_receipt_a_version_is_evaluated_by_the_next_run(running, step):
    running.killed = step
    with pytest.raises(Killed):
        running.run(chat(*NEW), no_live_bot=True)
    trained = running.registry.names[1]
    running.killed = None

    result = running.run(chat(*NEW), no_live_bot=True)

    assert (result.version, result.promoted) == (trained, True)
    assert len(running.trained) == 2  # the first version, and this one
    assert "was trained by a run that stopped" in running.shown.getvalue()


def test_killed_before_its_receipt_a_version_goes_if_the_next_run_trains_otherwise(running):
    running.killed = "score"
    with pytest.raises(Killed):
        running.run(chat(*NEW), no_live_bot=True)
    orphan = running.registry.names[1]
    running.killed = None

    running.run(chat(*NEW), no_live_bot=True, hyperparameters={"minutes": 9.0})

    assert orphan not in running.registry.names
    assert [name[:4] for name in running.registry.names] == ["0001", "0003"]


def test_killed_before_its_receipt_a_version_goes_if_people_agree_to_less(running):
    running.killed = "score"
    with pytest.raises(Killed):
        running.run(chat(*NEW), no_live_bot=True)
    orphan = running.registry.names[1]
    running.killed = None
    file = running.root / "roster.toml"
    file.write_text(file.read_text("utf-8").replace('imitate = "yes"', 'imitate = "ask"'), "utf-8")

    running.run(chat(*NEW), no_live_bot=True)

    assert orphan not in running.registry.names
    people = running.registry.open("3").card.roster.people
    assert {person.imitate for person in people} == {"ask"}


def test_a_signal_that_nothing_can_catch_leaves_no_half_of_anything(running, pipeline_python):
    (export, notes) = running.put(chat(*NEW), dump(decisions=[decision(1, "optout")]))
    program = f"""
import os, signal, sys
from pathlib import Path
from tests.pipeline.retrain.retrain_runner import NEW, RetrainRunner
class Dying(RetrainRunner):
    def _watch(self):
        watch = super()._watch()
        begin = watch.begin
        def dies(step):
            if step == sys.argv[1]:
                os.kill(os.getpid(), signal.SIGKILL)
            begin(step)
        watch.begin = dies
        return watch
running = Dying(Path({str(running.folder)!r}))
running._count = iter(range(100, 200))
running.run(Path({str(export)!r}), Path({str(notes)!r}))
"""
    for step in ("keep", "write"):
        done = subprocess.run([pipeline_python, "-c", program, step], check=False)
        assert done.returncode == -signal.SIGKILL
        assert running.registry.current.startswith("0001-")

    assert running.run(export, notes).promoted
    assert found(running.root, "words 2 ") == []


def test_the_receipt_counts_deleted_messages_after_a_kill(running):
    fewer = [one for one in NEW if one["id"] not in range(21, 30)]
    for step in ("keep", "build", "write"):
        running.killed = step
        with pytest.raises(Killed):
            running.run(chat(*fewer), no_live_bot=True)
    running.killed = None

    running.run(chat(*fewer), no_live_bot=True)

    assert running.receipt(running.registry.names[-1][:4])["deleted"] == 9
    assert running.shown.getvalue().count("9 were deleted since") == 3


def test_messages_deleted_before_the_last_version_are_not_counted_again(running):
    fewer = [one for one in NEW if one["id"] not in range(21, 30)]
    running.run(chat(*fewer), no_live_bot=True)

    running.run(chat(*fewer), no_live_bot=True, force_training=True)

    assert [running.receipt(number)["deleted"] for number in (2, 3)] == [9, 0]


def test_a_version_that_somebody_trained_by_hand_meanwhile_stays(running, tmp_path):
    from tests.model.fake_artifacts import make

    by_hand = running.registry.add(make(tmp_path / "hand", words="by hand"))

    running.run(chat(*NEW), no_live_bot=True)

    assert by_hand in running.registry.names


def test_a_dataset_that_somebody_built_there_stays(running):
    own = running.root / "datasets" / "mine"
    own.mkdir()
    (own / "summary.json").write_text(json.dumps({}))

    running.run(chat(*NEW), no_live_bot=True)

    assert own.is_dir()
