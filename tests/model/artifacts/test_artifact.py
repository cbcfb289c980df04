import json
import math
import stat
from dataclasses import asdict
from datetime import timedelta

import pytest

from model.artifacts import artifact
from model.artifacts.artifact import (
    Decoding,
    compute_content_hash,
    load_artifact,
    save_card,
    save_roster,
)
from model.chat.conversation import Window, window_from_json, window_to_json
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import ArtifactError
from tests.model.fake_artifacts import card, make


def edit(folder, file="model.json", **changes):
    path = folder / file
    value = {**json.loads(path.read_text("utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not ...}), "utf-8")


def test_an_artifact_is_read_back_as_it_was_saved(tmp_path):
    told = {
        "window": Window(size=7, gap=timedelta(minutes=90.5), short=3, fill=4),
        "decoding": Decoding(temperature=1.2, top_k=0, candidates=8),
        "public": True,
        "scores": {"nats": {"João": 0.83, "李雷": 0.9}},
        "provenance": {"seed": 1, "hyperparameters": {"epochs": 4.0}},
    }

    loaded = load_artifact(make(tmp_path / "a", **told))

    assert loaded.card == card(**told)
    assert loaded.path == tmp_path / "a"
    assert (loaded.engine / "model.bin").is_file()
    assert loaded.tokenizer.is_file()
    assert loaded.weights == tmp_path / "a" / "weights"


def test_the_card_is_readable_text_and_private_to_its_owner(tmp_path):
    path = make(tmp_path / "a") / "model.json"

    text = path.read_text("utf-8")

    roster = path.with_name("roster.json")
    assert "João" in text
    assert "João Silva" not in text
    assert "João Silva" in roster.read_text("utf-8")
    assert stat.S_IMODE(roster.stat().st_mode) == 0o600
    assert '"gap_minutes": 120.0' in text
    assert "_by_id" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_artifact_with_another_prompt_is_refused_and_both_prompts_are_named(tmp_path):
    folder = make(tmp_path / "a", prompt="0123456789ab")

    with pytest.raises(ArtifactError, match="another prompt") as caught:
        load_artifact(folder)

    assert "0123456789ab" in str(caught.value)
    assert card().prompt in str(caught.value)


def test_a_changed_prompt_refuses_earlier_artifacts(tmp_path, monkeypatch):
    folder = make(tmp_path / "a")

    monkeypatch.setattr(artifact, "fingerprint", lambda: "ffffffffffff")

    with pytest.raises(ArtifactError, match="train again"):
        load_artifact(folder)


@pytest.mark.parametrize("lost", ["tokenizer.json", "engine/model.bin", "roster.json"])
def test_an_incomplete_artifact_is_refused(tmp_path, lost):
    folder = make(tmp_path / "a")
    (folder / lost).unlink()

    with pytest.raises(ArtifactError, match="is incomplete"):
        load_artifact(folder)


@pytest.mark.parametrize("place", ["none", "a/tokenizer.json"])
def test_a_missing_artifact_is_reported_with_the_command_to_make_one(tmp_path, place):
    make(tmp_path / "a")

    with pytest.raises(ArtifactError) as caught:
        load_artifact(tmp_path / place)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        *(
            ("model.json", text, r"model\.json")
            for text in ("", "{", "\x00", "[1]", "3", '{"format": 1}', '{"format": 2}')
        ),
        *(("roster.json", text, r"roster\.json cannot be read") for text in ("", "[", "\x00")),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, file, text, says):
    folder = make(tmp_path / "a")
    (folder / file).write_text(text)

    with pytest.raises(ArtifactError, match=says) as caught:
        load_artifact(folder)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"roster": {"people": []}},
        {"scores": {"nats_per_character": "x"}},
        {"scores": {"nats_per_character": {"voices": [1], "whole": None}}},
        {"provenance": {"dataset": "x"}},
        {"chats": [{"chat_id": None, "title": None}]},
        {"max_prompt_tokens": -5},
        {"decoding": {"candidates": 10**12}},
        {"decoding": {"max_new_tokens": 1.5}},
        {"learned": ...},
        {"learned": [7]},
        {"learned": None},
        {"prompt": ...},
        {"window": {"size": 0, "gap_minutes": 1, "short": 2, "fill": 5}},
        {"window": {"size": 10}},
        {"window": None},
        {"chats": [{"id": 1}]},
        {"chats": 5},
        {"decoding": {"temperature": -1}},
        {"decoding": {"heat": 1}},
        {"base": ...},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_card_with_impossible_values_is_refused_in_one_line(tmp_path, changes):
    folder = make(tmp_path / "a")
    edit(folder, **changes)

    with pytest.raises(ArtifactError) as caught:
        load_artifact(folder)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"people": [{"name": "a:b", "ids": [1]}]},
        {"people": [{"name": "a", "ids": [1], "quiet": "yes"}]},
        {"people": 3},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_damaged_roster_is_refused_in_one_line(tmp_path, changes):
    folder = make(tmp_path / "a")
    edit(folder, "roster.json", **changes)

    with pytest.raises(ArtifactError, match=r"roster\.json is damaged") as caught:
        load_artifact(folder)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [("temperature", 0), ("temperature", 5.1), ("top_k", -1), ("top_p", 0), ("top_p", 1.1),
     ("repetition_penalty", 0.9), ("max_new_tokens", 0), ("candidates", 0),
     ("voice_weight", -0.1), ("context_weight", -1), ("length_weight", -1), ("length_power", 2),
     ("candidates", 65), ("max_new_tokens", 1025), ("voice_weight", math.inf),
     ("context_weight", math.nan), ("length_weight", 101), ("repetition_penalty", 11)],
)  # fmt: skip
def test_decoding_out_of_range_is_refused_by_its_options_name(option, value):
    with pytest.raises(ValueError, match=f"{option.replace('_', '-')}: must be a .*, not {value}"):
        Decoding(**{option: value})


