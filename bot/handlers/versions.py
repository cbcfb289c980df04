"""`/model` and `/rollback`: which version speaks, for admins."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telegram import Update

from bot.context import Context
from bot.house import House
from bot.incoming import place_of
from bot.serving import Exchange
from bot.texts import EN
from bot.texts.wording import Wording
from model.artifact import Artifact
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
    """Return what admins are told of an exchange of the model, with each voice's share before.

    The shares name all who were learned from: they are for admins in private, and for that chat.
    """
    if exchange and exchange.refused:
        return texts.refused_version.format(old=exchange.version, why=exchange.refused)
    text = texts.now_speaking.format(version=now.path.name, facts=described(now, texts))
    if exchange is None or exchange.before is None or not with_scores:
        return text
    changes = _changes(exchange.before, now)
    if not changes:
        return text
    lines = (f"{one.name} {one.before:.2f} → {one.now:.2f}" for one in changes)
    title = texts.right_voice_change.format(chance=changes[0].chance)
    return "\n".join([text, title, *lines])


def described(artifact: Artifact, texts: Wording) -> str:
    """Return up to when an artifact's messages were written, as far as its receipt says."""
    try:
        until = datetime.fromisoformat(_receipt(artifact)["through"])
    except (LookupError, TypeError, ValueError):
        return ""  # written by another version of the pipeline
    return texts.trained_until.format(day=until.date().isoformat())


@dataclass(frozen=True, slots=True)
class _Change:
    """A voice's share of recognised real turns before and now, and the share by chance."""

    name: str
    before: float
    now: float
    chance: float


def _changes(before: Artifact, now: Artifact) -> Sequence[_Change]:
    """Return each voice's share of real turns that their own name fits best, before and now.

    Shares on other talk compare nothing: only those that one of the two receipts has of both.
    """
    earlier, later = _receipt(before), _receipt(now)
    if later.get("compared_with") == before.path.name:
        return _shares(later, "current", "new")
    if earlier.get("compared_with") == now.path.name:  # it is taken back
        return _shares(earlier, "new", "current")
    return []


def _shares(receipt: Mapping[str, Any], old: str, new: str) -> list[_Change]:
    try:
        voices = list(receipt["voices"])
        known = [(str(one["name"]), one[old], one[new]) for one in voices]
        return [
            _Change(name, float(was), float(now), 1 / len(voices))
            for name, was, now in known
            if None not in (was, now)
        ]
    except (LookupError, TypeError, ValueError):
        return []  # of another version of the pipeline


def _receipt(artifact: Artifact) -> Mapping[str, Any]:
    path = receipt_file(artifact.path.parents[1], artifact.path.name)
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, RecursionError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
