"""Which version speaks: what admins see, and how they go back, with a real registry."""

import json
from dataclasses import replace

import pytest

from bot.texts import EN
from model.artifact import Artifact

ADMIN = 11


@pytest.fixture
def later(stage, card):
    """A version that serves after the stage's first one, as its files would say."""
    folder = stage.folder / "versions" / "0002-abcdef02"
    folder.mkdir(parents=True)
    receipts = stage.folder / "receipts" / folder.name
    receipts.mkdir(parents=True)
    (receipts / "receipt.json").write_text('{"through": "2026-03-03T20:00:00+00:00"}')
    _score(folder, João=0.86)
    return Artifact(folder, replace(card, base="another/base"))


def _score(folder, **shares):
    voices = {name: {"value": share} for name, share in shares.items()}
    (folder / "scorecard.json").write_text(json.dumps({"right_voice": {"voices": voices}}))


async def test_admins_are_told_of_a_new_version_and_of_what_it_does_better(stage, hugo, later):
    first = stage.folder / "0001-abcdef01"
    first.mkdir()
    _score(first, João=0.81)
    stage.telegram.private(hugo)

    async with stage.running(admins=frozenset({ADMIN})):
        stage.models.artifact = later
        call = await stage.telegram.wait_for("sendMessage")

    assert call.params["chat_id"] == ADMIN
    assert call.params["text"] == (
        "I speak with version 0002-abcdef02 now, trained on messages up to 2026-03-03.\n"
        "João 0.81 → 0.86"
    )


async def test_model_says_which_version_speaks(stage, group, hugo):
    async with stage.running(admins=frozenset({ADMIN})):
        answer = await stage.answer(group, hugo, "/model")

    assert "version 0001-abcdef01 of google/flan-t5-small" in answer["text"]


async def test_rollback_lets_the_version_before_speak(stage, group, hugo, later):
    async with stage.running(admins=frozenset({ADMIN})):
        stage.models.earlier = later
        answer = await stage.answer(group, hugo, "/rollback")

    assert "I speak with version 0002-abcdef02 now" in answer["text"]


@pytest.mark.parametrize(("is_home", "told"), [(True, True), (False, False)])
async def test_rollback_names_people_at_home_alone(stage, group, hugo, later, is_home, told):
    (stage.folder / "0001-abcdef01").mkdir()
    _score(stage.folder / "0001-abcdef01", João=0.81)
    elsewhere = stage.telegram.chat(-1009999, title="Other people")
    async with stage.running(admins=frozenset({ADMIN})):
        await stage.enter(elsewhere, hugo)
        await stage.answer(elsewhere, hugo, "/allow")
        stage.models.earlier = later
        answer = await stage.answer(group if is_home else elsewhere, hugo, "/rollback")

    assert "I speak with version 0002-abcdef02 now" in answer["text"]
    assert ("João" in answer["text"]) is told


async def test_where_nothing_served_before_rollback_says_so(stage, group, hugo):
    async with stage.running(admins=frozenset({ADMIN})):
        answer = await stage.answer(group, hugo, "/rollback")

    assert answer["text"].startswith("There is no going back")


@pytest.mark.parametrize("command", ["/model", "/rollback"])
async def test_others_learn_nothing_of_versions(stage, group, joao, command):
    async with stage.running(admins=frozenset({ADMIN})):
        answer = await stage.answer(group, joao, command)

    assert answer["text"] == EN.for_admins
