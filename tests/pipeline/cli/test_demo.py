"""The offline half of `make demo`, on a small chat and a small model."""

import json
import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from model.artifacts.registry import Registry
from model.errors import TrainingError
from pipeline.cli import main
from pipeline.cli.demo import run_demo
from pipeline.dataset.build import build
from pipeline.dataset.pairs import BuildOptions
from pipeline.dataset.storage import load_dataset
from pipeline.terminal import Progress
from pipeline.training.checkpoints import STATE
from pipeline.training.run import Start, work_folder
from tests.checkpoints import save_llama
from tests.habits import write_demo, write_export
from tests.model.fake_artifacts import make

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Run the demo, and return its registry and the lines it printed."""
    folder = tmp_path_factory.mktemp("demo")
    base = save_llama(folder / "base")
    registry = Registry(folder / "artifacts")
    said = StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.cli.demo.write_sample", lambda place: write_demo(place, 55))
        patch.chdir(folder)
        progress = Progress(Console(file=said, width=80))
        run_demo(Path("demo"), str(base), 0.02, registry, progress, bool)
    return registry, said.getvalue().splitlines()


def test_the_demo_leaves_a_scorecard_beside_the_model_that_serves(shown):
    registry, lines = shown
    version = registry.open().path

    card = json.loads((version / "scorecard.json").read_text("utf-8"))

    assert card["artifact"] == registry.current
    assert card["quick"]
    assert card["held_out"] == "test"
    assert registry.promote("current") == version.name  # it is whole still
    assert lines[-1].strip().endswith("scorecard.json")


def test_the_demo_never_takes_the_place_of_one_s_own_version(tmp_path):
    registry = Registry(tmp_path / "artifacts")
    own = registry.promote(registry.add(make(tmp_path / "own")))

    with pytest.raises(TrainingError, match="trained on your own group"):
        run_demo(tmp_path / "demo", "smollm2", 1, registry, Progress(Console(quiet=True)), bool)

    assert registry.current == own
    assert not (tmp_path / "demo").exists()


def test_the_demo_keeps_the_checkpoint_of_a_stopped_training_and_names_it(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("pipeline.cli.demo.write_sample", lambda place: write_demo(place, 55))
    monkeypatch.chdir(tmp_path)
    build([write_export(tmp_path / "e", 55)], tmp_path / "ds", BuildOptions(public=True))
    base, registry = save_llama(tmp_path / "base"), Registry(tmp_path / "artifacts")
    work = work_folder(load_dataset(tmp_path / "ds"), Start(str(base)), registry)
    (work / "checkpoint-7").mkdir(parents=True)
    (work / "checkpoint-7" / STATE).touch()
    monkeypatch.setattr(sys, "argv", ["understudy", "demo", "--base", str(base)])

    with pytest.raises(SystemExit) as caught:
        main.main()

    said = " ".join(capsys.readouterr().err.split())
    assert caught.value.code == 1
    assert "checkpoint-7: use --resume to continue from it, or --restart to discard it" in said
    assert (work / "checkpoint-7").is_dir()


def test_the_demo_shows_what_the_scorecard_says_in_80_columns(shown):
    registry, lines = shown
    card = json.loads((registry.open().path / "scorecard.json").read_text("utf-8"))

    text = "\n".join(lines)

    assert max(map(cell_len, lines[:-1])) <= 80
    fit = card["headline"]["fit"]
    figures = f"{fit['value']:.2f} +{fit['low']:.2f} {fit['high']:.2f}"
    assert re.search(rf"fits the conversation .* +{figures} ", text)
    assert f"Private data: in 0 of {card['personal_data_lines']} lines" in text


def test_the_demo_says_how_long_it_will_take_without_jargon(shown):
    text = " ".join(" ".join(shown[1]).split())

    assert "This will take up to" in text
    assert text.index("This will take up to") < text.index("Training (")
    for word in ("bf16", "macro-F1", "tokens/s", "pairs", "seen", "AUC", "loss", "nats"):
        assert not re.search(rf"\b{word}\b", text), word


def test_the_steps_are_numbered_through_from_here_to_the_bot(shown):
    makefile = (ROOT / "Makefile").read_text("utf-8")

    steps = [int(n) for n in re.findall(r"^(\d) · ", "\n".join(shown[1]), re.MULTILINE)]
    steps += [int(n) for n in re.findall(r'"(\d) · ', makefile)]

    assert steps == list(range(1, len(steps) + 1))


def test_a_held_out_conversation_waits_for_the_bot_s_part(shown):
    registry, _ = shown

    text = (registry.root.parent / "demo" / "conversation.txt").read_text("utf-8")
    *earlier, last = text.split("\n\n")

    assert len(last.splitlines()) >= 4
    assert all(": " in line for line in last.splitlines())
    assert earlier
    assert not any(last.strip() in conversation for conversation in earlier)
