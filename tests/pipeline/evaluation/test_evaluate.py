"""A really trained model, judged: it must score high where a swapped one scores low."""

import json
import re
import shutil
from dataclasses import asdict, replace
from io import StringIO

import pytest
from click.testing import CliRunner
from rich.console import Console

from model.artifacts.artifact import compute_content_hash, load_artifact
from model.artifacts.registry import Registry
from model.errors import BaseError, DatasetError
from pipeline.cli.main import app
from pipeline.cli.tables import print_scorecard
from pipeline.dataset.storage import load_dataset
from pipeline.evaluation.evaluate import (
    FULL,
    QUICK,
    choose_fit_scorer,
    evaluate,
    has_unseen_judge,
    load_evaluation_dataset,
    write_scorecard,
)
from pipeline.evaluation.generation import Size
from pipeline.evaluation.scorecard import HEADLINE
from pipeline.terminal import SILENT, Progress
from pipeline.training.wheels import GEMMA, accept_terms
from tests.habits import HABITS
from tests.model.fake_artifacts import make

one_family = pytest.mark.parametrize("trained", ["decoder-only"], indirect=True)
SMALL = Size(replies=6, cold=6, scored=5, quick=True)


@pytest.fixture(scope="module")
def judged(trained, habits_dataset, tmp_path_factory, _few_draws):
    """A registry with the trained model, its scorecard, and the shares of progress on the way."""
    folder = tmp_path_factory.mktemp("judged") / "artifacts"
    own = Registry(shutil.copytree(trained.root, folder, symlinks=True))
    dataset = load_dataset(habits_dataset)
    version = own.open()
    progress, shares = Progress(Console(quiet=True)), []
    progress.share = shares.append
    card = evaluate(version, dataset, own.root / "bases", SMALL, 0, progress).card
    write_scorecard(card, version.path / "scorecard.json")
    return own, card, shares


def test_a_model_that_learned_its_voices_scores_high(judged):
    card = judged[1]
    bags = card["attribution"]["bags_of_5"]

    assert bags["real"] == 1.0
    assert bags["generated"] > 0.7
    assert card["attribution"]["bags_of_1"]["generated"] > 0.5
    assert card["passes"] > 1
    assert card["right_voice"]["absent"]["share"] > 0.7
    assert card["right_voice"]["no_context"]["share"] > 0.7
    assert card["personal_data"] == 0
    assert card["canaries"]["planted"] == 0


def test_the_headline_comes_first_with_its_intervals(judged):
    headline = judged[1]["headline"]

    assert list(judged[1]).index("headline") < list(judged[1]).index("attribution")
    assert list(headline) == list(HEADLINE)
    for name in ("attribution", "attribution_cold", "fit"):
        own = headline[name]
        assert list(own) == ["value", "low", "high"]
        assert 0 <= own["low"] <= own["high"]
    assert headline["attribution"]["value"] > 0.7
    assert (
        headline["bags"] == judged[1]["attribution"]["bags_of_a_voice"]["bags_of_10"]["generated"]
    )


def test_the_card_stands_beside_the_artifact_without_words_and_changes_no_hash(judged):
    registry, card, _ = judged
    path = registry.open().path

    written = (path / "scorecard.json").read_text("utf-8")

    assert json.loads(written) == json.loads(json.dumps(card))
    assert not any(habit in written for habit in HABITS.values())
    assert compute_content_hash(path)[:8] == path.name.split("-")[1]
    assert registry.promote("current") == path.name


@one_family
def test_judging_again_with_the_same_seed_gives_the_same_card(judged, habits_dataset):
    registry, card, _ = judged
    dataset = load_dataset(habits_dataset)

    again = evaluate(registry.open(), dataset, registry.root / "bases", SMALL, 0, SILENT).card

    assert again == card


