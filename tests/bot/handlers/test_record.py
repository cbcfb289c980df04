"""Messages are stored only from chats in which the bot speaks, through the real bot over HTTP."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from tests.bot.conftest import until


def kept(stage):
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database:
        return [text for (text,) in database.execute("SELECT text FROM messages")]


def everything(stage):
    """Return all tables of the database as text."""
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database:
        return "\n".join(database.iterdump())


@pytest.fixture
def elsewhere(stage):
    return stage.telegram.chat(-1009999, title="Other people")


async def test_another_groups_messages_and_edits_are_not_stored(stage, group, elsewhere, zoe, hugo):
    async with stage.running():
        said = await stage.telegram.say(elsewhere, zoe, "our secret")
        await stage.telegram.edit(said, "our other secret")
        await stage.telegram.say(stage.telegram.private(zoe), zoe, "psst")
        await stage.telegram.say(group, hugo, "hello")
        await stage.answer(elsewhere, zoe, "/as João")

    assert kept(stage) == ["hello"]


async def test_an_admins_private_conversation_is_stored(stage, joao):
    private = stage.telegram.private(joao)
    async with stage.running(admins="13"):
        await stage.telegram.say(private, joao, "psst")
        await stage.answer(private, joao, "/as Hugo Silva, well?")

        assert stage.speaker.context == ("João: psst", "João: well?")

    assert kept(stage) == ["psst", "/as Hugo Silva, well?", "🎭 Hugo Silva\nHugo Silva number 1"]


async def test_nothing_else_from_private_chats_is_stored(stage, joao, zoe):
    admins, strangers = stage.telegram.private(joao), stage.telegram.private(zoe)
    export = stage.telegram.upload("export.json", b"[]")
    async with stage.running(admins="13"):
        for command in ("start", "status", "help", "privacy", "voices", "model"):
            await stage.answer(admins, joao, f"/{command} canary")
        await stage.telegram.say(admins, joao, "/nonsense canary")
        await stage.answer(admins, joao, None, document=export, caption="canary")
        await stage.telegram.say(admins, joao, None, sticker=stage.telegram.sticker("🐤"))
        said = await stage.telegram.say(strangers, zoe, "canary")
        await stage.telegram.edit(said, "another canary")
        await stage.answer(strangers, zoe, "/start canary")
        await until(lambda: "'waiting'" not in everything(stage))

    assert kept(stage) == ["🐤"]
    tables = everything(stage)
    assert "canary" not in tables
    assert "sticker-1" not in tables


async def test_a_chat_that_an_admin_added_a_public_model_to_is_stored(
    stage, card, elsewhere, joao, zoe
):
    async with stage.running(replace(card, public=True), admins="13"):
        await stage.enter(elsewhere, joao)
        await stage.telegram.say(elsewhere, zoe, "hi all")
        await stage.answer(elsewhere, zoe, "/help")

    assert kept(stage) == ["hi all", "/help"]
