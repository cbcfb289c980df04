"""`/model` and `/rollback`: which version speaks, for admins."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from telegram import Update

from bot.context import Context
from bot.house import House
from bot.incoming import place_of
from bot.serving import Exchange
from bot.texts import EN
from bot.texts.wording import Wording
from model.artifact import SCORECARD, Artifact
from model.errors import UnderstudyError
from model.registry import receipt_file


@dataclass(frozen=True, slots=True)
class Versions:
    """The handlers of `/model` and `/rollback`."""

    house: House

    async def show(self, update: Update, context: Context) -> None:
        """Say which version speaks, and which others there are."""
        message = update.message
        if message is None or not await self._is_for(update, context):
            return
        names = await asyncio.to_thread(lambda: self.house.stand.models.names)
        now = self.house.stand.now
        text = context.texts.the_model.format(
            version=now.version,
            base=now.card.base,
            facts=described(now.artifact, context.texts),
            others=", ".join(name for name in names if name != now.version) or "–",
        )
        await context.courier.say(place_of(message), text)

    async def roll_back(self, update: Update, context: Context) -> None:
        """Let the version speak that did before."""
        message = update.message
        if message is None or not await self._is_for(update, context):
            return
        try:
            await asyncio.to_thread(self.house.stand.models.rollback)
            exchange = await self.house.stand.look()
        except UnderstudyError as error:
            text = context.texts.no_rollback.format(why=error)
        else:
            at_home = message.chat.id > 0 or self.house.access.learned_from(message.chat.id)
            now = self.house.stand.now.artifact
            text = told(exchange, now, context.texts, with_scores=at_home)
        await context.courier.say(place_of(message), text)

    async def _is_for(self, update: Update, context: Context) -> bool:
        """Whether an admin asks; others are told that it is not for them."""
        message, user = update.message, update.effective_user
        if user and user.id in self.house.settings.admins:
            return True
        if message:
            await context.courier.say(place_of(message), context.texts.for_admins)
        return False


def told(
    exchange: Exchange | None, now: Artifact, texts: Wording = EN, *, with_scores: bool = True
) -> str:
    """Return what admins are told of an exchange of the model; scores only as they changed.

    The scores name all who were learned from: they are for admins in private, and for that chat.
    """
    if exchange and exchange.refused:
        return texts.refused_version.format(old=exchange.version, why=exchange.refused)
    text = texts.now_speaking.format(version=now.path.name, facts=described(now, texts))
    if exchange is None or exchange.before is None or not with_scores:
        return text
    old, new = _scores(exchange.before), _scores(now)
    changes = [f"{name} {old[name]:.2f} → {new[name]:.2f}" for name in new if name in old]
    return "\n".join([text, *changes])


def described(artifact: Artifact, texts: Wording) -> str:
    """Return up to when an artifact's messages were written, as far as its receipt says."""
    receipt = receipt_file(artifact.path.parents[1], artifact.path.name)
    until = _read(receipt).get("through")
    if not isinstance(until, str):
        return ""
    return texts.trained_until.format(day=datetime.fromisoformat(until).date().isoformat())


def _scores(artifact: Artifact) -> dict[str, float]:
    """Return each voice's share of turns that their own name fits best, where it was measured."""
    voices = _read(artifact.path / SCORECARD).get("right_voice", {}).get("voices", {})
    return {name: float(share["value"]) for name, share in voices.items()}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
