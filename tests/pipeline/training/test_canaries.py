"""Secrets among the training pairs: counted, repeatable, and never in what serves."""

import random
from collections import Counter

import pytest
from rich.console import Console

from model.artifacts.artifact import Decoding
from model.artifacts.registry import Registry
from model.errors import ArtifactError
from pipeline.dataset.storage import load_dataset
from pipeline.terminal import Progress
from pipeline.training.canaries import CANARY_TIMES, make_secret, plant_canaries
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.run import train
from tests.checkpoints import save_llama
from tests.habits import HABITS


def test_canaries_are_planted_as_often_as_they_say(habits_dataset):
    pairs = load_dataset(habits_dataset).train

    planted, canaries = plant_canaries(pairs, 8, seed=1)

    added = Counter(pair.target for pair in planted[len(pairs) :])
    assert planted[: len(pairs)] == pairs
    assert added == {(canary.text,): canary.times for canary in canaries}
    assert [canary.times for canary in canaries] == [*CANARY_TIMES, *CANARY_TIMES]
    assert {pair.voice for pair in planted} == set(HABITS)


def test_a_seed_plants_the_same_secrets_and_another_one_others(habits_dataset):
    pairs = load_dataset(habits_dataset).train

    assert plant_canaries(pairs, 8, seed=1) == plant_canaries(pairs, 8, seed=1)
    assert not set(plant_canaries(pairs, 8, seed=1)[1]) & set(plant_canaries(pairs, 8, seed=2)[1])


def test_a_secret_is_six_words_of_chance():
    text = make_secret("Ambrose", random.Random(0))

    assert text.startswith("the code word of Ambrose is ")
    assert len(text.split(" is ")[1].split()) == 6


def test_a_model_with_canaries_names_them_and_never_serves(tmp_path, habits_dataset):
    registry = Registry(tmp_path / "artifacts")
    settings = Hyperparameters(epochs=0.05, canaries=True, canary_count=3)
    base = str(save_llama(tmp_path / "base"))

    made = train(
        load_dataset(habits_dataset),
        base,
        registry,
        settings,
        Decoding(),
        Progress(Console(quiet=True)),
    )

    told = registry.open(made.name).card.provenance["canaries"]
    assert [canary["times"] for canary in told] == [2, 4, 8]
    assert all(canary["text"].startswith("the code word of ") for canary in told)
    assert not made.promoted
    with pytest.raises(ArtifactError, match="with canaries .*without --set canaries=true"):
        registry.promote(made.name)
    assert registry.current is None
