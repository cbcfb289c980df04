"""What a retraining trains on, begins with, and holds out."""

import shutil

import pytest

from model.artifacts.artifact import Artifact
from model.errors import TrainingError
from pipeline.dataset.review import write_removed
from pipeline.dataset.storage import REMOVED, load_dataset
from pipeline.retrain.plan import select_pairs
from tests.pipeline.chats import chat, conversation
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.retrain_runner import NEW, OLD, RetrainRunner


def test_pairs_are_struck_out_of_a_folder_that_was_moved_too(running):
    folder = running.trained[0][0].folder
    struck = load_dataset(folder).train[3].id
    write_removed(folder / REMOVED, frozenset({struck}))

    moved = RetrainRunner(
        running.folder.rename(running.folder.with_name(f"{running.folder.name}-moved"))
    )
    moved.run(chat(*NEW), no_live_bot=True)

    kept = load_dataset(moved.trained[0][0].folder)
    assert struck not in {pair.id for pair in (*kept.train, *kept.validation, *kept.test)}


def test_a_warm_start_goes_on_from_the_current_version_and_replays_old_sessions(running):
    running.run(chat(*NEW), no_live_bot=True, replay=0.5)

    dataset, start, _ = running.trained[-1]
    train = start.only
    since = running.receipt(1)["held_out_since"]
    old = [pair for pair in train if pair.sent_at.isoformat() < since]
    new = len(train) - len(old)
    whole = load_dataset(dataset.folder).train
    assert isinstance(start.base, Artifact)
    assert start.name == running.registry.names[0]
    assert start.learning_rate_factor == running.receipt(2)["learning_rate_factor"] < 1
    assert 0.5 * new <= len(old) <= 0.5 * new + 12
    assert new == sum(pair.sent_at.isoformat() >= since for pair in whole)
    assert running.receipt(2)["replayed"] == len(old)
    assert running.receipt(2)["started_from"] == start.name
    assert dataset.train == whole  # what the weights know already is not to be copied either


LACKING = [*NEW[:8], *NEW[9:]]
LATER = conversation(70)[540:]


@pytest.mark.parametrize(
    ("fresh", "notes"),
    [
        (NEW, {"decisions": [decision(1, "optout")]}),
        (NEW, {"forgotten": [NEW[8]["id"]]}),
        (LACKING, {}),
    ],
    ids=["who withdrew", "what is forgotten", "what was deleted"],
)
def test_a_warm_start_never_goes_on_from_weights_that_know(running, fresh, notes):
    running.run(chat(*fresh), dump(**notes), start_from="current")
    again = running.run(chat(*fresh, *LATER), no_live_bot=True, start_from="current")

    assert running.receipt(2)["started_from"] == "google/flan-t5-small"
    assert running.receipt(2)["replayed"] is None
    assert running.receipt(2)["learning_rate_factor"] == 1
    assert running.receipt(3)["started_from"] == running.registry.names[1]
    assert again.promoted


def test_a_voice_that_was_not_learned_before_is_learned_whole(running):
    known = {"Friend 1"}
    pairs = load_dataset(running.trained[0][0].folder).train
    since = pairs[-1].sent_at

    kept, replayed = select_pairs(pairs, since, known, 0.0, 0)

    assert {pair for pair in pairs if pair.voice == "Friend 2"} <= set(kept)
    assert replayed == 0
    assert len(kept) < len(pairs)


def test_a_version_that_came_without_weights_is_begun_anew(running):
    shutil.rmtree(running.registry.open().weights)

    running.run(chat(*NEW), no_live_bot=True)

    assert running.receipt(2)["started_from"] == "google/flan-t5-small"


def test_a_rate_that_is_given_is_the_rate(running):
    running.run(chat(*NEW), no_live_bot=True, hyperparameters={"learning_rate": 1e-4})

    assert running.trained[1][1].learning_rate_factor == 1
    assert running.trained[1][2].learning_rate == 1e-4


def test_pairs_that_a_person_struck_out_stay_out(running):
    folder = running.trained[0][0].folder
    struck = load_dataset(folder).train[3].id
    write_removed(folder / REMOVED, frozenset({struck}))

    running.run(chat(*NEW), no_live_bot=True)

    kept = load_dataset(running.trained[1][0].folder)
    assert struck not in {pair.id for pair in (*kept.train, *kept.validation, *kept.test)}


def test_pairs_stay_struck_out_where_their_dataset_had_to_be_erased(running):
    folder = running.trained[0][0].folder
    struck = load_dataset(folder).train[3].id
    write_removed(folder / REMOVED, frozenset({struck}))

    running.run(dump(decisions=[decision(2, "optout")]))
    left = [path.name for path in folder.iterdir()]
    running.run(chat(*NEW), dump(decisions=[decision(2, "optin", 1)]))

    kept = load_dataset(running.trained[1][0].folder)
    assert left == [REMOVED]
    assert struck not in {pair.id for pair in (*kept.train, *kept.validation, *kept.test)}


def test_another_base_than_the_current_one_s_cannot_go_on_from_it(running):
    with pytest.raises(TrainingError, match="--set from=current continues from .*omit one of them"):
        running.run(chat(*NEW), no_live_bot=True, start_from="current", base="other")


def test_the_base_is_the_current_version_s_unless_another_is_named(running):
    running.run(chat(*NEW), no_live_bot=True, start_from="base")
    running.run(chat(*conversation(70)), no_live_bot=True, base="other")

    assert [start.name for _, start, _ in running.trained] == [
        "google/flan-t5-small", "google/flan-t5-small", "other",
    ]  # fmt: skip


def test_another_base_chooses_its_own_examples_batch_size_and_learning_rate(running):
    running.run(chat(*NEW), no_live_bot=True, base="other", hyperparameters={"epochs": 2.0})

    (_, _, first), (_, _, second) = running.trained
    assert first.resolve("encoder-decoder", "t5").example_type == "pairs"
    assert (second.example_type, second.batch_size, second.learning_rate) == ("auto", 0, 0.0)
    assert second.epochs == 2.0


def test_with_nothing_new_the_held_out_talk_of_the_current_version_tests_again(running):
    running.run(chat(*OLD), no_live_bot=True, force_training=True)

    before, after = (dataset for _, dataset, _ in running.judged[:2])
    assert {pair.id for pair in after.test} <= {pair.id for pair in before.test}
    assert after.test


def test_both_versions_are_judged_on_the_same_talk_that_neither_has_seen(running):
    running.run(chat(*NEW), no_live_bot=True)

    (_, new, _), (_, current, _) = running.judged[1:]
    assert new.test == current.test != ()
    assert min(pair.sent_at for pair in new.test) > max(pair.sent_at for pair in new.train)
    assert min(pair.sent_at for pair in new.test).timestamp() > int(OLD[-1]["date_unixtime"])
    assert max(pair.sent_at for pair in new.train).timestamp() > int(OLD[-1]["date_unixtime"])
