"""The index of training messages, and the table of voices, made from a dataset."""

from types import SimpleNamespace

from model.artifacts.artifact import VOICE_TABLE
from model.speaking.voice_classifier import read_table
from pipeline.dataset.storage import load_dataset
from pipeline.training.indexes import save_copy_index, save_voice_table, training_messages
from tests.habits import HABITS


def pair(voice, context, target):
    return SimpleNamespace(voice=voice, context=context, target=target)


def test_turns_count_as_often_as_they_were_said_and_contexts_once():
    train = [
        pair("Hugo", ("Raul: one\rtwo", "[…]"), ("hello", "you")),
        pair("Hugo", ("Raul: one\rtwo", "Hugo: hello"), ("hello",)),
    ]

    found = list(training_messages(SimpleNamespace(train=train)))

    assert found == [("Hugo", "hello"), ("Hugo", "you"), ("Hugo", "hello"), ("Raul", "one\ntwo")]


def test_a_version_gets_a_table_of_the_voices_that_it_learned(tmp_path, habits_dataset):
    save_voice_table(load_dataset(habits_dataset), tmp_path)

    table = read_table(tmp_path / VOICE_TABLE)
    for name, habit in HABITS.items():
        assert table.log_odds([f"fine {habit}"], name) > 0
        assert table.log_length(["fine"], name) != 0


def test_the_same_dataset_gives_the_same_index(tmp_path, habits_dataset):
    dataset = load_dataset(habits_dataset)
    for name in "ab":
        (tmp_path / name).mkdir()
        save_copy_index(dataset, tmp_path / name)

    first, second = (next((tmp_path / name).iterdir()).read_bytes() for name in "ab")

    assert first == second
