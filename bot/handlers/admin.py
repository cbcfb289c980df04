"""Handle `/status`, `/model`, `/rollback` and `/allow`."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from telegram import Chat, Update
from telegram.error import TelegramError

from bot.services.access import is_admin
from bot.services.context import Context
from bot.services.model_holder import Exchange
from bot.services.state import BotState
from bot.store.database import database_file, real_file
from bot.store.groups import Group
from bot.texts import EN
from bot.texts.wording import Wording
from bot.transport.incoming import person_id, place_of
from model.artifacts.artifact import Artifact
from model.artifacts.registry import receipt_path
from model.chat.names import make_printable_name
from model.chat.roster import Person
from model.errors import UnderstudyError

MOST_IDS = 5


@dataclass(frozen=True, slots=True)
class Status:
    """The handler of `/status`; what belongs to one group is told in no other."""

    state: BotState

    async def command(self, update: Update, context: Context) -> None:
        """Say how the bot is, or that only admins are told."""
        message = update.message
        if message is None:
            return
        if person_id(message.from_user) not in self.state.settings.admins:
            text = context.texts.admins_only
        elif message.chat.type == Chat.PRIVATE:
            text = await self._everywhere(context)
        else:
            text = await self._here(message.chat.id, context)
        await context.delivery.say(place_of(message), text)

    async def _everywhere(self, context: Context) -> str:
        texts = context.texts
        blocks = (
            self._model(texts),
            self._voices(texts, tell_all=True),
            await self._hears(context),
            await self._queues(texts),
            self._jobs(texts),
            await self._database(texts),
            await self._groups(context),
        )
        return "\n\n".join(blocks)

    async def _here(self, chat_id: int, context: Context) -> str:
        texts, access = context.texts, self.state.access
        kept = texts.status_messages.format(
            messages=await self.state.store.messages.count(chat_id),
            waiting=self.state.replies.waiting_in(chat_id),
        )
        here = texts.status_here.format(state=self._state(self.state.group(chat_id), texts))
        blocks = [self._model(texts), await self._hears(context, chat_id), f"{here}\n{kept}"]
        if access.may_speak_in(chat_id):
            blocks.insert(1, self._voices(texts, tell_all=access.learned_from(chat_id)))
            if await self._is_no_admin(chat_id, context):
                blocks[-1] += f"\n{texts.status_no_reactions}"
        return "\n\n".join(blocks)

    def _model(self, texts: Wording) -> str:
        serving = self.state.model_holder.now
        model = texts.status_model.format(version=serving.version, base=serving.card.base)
        up = texts.status_uptime.format(time=_span(datetime.now(UTC) - self.state.since))
        return f"{model}\n{up}"

    def _voices(self, texts: Wording, *, tell_all: bool) -> str:
        """Say who may be imitated; who did not agree is told only where they are at home."""
        access = self.state.access
        lines = [texts.status_voices.format(names=_names(access.voices, texts))]
        if tell_all:
            names = _names(access.not_agreed, texts)
            lines.append(texts.status_not_agreed.format(names=names))
        return "\n".join(lines)

    async def _hears(self, context: Context, chat_id: int | None = None) -> str:
        """Say what privacy mode hides, which does not count where the bot is an admin."""
        bot = context.bot
        try:
            hears = bool((await bot.get_me()).can_read_all_group_messages)
            if chat_id and not hears:
                hears = is_admin(await bot.get_chat_member(chat_id, bot.id))
        except TelegramError:  # what was so when the bot started will do
            hears = bool(bot.can_read_all_group_messages)
        return context.texts.status_privacy_off if hears else context.texts.status_privacy_on

    async def _queues(self, texts: Wording) -> str:
        store = self.state.store
        queue = await store.inbox.queue()
        waiting = max(0, queue.waiting - 1)  # this command waits too
        lines = [texts.status_updates.format(waiting=waiting, aside=queue.set_aside)]
        if ids := await store.inbox.newest_aside(MOST_IDS):
            lines.append(texts.status_set_aside.format(ids=", ".join(map(str, ids))))
        uncertain = await store.outbox.count("uncertain")
        replies = self.state.replies.waiting
        lines.append(texts.status_replies.format(waiting=replies, uncertain=uncertain))
        return "\n".join(lines)

    def _jobs(self, texts: Wording) -> str:
        """Say which background jobs fail, by the names that the log uses."""
        lines = [
            texts.status_job_failing.format(job=job.name, error=job.error, times=job.failures)
            for job in self.state.jobs.failing
        ]
        return "\n".join(lines) or texts.status_jobs_ok

    async def _database(self, texts: Wording) -> str:
        url = self.state.settings.database_url
        file, size = database_file(url).name, _size(real_file(url))
        count = await self.state.store.messages.count()
        return texts.status_database.format(file=file, size=size, messages=count)

    async def _is_no_admin(self, chat_id: int, context: Context) -> bool:
        """Whether the bot certainly is no admin of a group, and so receives no reactions."""
        try:
            return not is_admin(await context.bot.get_chat_member(chat_id, context.bot.id))
        except TelegramError:
            return False

    async def _groups(self, context: Context) -> str:
        """Say how it is in each group; what a supergroup was before is none any more."""
        texts, known = context.texts, self.state.groups
        left = {group.moved_from for group in known.values()}
        listed = [group for number, group in known.items() if number not in left and group.title]
        lines = [
            f"{make_printable_name(group.title or '')}: {await self._told(group, context)}"
            for group in listed
        ]
        return "\n".join((texts.status_groups, *(lines or [texts.status_no_groups])))

    async def _told(self, group: Group, context: Context) -> str:
        state = self._state(group, context.texts)
        if not self.state.access.may_speak_in(group.chat_id):
            return state
        if await self._is_no_admin(group.chat_id, context):
            return f"{state}; {context.texts.group_no_reactions}"
        return state

    def _state(self, group: Group, texts: Wording) -> str:
        access = self.state.access
        speaks, at_home = access.may_speak_in(group.chat_id), access.learned_from(group.chat_id)
        if speaks and access.public:
            return texts.group_speaks
        if speaks:
            return texts.group_learned if at_home else texts.group_allowed
        return texts.group_silent if group.authorised else texts.group_not_added


def _names(people: Sequence[Person], texts: Wording) -> str:
    return ", ".join(person.name for person in people) or texts.status_nobody


def _span(span: timedelta) -> str:
    """Write a time in its two largest units, which are called the same in all our languages."""
    minutes = int(span.total_seconds()) // 60
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def _size(path: Path) -> str:
    """Write how much room a database takes, its write-ahead log included."""
    files = (path, path.with_name(f"{path.name}-wal"))
    total = sum(file.stat().st_size for file in files if file.exists())
    million, thousand = 10**6, 10**3
    return f"{total // million} MB" if total >= million else f"{total // thousand} kB"


@dataclass(frozen=True, slots=True)
class Versions:
    """The handlers of `/model` and `/rollback`."""

    state: BotState

    async def show(self, update: Update, context: Context) -> None:
        """Say which version speaks, and which others there are."""
        message = update.message
        if message is None or not await self._is_for(update, context):
            return
        names = await asyncio.to_thread(lambda: self.state.model_holder.models.names)
        now = self.state.model_holder.now
        text = context.texts.model_version.format(
            version=now.version,
            base=now.card.base,
            facts=described(now.artifact, context.texts),
            others=", ".join(name for name in names if name != now.version) or "–",
        )
        await context.delivery.say(place_of(message), text)

    async def roll_back(self, update: Update, context: Context) -> None:
        """Let the version speak that did before."""
        message = update.message
        if message is None or not await self._is_for(update, context):
            return
        try:
            await asyncio.to_thread(self.state.model_holder.models.rollback)
            exchange = await self.state.model_holder.look()
        except UnderstudyError as error:
            text = context.texts.rollback_failed.format(why=error)
        else:
            at_home = message.chat.id > 0 or self.state.access.learned_from(message.chat.id)
            now = self.state.model_holder.now.artifact
            text = told(exchange, now, context.texts, with_scores=at_home)
        await context.delivery.say(place_of(message), text)

    async def _is_for(self, update: Update, context: Context) -> bool:
        """Whether an admin asks; others are told that it is not for them."""
        message, user = update.message, update.effective_user
        if user and user.id in self.state.settings.admins:
            return True
        if message:
            await context.delivery.say(place_of(message), context.texts.admins_only)
        return False


def told(
    exchange: Exchange | None, now: Artifact, texts: Wording = EN, *, with_scores: bool = True
) -> str:
    """Return what admins are told of an exchange of the model, with each voice's share before.

    The shares name all who were learned from: they are for admins in private, and for that chat.
    """
    if exchange and exchange.refused:
        return texts.version_refused.format(old=exchange.version, why=exchange.refused)
    text = texts.version_loaded.format(version=now.path.name, facts=described(now, texts))
    if exchange is None or exchange.before is None or not with_scores:
        return text
    changes = _changes(exchange.before, now)
    if not changes:
        return text
    lines = (f"{one.name} {one.before:.2f} → {one.now:.2f}" for one in changes)
    title = texts.version_scores.format(chance=changes[0].chance)
    return "\n".join([text, title, *lines])


def described(artifact: Artifact, texts: Wording) -> str:
    """Return up to when an artifact's messages were written, as far as its receipt says."""
    try:
        until = datetime.fromisoformat(_receipt(artifact)["through"])
    except (LookupError, TypeError, ValueError):
        return ""  # written by another version of the pipeline
    return texts.version_trained_until.format(day=until.date().isoformat())


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
    path = receipt_path(artifact.path.parents[1], artifact.path.name)
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, RecursionError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
