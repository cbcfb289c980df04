"""`/model`, `/rollback` and messages about new versions."""

import json
from dataclasses import replace

import pytest

from bot.texts import EN
from model.artifacts.artifact import Artifact
from model.artifacts.database import write_database

ADMIN = 11


@pytest.fixture
def later(stage, card):
    """A version after the stage's first one, with a receipt that compares both."""
    folder = stage.folder / "versions" / "0002-abcdef02"
    folder.mkdir(parents=True)
    told = {
        "through": "2026-03-03T20:00:00+00:00",
        "compared_with": "0001-abcdef01",
        "voices": [
            {"name": "João", "current": 0.81, "new": 0.86},
            {"name": "Ana", "current": None, "new": 0.5},
        ],
    }
    _write_receipt(stage, folder.name, told)
    return Artifact(folder, replace(card, base="another/base"))


def _write_receipt(stage, version, told):
    with write_database(stage.folder) as database:
        database.execute("REPLACE INTO receipts VALUES (?, ?)", (version, json.dumps(told)))


async def test_admins_get_the_new_version_and_its_scores(stage, hugo, later):
    stage.telegram.private(hugo)

    async with stage.running(admins=frozenset({ADMIN})):
        stage.models.artifact = later
        call = await stage.telegram.wait_for("sendMessage")

    assert call.params["chat_id"] == ADMIN
    assert call.params["text"] == (
        "I now use version 0002-abcdef02, trained on messages up to 2026-03-03.\n"
        "How often I recognise each friend's real messages as theirs, before → now (higher is "
        "better; guessing gives 0.50):\n"
        "João 0.81 → 0.86"
    )


async def test_each_admin_gets_the_new_version_in_their_language(stage, hugo, joao, later):
    sender = hugo.json() | {"language_code": "pt"}
    chats = [stage.telegram.private(user) for user in (hugo, joao)]
    async with stage.running(admins=frozenset({hugo.id, joao.id})):
        await stage.answer(chats[0], hugo, "/model", **{"from": sender})
        since = len(stage.telegram.calls)
        stage.models.artifact = later
        await stage.telegram.wait_for("sendMessage", chat_id=joao.id)
        await stage.telegram.wait_for("sendMessage", chat_id=hugo.id, since=since)

    [told] = [call.params["text"] for call in stage.telegram.sent("sendMessage", chat_id=joao.id)]
    assert told.startswith("I now use version 0002")
    assert (
        stage.telegram.sent("sendMessage", chat_id=hugo.id)[-1]
        .params["text"]
        .startswith("Agora uso a versão 0002")
    )


async def test_the_scores_are_explained_in_portuguese_too(stage, group, hugo, later):
    sender = hugo.json() | {"language_code": "pt-br"}
    async with stage.running(admins=frozenset({ADMIN})):
        stage.models.earlier = later
        answer = await stage.answer(group, hugo, "/rollback", **{"from": sender})

    assert "reconheço as mensagens reais de cada pessoa" in answer["text"]
    assert "ao acaso seria 0.50" in answer["text"]


async def test_scores_from_other_conversations_are_not_compared(stage, hugo, later):
    voices = [{"name": "João", "current": 0.81, "new": 0.86}]
    told = {"compared_with": "0007-00000000", "voices": voices}
    _write_receipt(stage, later.path.name, told)
    stage.telegram.private(hugo)

    async with stage.running(admins=frozenset({ADMIN})):
        stage.models.artifact = later
        call = await stage.telegram.wait_for("sendMessage")

    assert call.params["text"] == "I now use version 0002-abcdef02."


@pytest.mark.parametrize("voices", [None, 3, [{}], [{"name": "João", "current": "x", "new": 1}]])
async def test_an_unknown_form_of_receipt_is_ignored(stage, hugo, later, voices):
    _write_receipt(stage, later.path.name, {"compared_with": "0001-abcdef01", "voices": voices})
    stage.telegram.private(hugo)

    async with stage.running(admins=frozenset({ADMIN})):
        stage.models.artifact = later
        call = await stage.telegram.wait_for("sendMessage")

    assert call.params["text"] == "I now use version 0002-abcdef02."


async def test_model_shows_the_current_version(stage, group, hugo):
    async with stage.running(admins=frozenset({ADMIN})):
        answer = await stage.answer(group, hugo, "/model")

    assert "version 0001-abcdef01, trained from google/flan-t5-small" in answer["text"]


async def test_rollback_goes_back_to_the_previous_version(stage, group, hugo, later):
    async with stage.running(admins=frozenset({ADMIN})):
        stage.models.earlier = later
        answer = await stage.answer(group, hugo, "/rollback")

    assert "I now use version 0002-abcdef02" in answer["text"]


@pytest.mark.parametrize(("is_home", "told"), [(True, True), (False, False)])
async def test_rollback_names_people_only_in_the_learned_chat(
    stage, group, hugo, later, is_home, told
):
    elsewhere = stage.telegram.chat(-1009999, title="Other people")
    async with stage.running(admins=frozenset({ADMIN})):
        await stage.enter(elsewhere, hugo)
        await stage.answer(elsewhere, hugo, "/allow")
        stage.models.earlier = later
        chat = group if is_home else elsewhere
        since = len(stage.telegram.calls)
        await stage.telegram.say(chat, hugo, "/rollback")
        # Admins may be notified of the new version in private at the same time.
        call = await stage.telegram.wait_for("sendMessage", since=since, chat_id=chat.id)

    assert "I now use version 0002-abcdef02" in call.params["text"]
    assert ("João" in call.params["text"]) is told


async def test_rollback_without_an_earlier_version_says_so(stage, group, hugo):
    async with stage.running(admins=frozenset({ADMIN})):
        answer = await stage.answer(group, hugo, "/rollback")

    assert answer["text"].startswith("I can't go back")


@pytest.mark.parametrize("command", ["/model", "/rollback"])
async def test_others_cannot_see_or_change_versions(stage, group, joao, command):
    async with stage.running(admins=frozenset({ADMIN})):
        answer = await stage.answer(group, joao, command)

    assert answer["text"] == EN.admins_only