@one_family
def test_without_fit_the_other_scores_are_the_same(judged, habits_dataset, monkeypatch):
    registry, card, _ = judged
    dataset = load_dataset(habits_dataset)
    size = replace(SMALL, with_fit=False)
    monkeypatch.setattr("pipeline.evaluation.evaluate.open_base", None)

    found = evaluate(registry.open(), dataset, registry.root / "bases", size, 0, SILENT).card

    assert "fit" not in found["headline"]
    assert found["auc_with_context"] == {}
    for key in ("attribution", "right_voice", "copied", "habits", "style", "personal_data"):
        assert found[key] == card[key]
    assert found["nats_per_char"]["tuned"] == card["nats_per_char"]["tuned"]


def test_whoever_waits_hears_how_much_is_done(judged):
    *_, shares = judged

    assert shares == sorted(shares)
    assert len(shares) > 7
    assert shares[-1] == 1
    assert shares.count(1) == 1


@one_family
def test_the_table_fits_80_columns_and_says_what_matters(judged):
    shown = StringIO()

    print_scorecard(judged[1], Console(file=shown, width=80, highlight=False, markup=False))

    text = shown.getvalue()
    assert all(len(line) <= 80 for line in text.splitlines())
    for words in ("names shuffled", "real replies", "Right voice", "Private data: in 0 of"):
        assert words in text


@one_family
def test_the_command_judges_the_current_model_on_its_own_dataset(judged):
    registry, *_ = judged

    result = CliRunner().invoke(
        app, ["evaluate", "--quick", "--replies", "2", "--models-dir", str(registry.root)]
    )

    assert result.exit_code == 0, result.output
    assert "scorecard.json" in result.output
    card = json.loads((registry.open().path / "scorecard.json").read_text("utf-8"))
    assert card["quick"]
    assert card["replies"]["generated"]["replies"] == 2 * len(HABITS)


@one_family
def test_a_quick_evaluation_does_not_replace_a_full_scorecard(judged):
    registry, card, _ = judged
    file = registry.open().path / "scorecard.json"
    full = json.dumps({**card, "quick": False})
    file.write_text(full, "utf-8")

    refused = evaluated(registry, "--quick")

    assert refused.exit_code == 2
    assert "full scorecard" in refused.output
    assert file.read_text("utf-8") == full


def evaluated(registry, *words):
    command = ["evaluate", "--replies", "1", "--models-dir", str(registry.root), *map(str, words)]
    return CliRunner().invoke(app, command)


@one_family
def test_other_settings_are_tried_on_validation_talk_and_leave_the_version_as_it_was(
    judged, habits_dataset, tmp_path
):
    registry, *_ = judged
    path = registry.open().path
    before = {file: file.read_bytes() for file in path.glob("*.json")}
    place = tmp_path / "tried.json"

    words = ("--split", "validation", "--set", "temperature=0.9", "--set", "candidates=2")
    words = (*words, "--out", place)
    result = evaluated(registry, *words)

    assert result.exit_code == 0, result.output
    assert "Split: validation" in result.output
    card = json.loads(place.read_text("utf-8"))
    own = registry.open().card.decoding
    assert card["decoding"] == asdict(replace(own, temperature=0.9, candidates=2))
    assert card["held_out"] == "validation"
    assert card["replies"]["real"]["replies"] == len(HABITS)
    assert {file: file.read_bytes() for file in path.glob("*.json")} == before


@one_family
def test_a_scorecard_says_how_its_version_speaks_and_on_which_talk(judged):
    registry, card, _ = judged

    assert card["decoding"] == asdict(registry.open().card.decoding)
    assert card["held_out"] == "test"


@one_family
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "validation"], "need --out FILE"),
        (["--set", "voice-weight=0"], "need --out FILE"),
        (["--out", "no-such-folder/tried.json"], "in an existing folder"),
        (["--out", "."], "in an existing folder"),
        (["--split", "train", "--out", "x.json"], "--split"),
    ],
    ids=["validation", "other settings", "no folder", "a folder", "training talk"],
)
def test_a_trial_that_has_no_place_is_wrong_usage_before_any_work(trained, words, said):
    result = evaluated(trained, *words)

    assert result.exit_code == 2
    assert said in " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())


