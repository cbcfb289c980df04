"""Really trained small models of both families, once a test run."""

import asyncio
import gc
import os
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from rich.console import Console

from bot.store.database import prepare_database
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


def pytest_collection_modifyitems(items):
    """Start with the tests of whole programs: they take longest."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(autouse=True, scope="module")
def _few_tracked_objects():
    """Exclude all that is loaded by now from garbage collections; torch alone has 500,000 objects."""
    gc.collect()
    gc.freeze()


FAMILIES = {"encoder-decoder": checkpoints.save_t5, "decoder-only": checkpoints.save_llama}
SURE = Decoding(temperature=0.3)  # so small a model misspells a habit now and then
SETTINGS = Hyperparameters(epochs=7, batch_size=8, learning_rate=3e-3, max_reply_tokens=32)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder that all workers of this test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def made_once(folder: Path, make) -> Path:
    """Let the first worker that needs a folder make it; the others wait."""
    done = folder.with_name(f"{folder.name}.done")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def habits_dataset(shared_folder) -> Path:
    """The synthetic chat as a dataset."""

    def make(folder):
        choices = BuildOptions(window=Window(size=4), min_messages=1)
        build([habits.write_export(folder / "export")], folder / "dataset", choices)

    return made_once(shared_folder / "habits", make) / "dataset"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """A database with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    asyncio.run(prepare_database(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session", params=FAMILIES, ids=lambda family: f"a {family} model")
def trained(request, shared_folder, tmp_path_factory, habits_dataset) -> Registry:
    """A registry whose current version has really learned the habits; each worker has a copy."""

    def make(folder):
        texts = [" ".join(habits.HABITS.values())]
        base = FAMILIES[request.param](folder / "base", texts=texts)
        dataset, registry = load_dataset(habits_dataset), Registry(folder / "artifacts")
        train(dataset, str(base), registry, SETTINGS, SURE, Console(quiet=True))

    folder = made_once(shared_folder / f"trained-{request.param}", make)
    own = tmp_path_factory.mktemp("trained") / "artifacts"
    return Registry(shutil.copytree(folder / "artifacts", own, symlinks=True))
