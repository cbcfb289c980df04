"""Looks at everything that a bot needs: files, Telegram, database, model, machine."""

import asyncio

from bot.checks import files, machine, telegram_side, trained, webhook
from bot.checks.finding import Finding, wrong
from bot.settings import Settings
from bot.store.decisions import decided
from model.errors import ArtifactError

POLL_SECONDS = 2
"""So long `check` asks for updates: another poller, which that interrupts, asks again after 1 s."""


async def findings(settings: Settings, *, poll_seconds: int = POLL_SECONDS) -> list[Finding]:
    """Look at everything; nothing is made or changed, and no update is taken."""
    try:
        artifact = await asyncio.to_thread(trained.opened, settings.models_dir)
    except ArtifactError as error:
        model, card = [wrong("model", str(error))], None
    else:
        decisions = await decided(settings.database_url)
        model, card = trained.look(artifact, settings, decisions), artifact.card
    return [
        files.settings_file(),
        *webhook.look(settings),
        *await telegram_side.look(settings, card, poll_seconds),
        await files.database(settings),
        files.disk(settings),
        *model,
        machine.device(settings),
        *machine.retraining(settings),
    ]
