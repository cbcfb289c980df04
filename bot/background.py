"""Start the background jobs: cleaning up, reloading the model, and setting the command menus."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

from telegram import (
    BotCommandScope,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BotCommandScopeDefault,
)
from telegram.error import BadRequest, TelegramError
from telegram.ext import ExtBot

from bot.application import DurableApplication
from bot.errors import StoreError
from bot.handlers.admin import describe_with_folder
from bot.handlers.uploads import delete_exports_before
from bot.services.forgetting import delete_withdrawn_later, expire_messages
from bot.services.model_holder import ModelChange
from bot.services.state import BotState
from bot.store.heartbeat import BEAT_SECONDS, write_beat
from bot.texts import EN, LANGUAGES
from bot.texts.en import Wording
from bot.transport.outgoing import truncate
from bot.transport.polling import Client

CLEANUP_SECONDS = 3600.0  # between two runs of a cleaning job
LEADING_SECONDS = 10.0  # between checks whether this process leads and a cleaning job is due
DELETE_SECONDS = 30.0  # until withdrawn messages that could not be deleted are tried again
VACUUM_SECONDS = 2.0  # between checks whether the database can be cleaned
KEPT_EXPORT = timedelta(days=2)  # the reply to an upload states this if there is no RETRAIN_COMMAND
KEPT_HANDLED = timedelta(days=2)  # ids of handled updates; Telegram repeats them for 24 h


def start_jobs(
    app: DurableApplication,
    state: BotState,
    resources: AsyncExitStack,
    model_check_seconds: float,
    leads: asyncio.Event,
) -> None:
    """Start the background jobs, which run until the bot stops.

    Of several processes, only the one that `leads` deletes old rows and writes to the admins.
    """

    async def report(change: ModelChange) -> None:
        if leads.is_set():
            await report_model_change(app.bot, state, change)

    async def check_models() -> None:
        try:
            await state.models.check_and_report(report)
        finally:
            if leads.is_set():
                await state.record_model_folders()

    async def delete_withdrawn() -> None:
        if leads.is_set():
            before = datetime.now(UTC) - timedelta(seconds=DELETE_SECONDS)
            await delete_withdrawn_later(state, app.bot, before)

    jobs = state.jobs
    jobs.repeat("models", check_models, model_check_seconds)
    _start_cleaning(state, leads)
    jobs.repeat("deletions", delete_withdrawn, DELETE_SECONDS)
    jobs.repeat("vacuum", state.store.vacuum.run_when_quiet, VACUUM_SECONDS)
    jobs.repeat("heartbeat", partial(beat, state), BEAT_SECONDS)
    jobs.run_once("menus", partial(set_menus, app.bot, state.settings.admins))
    resources.push_async_callback(state.store.vacuum.run_at_stop)
    resources.push_async_callback(jobs.close)  # first


def _start_cleaning(state: BotState, leads: asyncio.Event) -> None:
    async def clean_inbox() -> None:
        old = datetime.now(UTC) - KEPT_HANDLED
        await state.store.inbox.drop_before(old)
        await state.store.outbox.release_before(old)
        await state.delete_strangers_names()

    async def enforce_retention() -> None:
        await expire_messages(state, datetime.now(UTC))

    async def drop_exports() -> None:
        moment = datetime.now(UTC) - KEPT_EXPORT
        await asyncio.to_thread(delete_exports_before, state.settings, moment)

    seconds = min(LEADING_SECONDS, CLEANUP_SECONDS)
    state.jobs.repeat("retention", _while_leading(enforce_retention, leads), seconds)
    state.jobs.repeat("inbox", _while_leading(clean_inbox, leads), seconds)
    state.jobs.repeat("exports", drop_exports, CLEANUP_SECONDS)


def _while_leading(
    step: Callable[[], Awaitable[None]], leads: asyncio.Event
) -> Callable[[], Awaitable[None]]:
    """Return a step that runs `step` once in `CLEANUP_SECONDS` if this process leads."""
    loop = asyncio.get_running_loop()
    due = loop.time()

    async def run() -> None:
        nonlocal due
        if leads.is_set() and loop.time() >= due:
            await step()
            due = loop.time() + CLEANUP_SECONDS

    return run


async def beat(state: BotState) -> None:
    """Write the heartbeat if the database answers and the model is not stuck.

    The heartbeat is late if the event loop or the writing thread is blocked. A full disk or an
    unreachable Telegram does not matter, because a restart would not help.
    """
    with suppress(StoreError):  # other jobs report it
        await state.store.inbox.count_open()
        await state.store.database.wait_for_writer()
        if not state.replies.is_stuck:
            write_beat(state.settings.database_url)


async def report_model_change(bot: Client, state: BotState, change: ModelChange) -> None:
    """Report a new or refused version to each admin in private.

    The language is that of their last message since the bot started, otherwise English.
    """
    for admin in state.settings.admins:
        texts = state.admin_texts.get(admin, EN)
        text = await asyncio.to_thread(describe_with_folder, change, texts)
        with suppress(TelegramError):  # the admin has never written to the bot
            await bot.send_message(admin, truncate(text))


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
    return _without_duplicates(
        texts.commands_in_groups,
        texts.commands_in_private,
        texts.commands_for_admins,
        texts.commands_for_all,
    )


def _menus(texts: Wording) -> list[tuple[BotCommandScope, tuple[tuple[str, str], ...]]]:
    in_groups = _without_duplicates(texts.commands_in_groups, texts.commands_for_all)
    in_private = _without_duplicates(texts.commands_in_private, texts.commands_for_all)
    return [
        (BotCommandScopeDefault(), texts.commands_for_all),
        (BotCommandScopeAllGroupChats(), in_groups),
        (BotCommandScopeAllPrivateChats(), in_private),
    ]


def _without_duplicates(*menus: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(dict(chain(*menus)).items())
