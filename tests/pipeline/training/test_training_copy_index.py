"""The index of training messages, made from a dataset and added to a version."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from model.artifacts.artifact import VOICE_TABLE
from model.artifacts.registry import Registry
from model.errors import UnderstudyError
from model.speaking.copy_index import open_index
from model.speaking.voice_classifier import read_table
from pipeline.dataset.pairs import select_half
from pipeline.dataset.storage import load_dataset
from pipeline.training.indexes import (
    add_indexes,
    save_copy_index,
    save_voice_table,
    training_messages,
)
from tests.habits import HABITS
from tests.model.fake_artifacts import make


def pair(voice, context, target):
    return SimpleNamespace(voice=voice, context=context, target=target)


def registry_of(folder, sha256):
    finished = make(folder / "new", provenance={"dataset": {"sha256": sha256}})
    registry = Registry(folder / "artifacts")
    registry.add(finished)
    return registry


def test_turns_count_as_often_as_they_were_said_and_contexts_once():
    train = [
        pair("Hugo", ("Raul: one\rtwo", "[…]"), ("hello", "you")),
        pair("Hugo", ("Raul: one\rtwo", "Hugo: hello"), ("hello",)),
    ]

    found = list(training_messages(SimpleNamespace(train=train)))

    assert found == [("Hugo", "hello"), ("Hugo", "you"), ("Hugo", "hello"), ("Raul", "one\ntwo")]


def test_a_version_gets_an_index_as_a_new_version(tmp_path, habits_dataset):
    dataset = load_dataset(habits_dataset)
    registry = registry_of(tmp_path, dataset.content_hash)

    name = add_indexes(registry, "1", dataset)

    assert name.startswith("0002-")
    assert registry.promote(name) == name
    assert open_index(registry.open("2").copy_index) is not None
    assert not registry.open("1").copy_index.exists()


def test_a_version_gets_a_table_of_the_voices_that_it_learned(tmp_path, habits_dataset):
    dataset = load_dataset(habits_dataset)
    registry = registry_of(tmp_path, dataset.content_hash)

    add_indexes(registry, "1", dataset)

    table = read_table(registry.open("2").voice_table)
    for name, habit in HABITS.items():
        assert table.log_odds([f"fine {habit}"], name) > 0
        assert table.log_length(["fine"], name) != 0


def test_a_table_is_made_from_the_sessions_that_the_version_learned(tmp_path, habits_dataset):
    dataset = load_dataset(habits_dataset)
    reserved = {"reserve_judge_sessions": True}
    sha256 = {"dataset": {"sha256": dataset.content_hash}}
    (tmp_path / "half").mkdir()
    registry = Registry(tmp_path / "artifacts")
    registry.add(make(tmp_path / "new", provenance={**sha256, "hyperparameters": reserved}))

    add_indexes(registry, "1", dataset)
    own = replace(dataset, train=select_half(dataset.train, judges=False))
    save_voice_table(own, tmp_path / "half")

    assert 0 < len(own.train) < len(dataset.train)
    assert (
        registry.open("2").voice_table.read_bytes()
        == (tmp_path / "half" / VOICE_TABLE).read_bytes()
    )


def test_the_same_dataset_gives_the_same_index(tmp_path, habits_dataset):
    dataset = load_dataset(habits_dataset)
    for name in "ab":
        (tmp_path / name).mkdir()
        save_copy_index(dataset, tmp_path / name)

    first, second = (next((tmp_path / name).iterdir()).read_bytes() for name in "ab")

    assert first == second


def test_an_index_of_another_dataset_is_refused(tmp_path, habits_dataset):
    registry = registry_of(tmp_path, "00" * 32)

    with pytest.raises(UnderstudyError, match="trained on another dataset"):
        add_indexes(registry, "1", load_dataset(habits_dataset))


def test_the_command_names_the_new_version(tmp_path, habits_dataset):
    registry = registry_of(tmp_path, load_dataset(habits_dataset).content_hash)

    said = subprocess.run(
        [sys.executable, "-m", "pipeline.training.indexes", "1", str(habits_dataset),
         "--models", str(registry.root)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert said.stdout.strip() == registry.find("2")
