"""A training in two processes, which torchrun starts, learns what one process learns."""

import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console
from safetensors.torch import load_file

from model.artifacts.artifact import Decoding
from model.artifacts.registry import Registry
from model.errors import TrainingError
from pipeline.dataset.storage import load_dataset
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.run import train
from tests.checkpoints import save_llama, save_t5
from tests.habits import HABITS

SETTINGS = {
    "epochs": 4,
    "hidden": 0,
    "learning_rate": 1e-3,
    "precision": "float32",
    "max_reply_tokens": 32,
    "evaluations": 2,
    "seed": 3,
}
"""A pass does not divide into whole steps; a decoder-only model has a loss on names."""


class Training:
    """Trainings of one base, with the same settings."""

    def __init__(self, folder, family, dataset):
        save = save_t5 if family == "encoder-decoder" else save_llama
        self.folder, self.dataset = folder, dataset
        self.base = save(folder / "base", texts=[" ".join(HABITS.values())])

    def here(self, models, on_progress=None, **options):
        """Train in this process; return the version."""
        registry = Registry(self.folder / models)
        console = Console(quiet=True)
        settings = Hyperparameters(**SETTINGS)
        with pytest.MonkeyPatch.context() as patch:
            if on_progress:
                patch.setattr("pipeline.training.run.TrainingBar", lambda _: Bar(on_progress))
            train(
                load_dataset(self.dataset), str(self.base), registry, settings, Decoding(),
                console, **options,
            )  # fmt: skip
        return registry.open("current")

    def launch(self, models, *options, processes=2):
        """Start a training in two processes."""
        given = [
            word
            for name, value in SETTINGS.items()
            for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        return launch(
            "train", self.dataset, "--base", self.base, "--models", self.folder / models,
            *given, *options, processes=processes,
        )  # fmt: skip

    def launched(self, models, *options):
        """Train in two processes; return the version and what was printed."""
        program = self.launch(models, *options)
        printed, _ = program.communicate(timeout=120)
        assert program.returncode == 0, printed
        return Registry(self.folder / models).open("current"), printed


class Bar:
    def __init__(self, on_progress):
        self.console, self._on_progress = Console(quiet=True), on_progress

    def __call__(self, progress):
        self._on_progress(progress)

    def close(self):
        pass


def launch(*words, processes=2):
    """Start `understudy` in several processes, as torchrun does."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
        str(processes), "-m", "pipeline.cli", *map(str, words),
    ]  # fmt: skip
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def interrupt_at(step):
    def press(progress):
        if progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press


def assert_equal(one, other):
    """Two versions have the same weights within rounding, and the same figures."""
    assert one.card.provenance["steps"] == other.card.provenance["steps"]
    ours, theirs = (load_file(v.weights / "model.safetensors") for v in (one, other))
    for name, tensor in ours.items():
        scale = float(tensor.float().abs().max())
        assert float((tensor.float() - theirs[name].float()).abs().max()) < 0.01 * scale, name
    tuned = [v.card.scores["nats_per_character"]["whole"]["tuned"] for v in (one, other)]
    assert tuned[0] == pytest.approx(tuned[1], abs=2e-3)
    losses = [[p["nats"] for p in v.card.provenance["held_out"]] for v in (one, other)]
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)


@pytest.fixture
def pieces(tmp_path, habits_dataset):
    return Training(tmp_path, "decoder-only", habits_dataset)


@pytest.fixture
def pairs(tmp_path, habits_dataset):
    return Training(tmp_path, "encoder-decoder", habits_dataset)


def test_two_processes_learn_what_one_learns(pieces):
    alone = pieces.here("alone")

    together, printed = pieces.launched("together")

    assert_equal(alone, together)
    assert alone.card.provenance["hyperparameters"]["name_loss"] > 0
    assert printed.count("Loading") == 1
    assert list((pieces.folder / "together" / "training").iterdir()) == []


def test_one_process_continues_what_two_began(pairs):
    with pairs.launch("two") as program:
        for line in program.stdout:
            if "%  loss" in line:
                os.killpg(program.pid, signal.SIGINT)
    assert program.returncode == 1

    continued = pairs.here("two", resume=True)

    assert_equal(pairs.here("whole"), continued)


def test_two_processes_continue_what_one_began(pieces):
    with pytest.raises(TrainingError, match="stopped after 7 steps"):
        pieces.here("one", interrupt_at(7))

    continued, _ = pieces.launched("one", "--resume")

    assert_equal(pieces.here("whole"), continued)


def test_two_processes_stop_together_at_a_time_limit(pairs):
    version, printed = pairs.launched("timed", "--minutes", "0.03", "--epochs", "1000")

    assert "Plan: 0.03 min" in printed
    assert 1.8 <= version.card.provenance["seconds"] < 20


def test_a_step_that_cannot_be_divided_ends_all_processes(pairs):
    program = pairs.launch("refused", "--batch-size", "3")

    printed, _ = program.communicate(timeout=60)

    assert program.returncode == 1
    assert "--batch-size 3 cannot be divided among 2 processes" in printed
    assert not list((pairs.folder / "refused").glob("versions/*"))


def test_other_commands_refuse_several_processes(tmp_path):
    program = launch("sample", tmp_path / "export")

    printed, _ = program.communicate(timeout=60)

    assert program.returncode == 1
    assert "only `train` can use" in printed
    assert not (tmp_path / "export").exists()
