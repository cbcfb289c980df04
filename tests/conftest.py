"""Parts that are made once and shared: trained models, an empty database, fork servers.

torch is imported where it is needed: the process that only starts the workers needs none.
"""

import asyncio
import gc
import logging
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests import habits
from tests.fork_server import forking

# These models are so small that threads only wait for each other. torch reads it when imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background job ignores Ctrl-C, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A run is repeatable; `--hypothesis-profile=default` draws new examples, as `make soak` does.
settings.register_profile("repeatable", derandomize=True, print_blob=True)
settings.load_profile("repeatable")


_LONGEST = ("test_processes.py", "test_serving.py", "test_replicas.py")


def pytest_collection_modifyitems(items):
    """Start with the files that take longest: those that start whole programs."""
    items.sort(
        key=lambda item: (
            item.path.name not in _LONGEST and item.path.parent != Path(__file__).parent
        )
    )


@pytest.fixture(scope="session", autouse=True)
def _keep_frozen():
    """Disable gc.unfreeze: conversions would make torch's objects collectable again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "unfreeze", lambda: None)
        yield


@pytest.fixture(autouse=True, scope="module")
def _few_tracked_objects(_keep_frozen):
    """Exclude what is loaded by now from garbage collections; torch alone has 500,000 objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _restore_log_handlers():
    """Remove the log handlers that a test has set up by running a program in this process.

    A handler formats a record's traceback once, for all handlers: one that hides the
    text of errors would hide it from later tests.
    """
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    for handler in [one for one in root.handlers if one not in before]:
        root.removeHandler(handler)


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
    from model.chat.conversation import Window
    from pipeline.dataset.build import build
    from pipeline.dataset.pairs import BuildOptions

    def make(folder):
        choices = BuildOptions(window=Window(size=4), min_messages=1)
        build([habits.write_export(folder / "export")], folder / "dataset", choices)

    return made_once(shared_folder / "habits", make) / "dataset"


@pytest.fixture(scope="session")
def sample_chat(shared_folder) -> Path:
    """The export of the demo's chat."""
    from pipeline.dataset.sample import write_sample

    return made_once(shared_folder / "sample", write_sample) / "result.json"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """A database with all tables and nothing in them."""
    from bot.store.database import prepare_database

    path = tmp_path_factory.mktemp("empty") / "empty.db"
    asyncio.run(prepare_database(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session", autouse=True)
def _migrated_once(empty_database):
    """Give each new database a copy of the tables that Alembic has made once."""
    from alembic import command
    from sqlalchemy import inspect

    upgrade = command.upgrade
    with closing(sqlite3.connect(empty_database)) as connection:
        _, *statements, _ = connection.iterdump()  # without BEGIN and COMMIT

    def copy_or_upgrade(config, revision):
        connection = config.attributes["connection"]
        is_file = connection.dialect.name == "sqlite"
        if not is_file or revision != "head" or inspect(connection).get_table_names():
            upgrade(config, revision)
        else:
            for statement in statements:
                connection.exec_driver_sql(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "upgrade", copy_or_upgrade)
        yield


@pytest.fixture(scope="session")
def bot_python():
    """Python for the bot's programs: they start as forks of a process that imported the bot."""
    with forking("bot.run", "bot.checks", "bot.services.dump", "bot.store.backup") as python:
        yield python


@pytest.fixture(scope="session")
def pipeline_python():
    """Python for the pipeline's programs: forks of a process that imported all of it."""
    with forking(
        "pipeline.cli.main", "pipeline.retrain.run", "pipeline.training.convert"
    ) as python:
        yield python


@pytest.fixture(scope="session")
def trained_folder(shared_folder, habits_dataset):
    """Return a function that returns the folder of a trained base of a family."""

    def trained_folder(family):
        return made_once(
            shared_folder / f"trained-{family}",
            lambda folder: train_on_habits(folder, family, habits_dataset),
        )

    return trained_folder


@pytest.fixture(
    scope="session", params=["encoder-decoder", "decoder-only"], ids="a {} model".format
)
def trained(request, trained_folder, tmp_path_factory):
    """A registry whose current version has really learned the habits; each worker has a copy."""
    from model.artifacts.registry import Registry

    folder = trained_folder(request.param)
    own = tmp_path_factory.mktemp("trained") / "artifacts"
    return Registry(shutil.copytree(folder / "artifacts", own, symlinks=True))


def train_on_habits(folder, family, dataset):
    """Make a folder with a base of this family and a registry of one trained version."""
    from rich.console import Console

    from model.artifacts.artifact import Decoding
    from model.artifacts.registry import Registry
    from pipeline.dataset.storage import load_dataset
    from pipeline.terminal import Progress
    from pipeline.training.hyperparameters import Hyperparameters
    from pipeline.training.run import train
    from tests import checkpoints

    save = checkpoints.save_t5 if family == "encoder-decoder" else checkpoints.save_llama
    base = save(folder / "base", texts=[" ".join(habits.HABITS.values())])
    epochs = 8 if family == "encoder-decoder" else 12  # a session is fewer examples than its pairs
    settings = Hyperparameters(epochs=epochs, learning_rate=6e-3, max_reply_tokens=32)
    sure = Decoding(temperature=0.3)  # so small a model misspells a habit now and then
    quiet = Progress(Console(quiet=True))
    train(load_dataset(dataset), str(base), Registry(folder / "artifacts"), settings, sure, quiet)
