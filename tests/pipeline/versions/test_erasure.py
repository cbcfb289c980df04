"""Consent that reaches everything: no word of the withdrawn stays in the models folder."""

import json
import re
import shutil

import pytest
from click.testing import CliRunner

from model.artifacts.database import write_database
from model.errors import ArtifactError, DatasetError, ExportError, TrainingError
from model.files import locked
from pipeline.cli.main import app
from pipeline.evaluation.evaluate import load_evaluation_dataset
from pipeline.versions.erasure import list_datasets, purge_person
from pipeline.versions.lineage import (
    explain_missing_dataset,
    find_dataset,
    find_versions_trained_on,
    find_withdrawn_by_version,
)
from tests.pipeline.chats import chat, conversation, entry
from tests.pipeline.retrain.dumps import decision, dump, played
from tests.pipeline.retrain.retrain_runner import NEW, OLD, RetrainRunner, found

SECRET = {**OLD[8], "text": "the zebra sleeps in the cellar"}
TALK = [*OLD[:8], SECRET, *OLD[9:]]
"""Said by Friend 1."""


@pytest.fixture
def runner(tmp_path):
    """A runner whose first version learned the secret, and a checkpoint that holds it."""
    runner = RetrainRunner(tmp_path)
    runner.first()
    runner.run(chat(*TALK, *NEW[240:]), no_live_bot=True)
    checkpoint = runner.root / "training" / "0123abcd-base" / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state").write_text("zebra")
    assert len(found(runner.root, "zebra")) >= 3
    return runner


FRESH = [*TALK, *conversation(70)[240:]]


@pytest.mark.parametrize(
    "notes",
    [{"decisions": [decision(1, "optout")]}, {"forgotten": [SECRET["id"]]}],
    ids=["withdrawn", "forgotten"],
)
def test_no_byte_of_what_was_withdrawn_stays_below_the_folder_of_models(runner, notes):
    runner.run(chat(*FRESH), dump(**notes))

    assert found(runner.root, "zebra") == []
    assert len(found(runner.root, "words 17")) >= 2


def test_what_the_bot_heard_first_goes_from_what_was_made_before_an_export_showed_it(tmp_path):
    group = {"type": "private_group", "id": 5}
    heard = [{**one, "id": one["id"] + 5_000} for one in NEW[240:]]
    runner = RetrainRunner(tmp_path, group)
    runner.first()
    runner.run(dump(*heard, **group))
    runner.run(chat(*NEW, **group), dump(*heard, **group))
    assert len(list(list_datasets(runner.root))) == 2

    runner.run(dump(forgotten=[heard[30]["id"]], **group))

    assert found(runner.root, NEW[270]["text"]) == []
    assert len(list(list_datasets(runner.root))) == 1


def test_it_is_erased_even_where_too_little_is_new_to_train(runner):
    result = runner.run(dump(decisions=[decision(1, "optout")]))

    assert result.version is None
    assert "was trained on words of Friend 1, who withdrew: train with --force" in result.message
    assert found(runner.root, "zebra") == []


def test_words_forgotten_since_are_a_reason_to_train_on_few_messages_the_bot_s_lines_are_none(
    runner,
):
    line = runner.run(dump(forgotten=[77_000]))
    words = runner.run(dump(forgotten=[3]))

    assert line.message.endswith(": wait, or train with --force-training")
    assert "was trained on messages that must be forgotten: train with" in words.message


@pytest.mark.parametrize("export", [chat(*OLD[:99]), chat(*OLD, name="Work", id=8)])
def test_a_withdrawal_counts_although_the_export_beside_it_is_refused(runner, export):
    runner.agrees = False

    with pytest.raises(ExportError):
        runner.run(export, dump(decisions=[decision(1, "optout")]))

    assert found(runner.root, "zebra") == []
    assert len(found(runner.root, "words 17")) >= 1


def test_what_the_roster_withholds_is_erased_too(runner):
    roster = runner.root / "roster.toml"
    roster.write_text(roster.read_text().replace('imitate = "yes"', 'learn = "no"', 1))

    runner.run(chat(*FRESH), no_live_bot=True)

    assert found(runner.root, "zebra") == []
    assert [one["since"] for one in runner.receipt(3)["excluded"]] == [None]


def test_a_line_that_the_bot_spoke_in_their_voice_goes_with_them(runner):
    late = [played(9_000, "Friend 1", "a zebra of my own", 700_000), entry(9_001, 2, "x", 700_060)]

    runner.run(chat(*FRESH), dump(*late, decisions=[decision(1, "optout")]))

    assert found(runner.root, "zebra") == []


def test_a_line_that_the_bot_spoke_under_a_name_they_had_before_goes_too(runner):
    late = [played(9_000, "Friend 1", "a zebra of my own", 700_000), entry(9_001, 2, "x", 700_060)]
    roster = runner.root / "roster.toml"
    roster.write_text(roster.read_text().replace('"Friend 1"', '"Anna"'))

    runner.run(chat(*FRESH), dump(*late))
    runner.run(dump(decisions=[decision(1, "optout")]))

    assert found(runner.root, "zebra") == []


def test_datasets_without_them_and_other_people_s_checkpoints_stay(runner):
    runner.run(chat(*FRESH), dump(decisions=[decision(1, "optout")]))
    kept = list(list_datasets(runner.root))
    (runner.root / "training" / "x").mkdir(parents=True)

    runner.run(dump(decisions=[decision(1, "optout")]))

    assert list(list_datasets(runner.root)) == kept != []
    assert (runner.root / "training" / "x").is_dir()


def test_half_a_dataset_that_a_kill_left_goes_wholly(runner):
    folder = next(iter(list_datasets(runner.root)))
    (folder / "roster.toml").unlink()

    runner.run(dump())

    assert not folder.exists()


