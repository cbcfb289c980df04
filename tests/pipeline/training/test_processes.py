"""A training in two processes learns what one process learns."""

import os
import signal
import socket
import subprocess
import sys
from functools import cached_property
from itertools import count

import pytest
from click.testing import CliRunner
from rich.console import Console
from safetensors.torch import load_file

from model.artifacts.artifact import Decoding
from model.artifacts.registry import Registry
from model.errors import TrainingError
from pipeline.cli.main import app
from pipeline.dataset.storage import load_dataset
from pipeline.terminal import Progress
from pipeline.training import trainer
from pipeline.training.bases import open_base
from pipeline.training.device import Precision
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.processes import Processes
from pipeline.training.run import train
from pipeline.training.trainer import _round_batch_size
from tests.checkpoints import save_llama, save_t5
from tests.habits import HABITS
from tests.training_rows import rows_of

SETTINGS = {
    "speaker_dropout": 0,
    "learning_rate": 1e-3,
    "precision": "float32",
    "max_reply_tokens": 32,
    "evaluations": 2,
    "seed": 3,
}
"""A pass does not divide into whole steps; a decoder-only model has a speaker loss."""
EPOCHS = {"encoder-decoder": 1, "decoder-only": 4}
"""A decoder-only model has one example for several replies, so its epochs have fewer steps."""


ON_ONE_THREAD = """
import torch
from pipeline.cli.main import main
from pipeline.training import trainer

torch.set_num_threads(1)
{more}
main()
"""
IN_PARTS = "trainer._batch_sizes = lambda *_, **__: iter([2])"
"""As if two examples at a time fitted into memory: a step has several parts."""
SLOWLY = """
import time

def compute_loss(self, *inputs, loss=trainer.FineTuner.compute_loss, **options):
    time.sleep(0.1)
    return loss(self, *inputs, **options)

trainer.FineTuner.compute_loss = compute_loss
"""
"""A training that is still going on when it is interrupted."""


class Training:
    """Trainings of one base, with the same settings."""

    def __init__(self, folder, family, dataset, python):
        self._python = python
        save = save_t5 if family == "encoder-decoder" else save_llama
        self.folder, self.dataset = folder, dataset
        self._settings = {**SETTINGS, "epochs": EPOCHS[family]}
        self.base = save(folder / "base", texts=[" ".join(HABITS.values())])

    @cached_property
    def whole(self):
        """The version of a training in one process, from beginning to end."""
        return self.train_in_one_process("whole")

    def train_in_one_process(self, models, on_share=lambda _: None, **options):
        """Train in this process; return the version."""
        registry = Registry(self.folder / models)
        settings = Hyperparameters(**self._settings)
        train(
            load_dataset(self.dataset), str(self.base), registry, settings, Decoding(),
            Interrupting(on_share), **options,
        )  # fmt: skip
        return registry.open("current")

    def command(self, models, *options):
        """Return the words of a `train` command."""
        given = [
            word for name, value in self._settings.items() for word in ("--set", f"{name}={value}")
        ]
        words = "train", self.dataset, "--base", self.base, "--models-dir", self.folder / models
        return [*map(str, words), *given, *options]

    def start_training(self, models, *options):
        """Start a training in two processes with torchrun."""
        return start_command("-m", "pipeline.cli", *self.command(models, *options))

    def interrupt_training(self, models, *options):
        """Start a slow training with torchrun, and press Ctrl-C; return what was printed."""
        program = self.folder / "slowly.py"
        program.write_text(ON_ONE_THREAD.format(more=SLOWLY), "utf-8")
        printed = []
        with start_command(program, *self.command(models, *options)) as running:
            for line in running.stdout:
                printed.append(line)
                if "Training …" in line:
                    os.killpg(running.pid, signal.SIGINT)
        assert running.returncode == 1
        return printed

    def train_in_two_processes(self, models, *options, more=""):
        """Train in two processes without a launcher; return the version and what was printed."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        code = ON_ONE_THREAD.format(more=more)
        launched = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        programs = [
            subprocess.Popen(
                [self._python, "-c", code, *self.command(models, *options)],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env={**os.environ, **launched, "RANK": rank, "LOCAL_RANK": rank},
            )
            for rank in ("0", "1")
        ]  # fmt: skip
        printed, other = (program.communicate(timeout=600)[0] for program in programs)
        assert [program.returncode for program in programs] == [0, 0], printed + other
        return Registry(self.folder / models).open("current"), printed


class Interrupting(Progress):
    """Calls a function at each step of the training."""

    def __init__(self, on_share):
        super().__init__(Console(quiet=True))
        self.share = on_share


def start_command(*words):
    """Start a program in two processes with torchrun."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        *map(str, words),
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
    steps = count(1)

    def press(_):
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press


