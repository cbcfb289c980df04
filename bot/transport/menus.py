"""Set the command menus that Telegram shows."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from telegram import (
    BotCommandScope,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BotCommandScopeDefault,
)
from telegram.error import BadRequest
from telegram.ext import ExtBot

from bot.texts import EN, LANGUAGES
from bot.texts.wording import Wording


async def set_menus(bot: ExtBot[Any], admins: Iterable[int]) -> None:
    """Set Telegram's command menus, in English if there is no text in a user's language.

    Raises:
        TelegramError: Telegram does not accept them now.
    """
    for code, texts in {"": EN, **LANGUAGES}.items():
        for scope, commands in _menus(texts):
            await bot.set_my_commands(commands, scope=scope, language_code=code or None)
        for admin in admins:
            with suppress(BadRequest):  # an admin who has not yet written to the bot has no chat
                await bot.set_my_commands(
                    admin_commands(texts),
                    scope=BotCommandScopeChat(admin),
                    language_code=code or None,
                )


def admin_commands(texts: Wording) -> tuple[tuple[str, str], ...]:
    """Return the menu of an admin's private chat with the bot: all commands, each once."""
    return _each_once(
        texts.commands_in_groups,
        texts.commands_in_private,
        texts.commands_for_admins,
        texts.commands_for_all,
    )


def _menus(texts: Wording) -> list[tuple[BotCommandScope, tuple[tuple[str, str], ...]]]:
    in_groups = _each_once(texts.commands_in_groups, texts.commands_for_all)
    in_private = _each_once(texts.commands_in_private, texts.commands_for_all)
    return [
        (BotCommandScopeDefault(), texts.commands_for_all),
        (BotCommandScopeAllGroupChats(), in_groups),
        (BotCommandScopeAllPrivateChats(), in_private),
    ]


def _each_once(*menus: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple({name: (name, says) for menu in menus for name, says in menu}.values())
