"""From a dataset to a version in the registry, and back from it."""

import json
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pytest
from click.testing import CliRunner
from rich.console import Console

from model.artifacts.artifact import Decoding, load_artifact
from model.artifacts.consent import store_imported
from model.artifacts.registry import Registry
from model.chat.person import Decision
from model.chat.roster import Roster
from model.errors import BaseError, DatasetError, TrainingError
from model.files import locked
from model.joining import read_propensity
from pipeline.cli.main import app
from pipeline.dataset.pairs import sample_evenly, select_half
from pipeline.dataset.split import is_judge_session
from pipeline.dataset.storage import load_dataset
from pipeline.terminal import Progress
from pipeline.training.checkpoints import STATE
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.losses import HeldOutReplies
from pipeline.training.repeats import learn_pairs_once
from pipeline.training.run import (
    Start,
    _training_sessions,
    train,
    work_folder,
)
from tests.checkpoints import save_decoder, save_llama
from tests.habits import CHAT_ID, HABITS
from tests.pipeline.chats import pair

QUIET = Progress(Console(quiet=True))


def verbose(file):
    return Progress(Console(file=file, width=200), verbose=True)


def raise_interrupt(*_):
    raise KeyboardInterrupt


def interrupt(*_):
    """Press Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def test_a_trained_version_says_where_it_comes_from(trained, habits_dataset):
    artifact = trained.open()

    card = artifact.card
    assert sorted(person.name for person in card.roster.voices) == sorted(HABITS)
    assert [chat.chat_id for chat in card.chats] == [-(10**12 + CHAT_ID)]
    assert card.window == load_dataset(habits_dataset).window
    assert card.provenance["dataset"]["sha256"] == load_dataset(habits_dataset).content_hash
    assert card.provenance["hyperparameters"]["seed"] == 0
    assert card.provenance["hyperparameters"]["batch_size"] > 0
    assert card.provenance["requested"]["batch_size"] == 0  # a retraining chooses it again
    figures = load_dataset(habits_dataset).summary.voices
    assert {name: card.count_lines(name) for name in HABITS} == {
        v.name: v.messages for v in figures
    }
    assert sum(voice.messages for voice in figures) > 400
    assert not card.public


def test_training_makes_every_voice_s_held_out_replies_likelier(trained):
    scores = trained.open().card.scores["nats_per_character"]

    assert set(scores["voices"]) == set(HABITS)
    assert all(nats["tuned"] < 0.5 * nats["untuned"] for nats in scores["voices"].values())
    assert scores["whole"]["tuned"] < 0.5 * scores["whole"]["untuned"]


def test_a_trained_version_knows_who_answers_whom(trained):
    learned = read_propensity(trained.open().path)

    assert set(learned.voices) == set(HABITS)
    assert all(set(voice.after) < set(HABITS) for voice in learned.voices.values())


@pytest.mark.parametrize(
    "file", ["model.json", "roster.json", "propensity.json", "lines.index", "voices.index"]
)
def test_the_files_next_to_an_artifact_s_weights_contain_no_messages(trained, file):
    told = (trained.open().path / file).read_text("utf-8", errors="replace")

    assert not any(habit in told for habit in HABITS.values())


def test_a_finished_run_leaves_only_its_tensorboard_records(trained):
    assert list((trained.root / "training").iterdir()) == []
    assert [p.name for p in (trained.root / "tensorboard").iterdir()] == trained.names


def test_only_the_owner_can_read_what_training_wrote(trained):
    modes = {path.stat().st_mode & 0o077 for path in trained.root.rglob("*")}

    assert modes == {0}


@pytest.fixture(scope="module")
def two_trainings(tmp_path_factory, habits_dataset):
    """A registry with versions that were trained in a limited time and without the judge's half.

    Returns it with the two trainings and what each printed.
    """
    folder, dataset = tmp_path_factory.mktemp("two"), load_dataset(habits_dataset)
    base, registry = str(save_llama(folder / "base")), Registry(folder / "artifacts")
    reserved = Hyperparameters(epochs=0.02, example_type="pairs", reserve_judge_sessions=True)
    printed = [StringIO(), StringIO()]
    first = train(
        dataset, base, registry, Hyperparameters(minutes=0.01), Decoding(), verbose(printed[0])
    )
    second = train(
        dataset, base, registry, reserved, Decoding(temperature=0.5), verbose(printed[1])
    )
    return registry, (first, second), [file.getvalue() for file in printed]


def test_a_second_version_waits_to_be_promoted(two_trainings):
    registry, (first, second), _ = two_trainings

    assert first.promoted
    assert not second.promoted
    assert registry.current == first.name
    assert registry.open("2").card.decoding.temperature == 0.5


def test_the_judges_sessions_can_be_reserved(two_trainings, habits_dataset):
    registry, _, (_, said) = two_trainings
    dataset = load_dataset(habits_dataset)

    own = select_half(dataset.train, for_judge=False)
    assert 0 < len(own) < len(dataset.train)
    assert f"Training on {len(learn_pairs_once(own)):,} pairs" in said
    assert registry.open("2").card.provenance["hyperparameters"]["reserve_judge_sessions"]


def test_the_judges_sessions_are_reserved_from_training_on_whole_sessions_too(habits_dataset):
    dataset = load_dataset(habits_dataset)
    [chat] = dataset.chats

    found = {
        reserved: _training_sessions(
            dataset, Start("any"), Hyperparameters(reserve_judge_sessions=reserved), ()
        )
        for reserved in (False, True)
    }

    numbers = [lines[0].session for lines in found[True]]
    assert 0 < len(numbers) < len(found[False])
    assert not any(is_judge_session(chat.chat_id, number) for number in numbers)


def test_a_base_that_cannot_be_loaded_leaves_no_files(tmp_path, habits_dataset):
    registry = Registry(tmp_path / "artifacts")

    with pytest.raises(BaseError):
        train(
            load_dataset(habits_dataset), str(tmp_path), registry, Hyperparameters(),
            Decoding(), QUIET,
        )  # fmt: skip

    assert [path.name for path in registry.root.iterdir()] == ["lock"]


def test_prompts_that_are_too_long_for_a_base_are_refused(tmp_path, habits_dataset):
    base = str(save_decoder(tmp_path / "base", "gemma3_text", sliding_window=128))

    with pytest.raises(BaseError, match="at most 128 tokens.*max-prompt-tokens.*add up to 480"):
        train(
            load_dataset(habits_dataset), base, Registry(tmp_path / "artifacts"),
            Hyperparameters(), Decoding(), QUIET,
        )  # fmt: skip


def test_a_base_that_is_converted_wrongly_is_refused_before_training(tmp_path, habits_dataset):
    base = save_decoder(
        tmp_path / "base", "gpt2", scale_attn_by_inverse_layer_idx=True, initializer_range=0.3
    )
    registry = Registry(tmp_path / "artifacts")

    with pytest.raises(BaseError, match="settings that CTranslate2 does not support"):
        train(
            load_dataset(habits_dataset), str(base), registry, Hyperparameters(), Decoding(), QUIET
        )

    assert [path.name for path in registry.root.iterdir()] == ["lock"]


def test_a_time_limit_prints_a_plan_before_training(two_trainings):
    registry, _, (said, _) = two_trainings

    assert "Plan: 0.01 min at about " in said
    assert said.index("Plan: ") < said.index("Trained ")
    assert registry.open().card.provenance["hyperparameters"]["batch_size"] > 0


def test_resuming_without_a_checkpoint_is_refused(tmp_path, habits_dataset):
    base = str(save_llama(tmp_path / "base"))

    with pytest.raises(TrainingError, match="nothing to resume"):
        train(
            load_dataset(habits_dataset), base, Registry(tmp_path / "artifacts"),
            Hyperparameters(), Decoding(), QUIET, resume=True,
        )  # fmt: skip


def test_a_base_that_does_not_know_the_chat_s_language_is_named_before_training(
    tmp_path, habits_dataset, monkeypatch
):
    told, registry = StringIO(), Registry(tmp_path / "artifacts")
    monkeypatch.setattr("pipeline.training.run.find_languages", lambda _: ("pt",))

    with pytest.raises(BaseError):
        train(
            load_dataset(habits_dataset), str(tmp_path / "smollm2"), registry,
            Hyperparameters(), Decoding(), verbose(told),
        )  # fmt: skip

    assert told.getvalue().startswith("  The chat is in Portuguese, but ")


def test_an_interrupted_run_is_resumed_in_its_precision(tmp_path, habits_dataset, monkeypatch):
    base = str(save_llama(tmp_path / "base"))
    registry = Registry(tmp_path / "artifacts")
    dataset = load_dataset(habits_dataset)
    settings = Hyperparameters(epochs=0.2, batch_size=8)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr("pipeline.training.device.measure_bf16_gain", lambda: 4.0)
    monkeypatch.setattr(Progress, "share", interrupt)
    with pytest.raises(TrainingError, match="repeat the command to continue"):
        train(dataset, base, registry, settings, Decoding(), QUIET)
    monkeypatch.undo()
    monkeypatch.setattr("pipeline.training.device.measure_bf16_gain", lambda: 0.5)
    taken = []

    def measure(*given, **more):
        taken.append(1)
        return original(*given, **more)

    original = HeldOutReplies.measure
    monkeypatch.setattr(HeldOutReplies, "measure", measure)
    said = StringIO()

    trained = train(dataset, base, registry, settings, Decoding(), verbose(said), resume=True)

    assert "Precision: bf16, as in the interrupted run" in said.getvalue()
    assert "Testing the untuned base" not in said.getvalue()
    assert len(taken) == 1  # the tuned model's alone
    assert trained.loss.whole.untuned != trained.loss.whole.tuned


def test_stopped_during_the_conversion_only_that_is_repeated(tmp_path, habits_dataset, monkeypatch):
    base = str(save_llama(tmp_path / "base"))
    registry, dataset = Registry(tmp_path / "artifacts"), load_dataset(habits_dataset)
    settings = Hyperparameters(epochs=0.2, batch_size=8, precision="float32")
    monkeypatch.setattr("pipeline.training.convert.convert", raise_interrupt)
    with pytest.raises(TrainingError, match="stopped after training.*repeat the command"):
        train(dataset, base, registry, settings, Decoding(), QUIET)
    monkeypatch.undo()
    assert registry.names == []
    whole = train(dataset, base, Registry(tmp_path / "whole"), settings, Decoding(), QUIET)

    resumed = train(dataset, base, registry, settings, Decoding(), QUIET, resume=True)

    assert registry.names == [resumed.name]
    assert resumed.loss == whole.loss


def test_a_resumed_run_with_other_held_out_replies_computes_the_untuned_loss_again(tmp_path):
    file, pairs = tmp_path / "untuned.json", [pair(number) for number in range(3)]

    replies = HeldOutReplies(pairs, ())

    replies.save({"Hugo": 1.0}, file)

    assert replies.load(file) == {"Hugo": 1.0}
    assert HeldOutReplies(pairs[:2], ()).load(file) is None
    file.write_text("{")
    assert replies.load(file) is None


def test_held_out_replies_are_drawn_evenly_by_voice(habits_dataset):
    pairs = load_dataset(habits_dataset).train

    drawn = sample_evenly(pairs, 5, seed=0)

    assert [pair.voice for pair in drawn] == [name for name in sorted(HABITS) for _ in range(5)]
    assert sample_evenly(pairs, 5, seed=0) == drawn


def test_an_artifact_of_another_prompt_is_refused(trained, tmp_path):
    card = json.loads((trained.open().path / "model.json").read_text("utf-8"))
    (tmp_path / "model.json").write_text(json.dumps({**card, "prompt": "0" * 12}), "utf-8")

    with pytest.raises(Exception, match="another prompt.*train again"):
        load_artifact(tmp_path)


def test_a_second_training_at_the_same_time_is_refused(tmp_path, habits_dataset):
    registry = Registry(tmp_path / "artifacts")
    dataset = load_dataset(habits_dataset)

    with (
        locked(registry.root / "lock", wait=False),
        pytest.raises(TrainingError, match="training or retraining is running"),
    ):
        train(dataset, "any", registry, Hyperparameters(), Decoding(), QUIET)


def test_the_files_of_a_killed_run_are_deleted(tmp_path, habits_dataset):
    registry = Registry(tmp_path / "artifacts")
    (registry.root / ".new-killed").mkdir(parents=True)

    with pytest.raises(BaseError):
        train(
            load_dataset(habits_dataset), str(tmp_path), registry, Hyperparameters(),
            Decoding(), QUIET,
        )  # fmt: skip

    assert not (registry.root / ".new-killed").exists()


def test_train_discards_a_checkpoint_only_on_request(habits_dataset, tmp_path):
    registry = Registry(tmp_path / "models")
    base = str(tmp_path / "no base")
    folder = work_folder(load_dataset(habits_dataset), Start(base), registry)
    (folder / "checkpoint-5").mkdir(parents=True)
    (folder / "checkpoint-5" / STATE).touch()
    (folder / "checkpoint-9").mkdir()  # a kill came while it was written
    command = ["train", str(habits_dataset), "--base", base, "--models-dir", str(registry.root)]

    refused = CliRunner().invoke(app, command).exception
    both = CliRunner().invoke(app, [*command, "--resume", "--restart"])
    told_to = CliRunner().invoke(app, [*command, "--restart"]).exception

    assert isinstance(refused, TrainingError)
    assert f"{folder / 'checkpoint-5'}: use --resume to continue from it, or --restart" in str(
        refused
    )
    assert both.exit_code == 2
    assert isinstance(told_to, BaseError)
    assert (folder / "checkpoint-5").is_dir()


def test_an_older_dataset_with_a_withdrawn_person_is_refused(habits_dataset, tmp_path):
    registry = Registry(tmp_path / "models")
    hugo = load_dataset(habits_dataset).roster.find_by_name("Hugo")
    told = Decision(hugo.ids[0], "optout", datetime(2024, 3, 1, tzinfo=UTC))
    registry.root.mkdir()
    out = replace(hugo, imitate="no", opted_out=(told,))
    store_imported(registry.root, Roster((out,)), "hugo.zip")

    with pytest.raises(DatasetError, match="contains messages of Hugo, who withdrew"):
        train(
            load_dataset(habits_dataset), "no base", registry, Hyperparameters(), Decoding(), QUIET
        )