def assert_equal(one, other):
    """Two versions have the same weights within rounding, and the same figures.

    An evaluation that was due at the step of an interruption takes place one step later.
    """
    assert one.card.provenance["steps"] == other.card.provenance["steps"]
    ours, theirs = (load_file(v.weights / "model.safetensors") for v in (one, other))
    for name, tensor in ours.items():
        scale = float(tensor.float().abs().max())
        assert float((tensor.float() - theirs[name].float()).abs().max()) < 0.01 * scale, name
    tuned = [v.card.scores["nats_per_character"]["whole"]["tuned"] for v in (one, other)]
    assert tuned[0] == pytest.approx(tuned[1], abs=2e-3)
    points = [{p["step"]: p["nats"] for p in v.card.provenance["held_out"]} for v in (one, other)]
    assert [*points[0]] == pytest.approx([*points[1]], abs=1)
    at_both = points[0].keys() & points[1].keys()
    assert one.card.provenance["steps"] in at_both
    assert [points[0][s] for s in at_both] == pytest.approx(
        [points[1][s] for s in at_both], abs=2e-3
    )


@pytest.fixture(scope="module")
def decoder_only(tmp_path_factory, habits_dataset, pipeline_python):
    folder = tmp_path_factory.mktemp("decoder-only")
    return Training(folder, "decoder-only", habits_dataset, pipeline_python)


@pytest.fixture(scope="module")
def encoder_decoder(tmp_path_factory, habits_dataset, pipeline_python):
    folder = tmp_path_factory.mktemp("encoder-decoder")
    return Training(folder, "encoder-decoder", habits_dataset, pipeline_python)


@pytest.mark.scale
def test_two_processes_learn_what_one_learns(decoder_only):
    alone = decoder_only.whole

    together, printed = decoder_only.train_in_two_processes("together")

    assert_equal(alone, together)
    assert alone.card.provenance["hyperparameters"]["speaker_loss"] > 0
    assert printed.count(f"Loading {decoder_only.base}") == 1
    assert list((decoder_only.folder / "together" / "training").iterdir()) == []


@pytest.mark.scale
def test_one_process_continues_what_two_began(encoder_decoder):
    encoder_decoder.interrupt_training("two")

    continued = encoder_decoder.train_in_one_process("two", resume=True)

    assert_equal(encoder_decoder.whole, continued)


@pytest.mark.soak
def test_two_processes_continue_what_one_began(decoder_only):
    with pytest.raises(TrainingError, match="stopped after 7 steps"):
        decoder_only.train_in_one_process("one", interrupt_at(7))

    continued, _ = decoder_only.train_in_two_processes("one", "--resume")

    assert_equal(decoder_only.whole, continued)


@pytest.mark.soak
def test_one_process_continues_what_two_began_with_a_divided_model(decoder_only):
    printed = decoder_only.interrupt_training("two", "--set=shard=true")

    continued = decoder_only.train_in_one_process("two", resume=True)

    assert "  Each of 2 processes has 50% of the weights\n" in printed
    assert_equal(decoder_only.whole, continued)