@pytest.mark.parametrize(("option", "value"), [("candidates", 1000), ("temperature", math.nan)])
def test_a_card_with_decoding_out_of_range_is_refused_with_the_setting_s_name(
    tmp_path, option, value
):
    folder = make(tmp_path / "a")
    edit(folder, decoding={**asdict(Decoding()), option: value})

    with pytest.raises(
        ArtifactError, match=rf"cannot be used \({option}: must be a .*, not {value}"
    ):
        load_artifact(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 1}, "is not in format 2, which this version needs: train again"),
        *(
            ({"decoding": {**asdict(Decoding()), "candidates": value}}, r"model\.json is damaged")
            for value in ("8", True, None, [8])
        ),
    ],
)
def test_a_card_of_another_format_or_type_is_refused(tmp_path, changes, says):
    folder = make(tmp_path / "a")
    edit(folder, **changes)

    with pytest.raises(ArtifactError, match=says):
        load_artifact(folder)


def test_a_window_is_restored_from_json():
    window = Window(size=3, gap=timedelta(minutes=45), short=1, fill=0)

    assert window_from_json(json.loads(json.dumps(window_to_json(window)))) == window


def test_the_hash_covers_names_and_contents(tmp_path):
    same = [make(tmp_path / name) for name in "ab"]
    other = make(tmp_path / "c", words="other weights")

    assert (
        compute_content_hash(same[0])
        == compute_content_hash(same[1])
        != compute_content_hash(other)
    )

    (same[1] / "tokenizer.json").rename(same[1] / "tokens.json")

    assert compute_content_hash(same[0]) != compute_content_hash(same[1])


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("roster.json", False),
        (".roster.json.x1y2", False),  # left by a killed write
        ("scorecard.json", False),
        ("engine/roster.json", True),
    ],
)
def test_the_hash_ignores_files_that_may_change(tmp_path, file, counts):
    folder = make(tmp_path / "a")
    before = compute_content_hash(folder)

    (folder / file).write_text("{}")

    assert (compute_content_hash(folder) != before) is counts


def test_the_learned_voices_stay_those_of_the_training(tmp_path):
    folder = make(tmp_path / "a")

    save_roster(Roster((Person("Zé", (9,)),)), folder)

    assert load_artifact(folder).card.learned == ("João", "李雷")
    assert load_artifact(folder).card.roster.people == (Person("Zé", (9,)),)


def test_a_card_is_replaced_atomically(tmp_path):
    folder = make(tmp_path / "a")

    save_card(card(base="other"), folder)

    files = sorted(path.name for path in folder.iterdir())
    assert load_artifact(folder).card.base == "other"
    assert files == ["engine", "model.json", "roster.json", "tokenizer.json"]
