"""Training on from a version's own weights, with both families."""

import shutil
from dataclasses import replace

import pytest
from rich.console import Console

from model.artifacts.artifact import Decoding
from model.artifacts.registry import Registry
from model.errors import BaseError
from pipeline.dataset.storage import load_dataset
from pipeline.terminal import Progress
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.run import Start, make_version

QUIET = Progress(Console(quiet=True))


def test_training_on_begins_where_the_version_ended(trained, tmp_path, habits_dataset):
    artifact, registry = trained.open(), Registry(tmp_path / "models")
    settings = Hyperparameters(epochs=0.05, learning_rate=1e-5, max_reply_tokens=32)

    name, loss = make_version(
        load_dataset(habits_dataset), Start(artifact), registry, settings, Decoding(),
        QUIET,
    )  # fmt: skip

    card, before = registry.open(name).card, artifact.card.scores["nats_per_character"]["whole"]
    assert loss.whole.untuned == pytest.approx(before["tuned"], rel=0.05)
    assert loss.whole.tuned < 1.1 * before["tuned"]
    assert (card.base, card.family) == (artifact.card.base, artifact.card.family)
    assert card.provenance["began_with"] == artifact.path.name
    assert registry.current is None


def test_a_version_without_weights_is_no_start(trained, tmp_path):
    artifact = trained.open()
    shutil.copytree(artifact.path, tmp_path / "bare", ignore=lambda *_: {"weights"})

    with pytest.raises(BaseError, match="came without weights, so training cannot continue"):
        Start(replace(artifact, path=tmp_path / "bare")).open(tmp_path, ())


def test_damaged_weights_are_one_line(trained, tmp_path):
    artifact = trained.open()
    shutil.copytree(artifact.path, tmp_path / "bad")
    (tmp_path / "bad" / "weights" / "config.json").write_text("{")

    with pytest.raises(BaseError, match="cannot be loaded .*train from the base"):
        Start(replace(artifact, path=tmp_path / "bad")).open(tmp_path, ())
