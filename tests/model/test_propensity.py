"""The probability that a friend answers, who joins at each level, and the file of weights."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from model.artifacts import archive
from model.artifacts.artifact import load_artifact
from model.artifacts.registry import Registry
from model.chat.conversation import Message
from model.chat.eligibility import add_voice_header
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import ArtifactError
from model.joining import (
    FEATURES,
    FILE_NAME,
    LEVELS,
    LineFacts,
    Propensity,
    VoiceWeights,
    read_propensity,
    write_propensity,
)
from tests.model.fake_artifacts import make

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
GAP = timedelta(hours=2)
BOT, OTHER_BOT = 9, 8
ROSTER = Roster(
    (
        Person("Ana", (1,), imitate="yes"),
        Person("Rui", (2,), imitate="yes"),
        Person("Eva", (3,), learn="no"),
        Person("Zé", (4,), imitate="no"),
    ),
    bots=frozenset({OTHER_BOT}),
    understudies=frozenset({BOT}),
)


def weights(bias=0.0, bar=0.0, after=None, **features):
    bars = tuple(bar for _ in LEVELS)
    return VoiceWeights(
        bias, tuple(features.get(name, 0.0) for name in FEATURES), after or {}, bars
    )


PROPENSITY_OF_TWO = Propensity(
    {"Ana": weights(-1.5, after={"Rui": 2.5, "": -1.25}, question=0.5), "Rui": weights(0.125)}
)


def said(by, at=0, **more):
    return LineFacts(NOON + timedelta(seconds=at), by, **more)


def message(number, who, text, at=0, **more):
    return Message(-5, number, who, "Name", text, NOON + timedelta(seconds=at), **more)


def chances(*messages):
    return PROPENSITY_OF_TWO.probabilities(messages, ROSTER, GAP)


def test_a_probability_is_the_logistic_of_the_weighted_features():
    after_rui = PROPENSITY_OF_TWO.probability([said("Rui", question=True)], "Ana")
    after_stranger = PROPENSITY_OF_TWO.probability([said(None)], "Ana")

    assert after_rui == pytest.approx(0.8176, abs=1e-4)  # of -1.5 + 2.5 + 0.5
    assert after_stranger == pytest.approx(0.0601, abs=1e-4)  # of -1.5 - 1.25


def test_large_weights_do_not_overflow():
    sure, never = Propensity({"Ana": weights(1_000)}), Propensity({"Ana": weights(-1_000)})

    assert sure.probability([said("Rui")], "Ana") == pytest.approx(1)
    assert never.probability([said("Rui")], "Ana") == pytest.approx(0)


@pytest.mark.parametrize(
    "newest",
    [said("Ana"), said(None, ours=True), said("Rui", repeats=True)],
    ids=["her own line", "the bot's line", "a repeat"],
)
def test_some_lines_may_not_be_answered(newest):
    assert PROPENSITY_OF_TWO.probability([said("Rui"), newest], "Ana") == 0


def test_a_voice_without_weights_never_answers():
    assert PROPENSITY_OF_TWO.probability([said("Rui")], "Zoe") == 0


def test_each_voice_except_the_author_has_a_probability():
    found = chances(message(1, 1, "hey"), message(2, 2, "so?", 5))

    assert list(found) == ["Ana", "Rui"]
    assert found["Ana"] > 0.8
    assert found["Rui"] == 0


@pytest.mark.parametrize(
    "newest",
    [
        message(2, 2, "/help", 5),
        message(2, 2, "look", 5, is_forward=True),
        message(2, OTHER_BOT, "beep", 5),
        message(2, 6, "beep", 5, is_from_bot=True),
        message(2, BOT, "I answer in their voices", 5),
        message(2, 3, "so?", 5),
    ],
    ids=["a command", "a forward", "a bot on the roster", "another bot", "the bot's own help",
         "somebody who may not be learned from"],
)  # fmt: skip
def test_other_messages_give_no_probabilities(newest):
    assert chances(message(1, 2, "so?"), newest) == {}


def test_our_bots_lines_give_zero_probabilities():
    found = chances(message(1, 2, "so?"), message(2, BOT, add_voice_header("Rui", "so?"), 5))

    assert set(found.values()) == {0.0}


def test_an_empty_chat_gives_no_probabilities():
    assert chances() == {}


def falling(*bars):
    """Return thresholds that fall from the first to the last of these, in equal steps."""
    top, low = bars
    steps = len(LEVELS) - 1
    return tuple(top + (low - top) * n / steps for n in range(len(LEVELS)))


LEVELLED = Propensity(
    {
        "Ana": VoiceWeights(0.0, (0.0,) * len(FEATURES), {}, falling(0.95, 0.0)),
        "Rui": VoiceWeights(0.0, (0.0,) * len(FEATURES), {}, falling(0.95, 0.0)),
    }
)


@pytest.mark.parametrize(
    ("likely", "chatty", "joins"),
    [
        ({"Ana": 0.96}, 5, "Ana"),
        ({"Ana": 0.90}, 5, None),
        ({"Ana": 0.90}, 15, "Ana"),
        ({"Ana": 0.51}, 50, "Ana"),
        ({"Ana": 0.49}, 50, None),
        ({"Ana": 0.01}, 100, "Ana"),
        ({"Ana": 0.0}, 100, None),
        ({"Ana": 0.6, "Rui": 0.8}, 100, "Rui"),
        ({"Zoe": 0.99}, 100, None),
        ({}, 100, None),
    ],
)
def test_the_likeliest_voice_above_its_threshold_joins(likely, chatty, joins):
    assert LEVELLED.choose_joiner(likely, chatty, random.Random(0)) == joins


def test_at_level_zero_nobody_joins():
    chance = random.Random(0)

    joined = {LEVELLED.choose_joiner({"Ana": 1.0}, 0, chance) for _ in range(1_000)}

    assert joined == {None}


def test_between_two_levels_a_share_of_the_upper_one_joins():
    chance = random.Random(0)

    joined = [LEVELLED.choose_joiner({"Ana": 1.0}, 2, chance) for _ in range(5_000)]

    assert joined.count("Ana") / 5_000 == pytest.approx(2 / 5, abs=0.03)


@pytest.mark.parametrize("level", [-1, 101, float("nan")])
def test_an_invalid_level_is_refused(level):
    with pytest.raises(ValueError, match="must be from 0"):
        LEVELLED.choose_joiner({"Ana": 0.5}, level, random.Random(0))


def test_the_file_is_read_back_unchanged(tmp_path):
    write_propensity(LEVELLED, tmp_path)

    assert read_propensity(tmp_path) == LEVELLED
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_an_older_artifact_without_the_file_has_none(tmp_path):
    artifact = load_artifact(make(tmp_path / "old"))

    assert read_propensity(artifact.path) is None


def written(tmp_path, change):
    write_propensity(PROPENSITY_OF_TWO, tmp_path)
    path = tmp_path / FILE_NAME
    value = json.loads(path.read_text("utf-8"))
    change(value, value["voices"]["Ana"])
    path.write_text(json.dumps(value), "utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda file, ana: file.clear(),
        lambda file, ana: file.update(format=2),
        lambda file, ana: file.update(more=1),
        lambda file, ana: file.update(voices=[]),
        lambda file, ana: file["voices"].update(Rui=3),
        lambda file, ana: ana.pop("bias"),
        lambda file, ana: ana.update(bias="1"),
        lambda file, ana: ana.update(bias=True),
        lambda file, ana: ana.update(bias=float("nan")),
        lambda file, ana: ana.update(bias=float("inf")),
        lambda file, ana: ana.update(bias=10**400),
        lambda file, ana: ana.update(bias=[]),
        lambda file, ana: ana["features"].pop("question"),
        lambda file, ana: ana["features"].update(mood=1.0),
        lambda file, ana: ana.update(features=[0.0] * len(FEATURES)),
        lambda file, ana: ana["after"].update(Rui=None),
        lambda file, ana: ana.update(after=["Rui"]),
        lambda file, ana: ana["bars"].pop(),
        lambda file, ana: ana.update(bars=[n / 20 for n in range(20)]),
        lambda file, ana: ana.update(bars=None),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, change):
    written(tmp_path, change)

    with pytest.raises(
        ArtifactError, match=r"propensity.json is damaged .*: train again"
    ) as caught:
        read_propensity(tmp_path)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b"null"])
def test_another_kind_of_file_is_refused(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(ArtifactError, match="train again"):
        read_propensity(tmp_path)


def test_the_file_is_exported_with_its_model(tmp_path):
    folder = make(tmp_path / "0001-00000000")
    write_propensity(LEVELLED, folder)
    archive.write_bundle(load_artifact(folder), tmp_path / "model.zip")
    registry = Registry(tmp_path / "models")

    with archive.open_bundle(tmp_path / "model.zip") as packed:
        received = archive.import_artifact(
            registry, "it", lambda f: packed.unpack(f, lambda _: None)
        )
        name = received.name

    assert read_propensity(registry.open(name).path) == LEVELLED