def test_nothing_is_erased_below_a_training_that_goes_on(runner):
    with (
        locked(runner.root / "lock", wait=False),
        pytest.raises(TrainingError, match="training or retraining is running"),
    ):
        runner.run(chat(*FRESH), dump(decisions=[decision(1, "optout")]))


def test_older_versions_that_still_hold_them_are_marked_and_can_be_purged(runner):
    runner.run(chat(*FRESH), dump(decisions=[decision(1, "optout")]))
    first, second, third = runner.registry.names

    assert find_withdrawn_by_version(runner.registry) == {first: ["Friend 1"], second: ["Friend 1"]}
    assert purge_person(runner.registry, "friend 1") == [first, second]
    assert runner.registry.names == [third]
    assert find_withdrawn_by_version(runner.registry) == {}


def test_a_version_that_went_on_from_one_that_knew_them_knows_them_too(runner):
    runner.run(chat(*FRESH), no_live_bot=True, start_from="current")
    third = runner.registry.current
    said_nothing = {**runner.receipt(3), "people": runner.receipt(3)["people"][1:]}
    with write_database(runner.root) as database:
        row = (third, json.dumps(said_nothing))
        database.execute("REPLACE INTO receipts VALUES (?, ?)", row)

    assert find_versions_trained_on(runner.registry, [1], "Friend 1") == runner.registry.names


def test_a_version_that_serves_is_never_purged(runner):
    with pytest.raises(
        ArtifactError, match="0002-.* is the current version and was trained on words of Friend 1"
    ):
        purge_person(runner.registry, "Friend 1")

    assert len(runner.registry.names) == 2


@pytest.mark.parametrize("tidies", ["purge", "retrain"])
def test_what_a_killed_removal_left_of_a_version_goes_too(runner, tidies):
    runner.run(chat(*FRESH), dump(decisions=[decision(1, "optout")]))
    left = runner.root / ".gone-0123abcd"
    left.mkdir()
    (runner.root / "versions" / runner.registry.names[0]).rename(left / "0001")

    if tidies == "purge":
        purge_person(runner.registry, "Friend 1")
    else:
        runner.run(dump())

    assert not left.exists()


def test_nothing_is_purged_while_a_retraining_might_make_one_more(runner):
    with (
        locked(runner.root / "lock", wait=False),
        pytest.raises(TrainingError, match="training or retraining is running"),
    ):
        purge_person(runner.registry, "Friend 1")


def test_nobody_of_that_name_is_one_line(runner):
    with pytest.raises(ArtifactError, match="nobody is called 'Zoe'"):
        purge_person(runner.registry, "Zoe")


def test_the_commands_list_what_is_left_and_delete_it(runner):
    runner.run(chat(*FRESH), dump(decisions=[decision(1, "optout")]))
    terminal, models = CliRunner(), ["--models-dir", str(runner.root)]

    listed = terminal.invoke(app, ["models", "list", *models]).stdout
    promoted = terminal.invoke(app, ["models", "promote", "2", *models]).stdout
    terminal.invoke(app, ["models", "promote", "3", *models])
    removed = terminal.invoke(app, ["models", "remove", "1", *models]).stdout
    purged = terminal.invoke(app, ["models", "purge", "--person", "Friend 1", *models]).stdout
    again = terminal.invoke(app, ["models", "purge", "--person", "Friend 1", *models]).stdout

    marks = [line.split()[0] for line in listed.splitlines() if "tiny" in line or "flan" in line]
    assert marks == ["!", "!", "*"]
    assert "understudy models purge --person 'Friend 1'" in " ".join(listed.split())
    assert "trained on messages of Friend 1, who withdrew" in " ".join(promoted.split())
    assert removed.startswith("0001-")
    assert purged.startswith("0002-")
    assert again == "No version was trained on messages of Friend 1.\n"
    assert [name[:4] for name in runner.registry.names] == ["0003"]


def test_with_a_refused_export_the_erasure_of_the_dump_is_explained(runner):
    with pytest.raises(ExportError):
        runner.run(chat(*OLD, name="Work", id=8), dump(decisions=[decision(1, "optout", 9)]))

    told = " ".join(runner.shown.getvalue().split())
    assert "erased 2 datasets and the checkpoints: Friend 1 sent /optout to the bot on 2024" in told
    assert "the export was refused; decisions that people sent to the bot still apply" in told


def test_no_erasure_is_reported_if_nothing_was_erased(runner):
    runner.run(dump())

    assert "erased" not in runner.shown.getvalue()


@pytest.mark.parametrize(
    ("notes", "why"),
    [
        (
            {"decisions": [decision(1, "optout", 9)]},
            "Friend 1 sent /optout to the bot on 2024-03-01",
        ),
        ({"forgotten": [SECRET["id"]]}, "it contained messages that must be forgotten"),
    ],
    ids=["withdrawn", "forgotten"],
)
def test_an_erased_dataset_is_reported_with_date_and_reason(runner, notes, why):
    runner.run(dump(**notes))
    artifact = runner.registry.open("2")
    said = rf"the dataset of {artifact.path.name} was erased on 20\d\d-\d\d-\d\d: {why}"

    assert re.fullmatch(said, explain_missing_dataset(artifact))
    with pytest.raises(DatasetError, match=f"{said}; pass a copy of it with --data"):
        load_evaluation_dataset(artifact, None)


def test_a_moved_dataset_is_not_reported_as_erased(runner):
    artifact = runner.registry.open("2")
    shutil.rmtree(find_dataset(artifact))

    assert explain_missing_dataset(artifact).startswith(
        f"the dataset of {artifact.path.name} is missing"
    )
