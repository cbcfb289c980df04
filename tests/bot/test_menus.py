"""The commands in Telegram's menu, as the running bot fills them."""

import json

from bot.menus import admin_commands
from bot.texts import EN, LANGUAGES

JOAO = 13


def menu(telegram, language="", **scope):
    """Return what a scope's menu holds in a language."""
    key = json.dumps([scope, language], sort_keys=True)
    return [(one["command"], one["description"]) for one in telegram.world.commands[key]]


async def test_each_scope_has_its_menu_in_each_language(stage, joao):
    stage.telegram.private(joao)
    async with stage.running(admins=str(JOAO)):
        pass

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

    assert menu(stage.telegram, "pt", type="all_group_chats")


async def test_a_bot_without_menus_works(stage, group, zoe, caplog):
    stage.telegram.fail_next("setMyCommands", 500, "Internal Server Error", times=99)
    async with stage.running():
        answer = await stage.answer(group, zoe, "/as João")

    assert answer["text"].startswith("🎭 João\n")
    assert "the menus of commands could not be filled" in caplog.text