@one_family
def test_another_dataset_than_the_trained_one_is_refused(judged, tmp_path, habits_dataset):
    artifact = judged[0].open()
    other = tmp_path / "other"
    shutil.copytree(habits_dataset, other)
    summary = other / "summary.json"
    text = summary.read_text("utf-8")
    summary.write_text(
        re.sub('"content_hash": "[0-9a-f]{4}', '"content_hash": "0000', text), "utf-8"
    )

    assert load_evaluation_dataset(artifact, None).folder == habits_dataset
    with pytest.raises(DatasetError, match="not the dataset that .* was trained on"):
        load_evaluation_dataset(artifact, str(other))
    with pytest.raises(DatasetError, match="pass another one with --data"):
        load_evaluation_dataset(artifact, str(tmp_path / "none"))


@one_family
def test_a_version_without_weights_is_refused_before_any_reply(trained, habits_dataset, tmp_path):
    artifact = trained.open()
    shutil.copytree(artifact.path, tmp_path / artifact.path.name)
    shutil.rmtree(tmp_path / artifact.path.name / "weights")
    imported = replace(artifact, path=tmp_path / artifact.path.name)

    with pytest.raises(BaseError, match="came without the weights that an evaluation needs"):
        evaluate(imported, load_dataset(habits_dataset), tmp_path / "bases", SMALL, 0, SILENT)


@pytest.mark.parametrize(
    ("provenance", "unseen"),
    [
        ({}, False),
        ({"hyperparameters": {"seed": 0}, "began_with": "smollm2"}, False),
        ({"hyperparameters": {"reserve_judge_sessions": True}, "began_with": "smollm2"}, True),
        ({"hyperparameters": {"reserve_judge_sessions": True}, "began_with": "0001-ab"}, False),
    ],
    ids=["nothing known", "all sessions", "reserved", "continued from a version"],
)
def test_the_judges_half_is_unseen_only_if_training_from_the_base_reserved_them(
    tmp_path, provenance, unseen
):
    path = make(tmp_path / "made", base="smollm2", provenance=provenance)

    assert has_unseen_judge(load_artifact(path)) is unseen


def test_fit_is_scored_by_another_base_if_one_is_at_hand(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.evaluation.evaluate.is_installed", lambda name: True)
    monkeypatch.setattr("pipeline.training.wheels._folder_of", lambda name, package: tmp_path)

    before = choose_fit_scorer("smollm2", tmp_path)
    accept_terms(GEMMA, tmp_path)

    assert (before, choose_fit_scorer("smollm2", tmp_path)) == ("smollm2", GEMMA)
    assert choose_fit_scorer(GEMMA, tmp_path) == "smollm2"
    assert choose_fit_scorer("google/flan-t5-small", tmp_path) == "smollm2"


def test_replies_scale_every_arm():
    doubled = FULL.with_replies(2 * FULL.replies)

    assert (doubled.cold, doubled.scored) == (2 * FULL.cold, 2 * FULL.scored)
    assert QUICK.with_replies(1).scored == 1
    assert QUICK.with_replies(1).quick


@pytest.mark.parametrize(
    ("minutes", "replies"), [(0, 10), (60, 10), (5, 10), (2, 4), (1, 3), (0.1, 3)]
)
def test_a_short_training_is_evaluated_on_fewer_replies(minutes, replies):
    assert QUICK.for_minutes(minutes).replies == replies
    assert QUICK.for_minutes(minutes).count_tokens(5) <= QUICK.count_tokens(5)
    assert FULL.for_minutes(minutes) == FULL


def test_every_line_that_the_tuned_model_says_is_checked_for_private_data(judged):
    card = judged[1]

    arms = ("generated", "cold")
    assert card["personal_data_lines"] == sum(card["replies"][arm]["lines"] for arm in arms)


def test_no_model_is_one_line(tmp_path):
    result = CliRunner().invoke(app, ["evaluate", "--models-dir", str(tmp_path)])

    assert result.exit_code == 1
    assert isinstance(result.exception, Exception)
    assert Registry(tmp_path).names == []