@pytest.mark.scale
def test_two_processes_divide_a_model_that_one_began_to_train(encoder_decoder):
    with pytest.raises(TrainingError, match="stopped after 7 steps"):
        encoder_decoder.train_in_one_process("one", interrupt_at(7))

    continued, _ = encoder_decoder.train_in_two_processes(
        "one", "--resume", "--set=shard=true", more=IN_PARTS
    )

    assert_equal(encoder_decoder.whole, continued)


@pytest.mark.soak
def test_a_time_limit_is_planned_for_a_divided_model(decoder_only):
    version, printed = decoder_only.train_in_two_processes(
        "timed together", "--minutes", "0.03", "--set=epochs=1000", "--set=shard=true", "--verbose"
    )

    assert "Plan: 0.03 min" in printed
    assert 1.8 <= version.card.provenance["seconds"] < 20


def test_a_model_with_lora_is_not_divided(tmp_path, habits_dataset):
    settings = Hyperparameters(lora=True)
    registry = Registry(tmp_path / "models")

    with pytest.raises(TrainingError, match="omit one of them"):
        train(
            load_dataset(habits_dataset), "base", registry, settings, Decoding(),
            Progress(Console(quiet=True)), processes=Processes(2, shards=True),
        )  # fmt: skip


def test_one_process_has_nobody_to_share_a_model_with(tmp_path):
    result = CliRunner().invoke(app, ["train", str(tmp_path), "--set=shard=true"])

    assert "--set shard=true needs several processes" in str(result.exception)


@pytest.mark.scale
def test_two_processes_stop_together_at_a_time_limit(encoder_decoder):
    version, printed = encoder_decoder.train_in_two_processes(
        "timed", "--minutes", "0.03", "--set=epochs=1000", "--verbose"
    )

    assert "Plan: 0.03 min" in printed
    assert 1.8 <= version.card.provenance["seconds"] < 20


@pytest.mark.scale
def test_a_step_that_cannot_be_divided_ends_all_processes(encoder_decoder):
    program = encoder_decoder.start_training("refused", "--set", "batch-size=3")

    printed, _ = program.communicate(timeout=300)

    assert program.returncode == 1
    assert "steps of 3 examples cannot be divided among 2 processes" in printed
    assert not list((encoder_decoder.folder / "refused").glob("versions/*"))


@pytest.mark.parametrize(("size", "count", "expected"), [(8, 2, 8), (8, 3, 9), (4, 8, 8)])
def test_a_batch_size_that_nobody_gave_is_raised(size, count, expected):
    given = Hyperparameters(batch_size=size)

    found = _round_batch_size(given, Processes(count), may_enlarge=True)

    assert found.batch_size == expected


def test_a_resumed_training_keeps_its_steps(tmp_path, decoder_only):
    base = open_base(str(decoder_only.base), tmp_path, [])
    (tmp_path / "batch_size").write_text("4\n")
    rows = rows_of(base, [encode(base.codec, "Hugo", (), ("bark",), (64, 32))])

    with pytest.raises(TrainingError, match="steps of 4 examples cannot be divided among 3"):
        trainer.train(
            base, rows, Hyperparameters(), tmp_path,
            precision=Precision(bf16=False, reason=""), resume=True, processes=Processes(3),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("2", "only `train` can run in several processes, but 2 are running `demo-chat`"),
        ("x", "WORLD_SIZE is not a number"),
    ],
)
def test_other_commands_refuse_several_processes(tmp_path, monkeypatch, size, expected):
    for name, value in {"WORLD_SIZE": size, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)

    result = CliRunner().invoke(app, ["demo-chat", str(tmp_path / "export")])

    assert isinstance(result.exception, TrainingError)
    assert expected in str(result.exception)
    assert not (tmp_path / "export").exists()


def test_a_size_without_a_launcher_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")

    assert CliRunner().invoke(app, ["demo-chat", str(tmp_path / "export")]).exit_code == 0
