"""The commands in Telegram's menu, as the running bot fills them."""

import asyncio
import json

from bot.background import admin_commands
from bot.texts import EN, LANGUAGES
from tests.bot.conftest import until

JOAO = 13


def menu(telegram, language="", **scope):
    """Return what a scope's menu holds in a language."""
    key = json.dumps([scope, language], sort_keys=True)
    return [(one["command"], one["description"]) for one in telegram.world.commands[key]]


async def test_each_scope_has_its_menu_in_each_language(stage, joao):
    stage.telegram.private(joao)
    async with stage.running(admins=str(JOAO)):
        await until(filled)

    for code, texts in {"": EN, **LANGUAGES}.items():
        groups = menu(stage.telegram, code, type="all_group_chats")
        private = menu(stage.telegram, code, type="all_private_chats")
        admins = menu(stage.telegram, code, type="chat", chat_id=JOAO)
        assert menu(stage.telegram, code, type="default") == list(texts.commands_for_all)
        assert groups == [*texts.commands_in_groups, *texts.commands_for_all]
        assert private == [*texts.commands_in_private, *texts.commands_for_all]
        assert admins == list(admin_commands(texts))


async def test_each_command_of_an_admins_menu_stands_there_once(stage):
    names = [name for name, _ in admin_commands(EN)]

    assert len(names) == len(set(names))
    assert set(names) == EN.command_names


async def test_an_admin_who_never_wrote_costs_nobody_a_menu(stage, group, zoe):
    async with stage.running(admins="500"):
        await stage.answer(group, zoe, "/help")
        await until(filled)

    assert menu(stage.telegram, "pt", type="all_group_chats")


async def test_menus_that_telegram_rejects_are_sent_again(stage, group, zoe, caplog, monkeypatch):
    monkeypatch.setattr("bot.services.supervisor.FIRST_WAIT", 0.05)
    stage.telegram.fail_next("setMyCommands", 500, "Internal Server Error", times=2)
    async with stage.running():
        answer = await stage.answer(group, zoe, "/as João")
        await until(filled)

    assert answer["text"].startswith("🎭 João\n")
    assert "the job menus failed (2 in a row)" in caplog.text
    assert menu(stage.telegram, "pt", type="all_group_chats")


def filled():
    """Return whether all menus were taken."""
    names = {task.get_name() for task in asyncio.all_tasks()}
    return "job menus" not in names
