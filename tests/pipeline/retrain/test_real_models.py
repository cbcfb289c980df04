"""The real command on really trained small models: first version, then on from it."""

import json
from pathlib import Path

from click.testing import CliRunner

from model.artifacts.artifact import COPY_INDEX, VOICE_TABLE
from model.artifacts.registry import Registry
from pipeline.cli.main import app
from pipeline.dataset.storage import load_dataset
from pipeline.training.indexes import save_copy_index, save_voice_table
from pipeline.versions.lineage import find_dataset
from tests import habits
from tests.checkpoints import save_llama
from tests.pipeline.retrain.retrain_runner import told


def retrained(root, *words):
    command = ["retrain", *map(str, words), "--models-dir", str(root), "--min-messages", "20"]
    result = CliRunner().invoke(app, command)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_first_export_and_a_fresh_one_become_two_versions_that_are_compared(tmp_path):
    base = save_llama(tmp_path / "base", texts=[" ".join(habits.HABITS.values())])
    old = habits.write_export(tmp_path / "old", 24)
    fresh = habits.write_export(tmp_path / "fresh", 48)
    notes = tmp_path / "dump.json"
    said = {"user_id": habits.IDS["Raul"], "decision": "optin", "at": "2024-01-01T00:00:00+00:00"}
    notes.write_text(json.dumps({
        "name": "Habits", "type": "private_supergroup", "id": habits.CHAT_ID, "messages": [],
        "understudy": {"chat_id": -(10**12 + habits.CHAT_ID), "decisions": [said],
                       "forgotten": [], "written_at": "2024-01-02T00:00:00+00:00"},
    }))  # fmt: skip
    root = tmp_path / "models"
    options = ("--epochs", "0.5", "--set", "max-reply-tokens=32", "--set=batch-size=8")

    first = retrained(root, old, "--base", base, *options)
    second = retrained(
        root,
        fresh,
        notes,
        "--set=from=current",
        "--set=replay=0.5",
        "--force-promotion",
        "a test",
        "--quiet",
    )

    registry = Registry(root)
    receipt = told(root, registry.names[1])
    assert first.exit_code == second.exit_code == 0, first.output + second.output
    assert registry.current == registry.names[1]
    assert (
        second.stdout.splitlines()[0]
        == f"{registry.names[1]} is now the current version, with 288 new messages"
    )
    assert [line.split()[0] for line in second.stdout.splitlines()[1:]] == ["Receipt:"]
    assert receipt["started_from"] == registry.names[0]
    assert receipt["hyperparameters"]["epochs"] == 0.5
    assert {one["metric"].split(", ")[0] for one in receipt["scores"]} >= {
        "right voice",
        "copied lines",
    }
    assert all(one["current"] is not None for one in receipt["scores"])
    assert receipt["excluded"] == []
    dataset = load_dataset(Path(find_dataset(registry.open())))
    save_copy_index(dataset, tmp_path)
    save_voice_table(dataset, tmp_path)
    assert registry.open().copy_index.read_bytes() == (tmp_path / COPY_INDEX).read_bytes()
    assert registry.open().voice_table.read_bytes() == (tmp_path / VOICE_TABLE).read_bytes()
    assert {path.stat().st_mode & 0o077 for path in root.rglob("*")} == {0}
