"""The checks of `understudy-bot check`: what is wrong, and how to fix it."""

import asyncio

from bot.checks import local, telegram
from bot.services.access import StoredPermissions
from bot.settings import Settings
from bot.store.groups import read_decisions
from model.errors import ArtifactError
from model.findings import Finding, fix

POLL_SECONDS = 2
"""How long `check` asks for updates. This interrupts another poller, which asks again after 1 s."""


async def run_checks(settings: Settings, *, poll_seconds: int = POLL_SECONDS) -> list[Finding]:
    """Run all checks; they change nothing and take no update."""
    try:
        artifact = await asyncio.to_thread(local.open_current, settings.models_dir)
    except ArtifactError as error:
        model, cards = [fix("model", str(error))], []
    else:
        own, problems = await asyncio.to_thread(local.open_groups, settings.models_dir)
        cards = [artifact.card, *(one.card for one in own.values())]
        stored = await read_decisions(settings.database_url)
        permissions = StoredPermissions(cards, settings, *stored)
        model = local.check_model(artifact, permissions)
        for name, one in own.items():
            model += local.check_model(one, permissions, name)
        model += problems + local.check_shared_chats(own)
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
