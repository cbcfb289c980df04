"""The checks of `understudy-bot check`: what is wrong, and how to fix it."""

import asyncio

from bot.checks import local, telegram
from bot.settings import Settings
from bot.store.groups import read_decisions_and_groups
from model.findings import Finding

POLL_SECONDS = 2
"""How long `check` asks for updates. This interrupts another poller, which asks again after 1 s."""


async def run_checks(settings: Settings, *, poll_seconds: int = POLL_SECONDS) -> list[Finding]:
    """Run all checks; they change nothing and take no update."""
    stored = await read_decisions_and_groups(settings.database_url)
    model, cards = await asyncio.to_thread(local.check_models, settings, stored)
    return [
        local.check_settings_file(),
        *telegram.check_webhook(settings),
        *await telegram.check_telegram(settings, cards, poll_seconds),
        await local.check_database(settings),
        local.check_disk(settings),
        *model,
        local.check_device(settings),
        *local.check_parallel_replies(settings),
        *local.check_retrain_command(settings),
    ]
