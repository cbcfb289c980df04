"""The commands in Telegram's menu, by scope and in each language."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from telegram import (
    BotCommandScope,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BotCommandScopeDefault,
)
from telegram.error import TelegramError
from telegram.ext import ExtBot

from bot.texts import EN, LANGUAGES
from bot.texts.wording import Wording


async def show_menus(bot: ExtBot[Any], admins: Iterable[int]) -> None:
    """Fill Telegram's menus; where there is no text in a user's language, in English."""
    for code, texts in {"": EN, **LANGUAGES}.items():
        for scope, commands in _menus(texts):
            await bot.set_my_commands(commands, scope=scope, language_code=code or None)
        for admin in admins:
            with suppress(TelegramError):  # an admin who has not yet written to the bot has no chat
                own = (*texts.commands_for_admins, *_in_groups(texts))
                await bot.set_my_commands(
                    own, scope=BotCommandScopeChat(admin), language_code=code or None
                )


def _menus(texts: Wording) -> list[tuple[BotCommandScope, tuple[tuple[str, str], ...]]]:
    return [
        (BotCommandScopeDefault(), texts.commands_for_all),
        (BotCommandScopeAllGroupChats(), _in_groups(texts)),
        (BotCommandScopeAllPrivateChats(), (*texts.commands_in_private, *texts.commands_for_all)),
    ]


def _in_groups(texts: Wording) -> tuple[tuple[str, str], ...]:
    return (*texts.commands_in_groups, *texts.commands_for_all)
