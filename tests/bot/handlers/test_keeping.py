"""Whose messages are kept, through the real bot over HTTP: only of chats that it speaks in."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest


def kept(stage):
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database:
        return [text for (text,) in database.execute("SELECT text FROM messages")]


@pytest.fixture
def elsewhere(stage):
    return stage.telegram.chat(-1009999, title="Other people")


async def test_another_groups_messages_and_edits_are_not_kept(stage, group, elsewhere, zoe, hugo):
    async with stage.running():
        said = await stage.telegram.say(elsewhere, zoe, "our secret")
        await stage.telegram.edit(said, "our other secret")
        await stage.telegram.say(stage.telegram.private(zoe), zoe, "psst")
        await stage.telegram.say(group, hugo, "hello")
        await stage.answer(elsewhere, zoe, "/as João")

    assert kept(stage) == ["hello"]


async def test_an_admins_private_chat_is_kept(stage, joao):
    private = stage.telegram.private(joao)
    async with stage.running(admins="13"):
        await stage.telegram.say(private, joao, "psst")
        await stage.answer(private, joao, "/help")

    assert kept(stage) == ["psst", "/help"]


async def test_all_chats_are_kept_for_a_public_model(stage, card, elsewhere, zoe):
    async with stage.running(replace(card, public=True)):
        await stage.telegram.say(elsewhere, zoe, "hi all")
        await stage.answer(elsewhere, zoe, "/help")

    assert kept(stage) == ["hi all", "/help"]
