"""Really trained small models of both families, once a test run."""

import asyncio
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from rich.console import Console

from bot.store.database import prepare
from model.artifacts.artifact import Decoding
from model.artifacts.registry import Registry
from model.chat.conversation import Window
from pipeline.dataset.build import build
from pipeline.dataset.pairs import BuildOptions
from pipeline.dataset.storage import load_dataset
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.run import train
from tests import checkpoints, habits

# A run is repeatable; `--hypothesis-profile=default` draws new examples, as `make soak` does.
settings.register_profile("repeatable", derandomize=True, print_blob=True)
settings.load_profile("repeatable")

torch.set_num_threads(1)  # these models are so small that threads only wait for each other

FAMILIES = {"encoder-decoder": checkpoints.save_t5, "decoder-only": checkpoints.save_llama}
SURE = Decoding(temperature=0.3)  # so small a model misspells a habit now and then
SETTINGS = Hyperparameters(epochs=7, batch_size=8, learning_rate=3e-3, max_reply_tokens=32)


@pytest.fixture(scope="session")
def habits_dataset(tmp_path_factory) -> Path:
    """The synthetic chat as a dataset."""
    folder = tmp_path_factory.mktemp("habits")
    choices = BuildOptions(window=Window(size=4), min_messages=1)
    build([habits.write_export(folder / "export")], folder / "dataset", choices)
    return folder / "dataset"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """A database with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    asyncio.run(prepare(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session", params=FAMILIES, ids=lambda family: f"a {family} model")
def trained(request, tmp_path_factory, habits_dataset) -> Registry:
    """A registry whose current version has really learned the habits."""
    folder = tmp_path_factory.mktemp("trained")
    base = FAMILIES[request.param](folder / "base", texts=[" ".join(habits.HABITS.values())])
    registry = Registry(folder / "artifacts")
    dataset = load_dataset(habits_dataset)
    train(dataset, str(base), registry, SETTINGS, SURE, Console(quiet=True))
    return registry
