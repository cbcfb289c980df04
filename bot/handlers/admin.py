"""Handle `/status`, `/model` and `/rollback`, and report when the model version changes."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from telegram import Chat, Message
from telegram.error import TelegramError

from bot.application import Context
from bot.services.access import is_admin
from bot.services.model_holder import ModelChange
from bot.store.groups import Group
from bot.texts.en import Wording
from model.artifacts.artifact import Artifact
from model.artifacts.registry import describe_group_folder, read_receipt_json
from model.chat.names import make_printable_name
from model.errors import ArtifactError, UnderstudyError

MAX_LISTED_IDS = 5


async def show_status(message: Message, context: Context) -> str:
    """Describe the whole bot in private, and only this group in a group."""
    if message.chat.type == Chat.PRIVATE:
        return "\n\n".join(await _bot_status(message, context))
    return "\n\n".join(await _group_status(message.chat.id, context))


async def _bot_status(message: Message, context: Context) -> list[str]:
    state, store, texts = context.state, context.state.store, context.texts
    queue = await store.inbox.count_open()
    waiting = max(0, queue.waiting - 1)  # this command is waiting too
    updates = [texts.status_updates.format(waiting=waiting, set_aside=queue.set_aside)]
    if ids := await store.inbox.newest_aside(MAX_LISTED_IDS):
        updates.append(texts.status_set_aside.format(ids=", ".join(map(str, ids))))
    uncertain = await store.outbox.count("uncertain")
    updates.append(texts.status_replies.format(waiting=state.replies.pending, uncertain=uncertain))
    failing_jobs = [
        texts.status_job_failing.format(job=job.name, error=job.error, times=job.failures)
        for job in state.jobs.failing
    ]
    backend = state.store.database.backend
    database = texts.status_database.format(
        file=backend.path.name,
        size=format_size(await asyncio.to_thread(backend.size)),
        messages=await store.messages.count(),
    )
    holders = (state.models.default, *state.models.group_holders)
    refused = [describe_with_folder(one.refusal, texts) for one in holders if one.refusal]
    return [
        "\n".join([_model_status(message.chat.id, context), *refused]),
        _voice_status(message.chat.id, context, with_not_agreed=True),
        await _privacy_mode_status(context),
        "\n".join(updates),
        "\n".join(failing_jobs) or texts.status_jobs_ok,
        database,
        await _list_groups(context),
    ]


async def _group_status(chat_id: int, context: Context) -> list[str]:
    """Return the status of one group; it reveals nothing about other groups."""
    state, texts, access = context.state, context.texts, context.state.access_in(chat_id)
    stored = texts.status_messages.format(
        messages=await state.store.messages.count(chat_id),
        waiting=await state.count_replies(chat_id),
    )
    here = texts.status_here.format(state=_group_state(state.group(chat_id), context))
    is_without_model = state.is_without_model(chat_id)
    blocks = [
        texts.own_model_unusable if is_without_model else _model_status(chat_id, context),
        await _privacy_mode_status(context, chat_id),
        f"{here}\n{stored}",
    ]
    if access.may_speak_in(chat_id):
        with_not_agreed = access.learned_from(chat_id)
        blocks.insert(1, _voice_status(chat_id, context, with_not_agreed=with_not_agreed))
        if await _receives_no_reactions(chat_id, context):
            blocks[-1] += f"\n{texts.status_no_reactions}"
    return blocks


def _model_status(chat_id: int, context: Context) -> str:
    texts, model = context.texts, context.state.model_in(chat_id)
    version = texts.status_model.format(version=model.version, base=model.card.base)
    uptime = format_uptime(datetime.now(UTC) - context.state.since)
    return f"{version}\n{texts.status_uptime.format(time=uptime)}"


def _voice_status(chat_id: int, context: Context, *, with_not_agreed: bool) -> str:
    """List the voices and, with `with_not_agreed`, the people who have not agreed."""
    texts, access = context.texts, context.state.access_in(chat_id)
    groups = [(texts.status_voices, access.voices)]
    if with_not_agreed:
        groups.append((texts.status_not_agreed, access.not_agreed))
    lines = []
    for text, people in groups:
        names = ", ".join(person.name for person in people)
        lines.append(text.format(names=names or texts.status_nobody))
    return "\n".join(lines)


async def _privacy_mode_status(context: Context, chat_id: int | None = None) -> str:
    """Say whether privacy mode hides messages; it never does where the bot is a group admin."""
    bot = context.bot
    try:
        receives_all = bool((await bot.get_me()).can_read_all_group_messages)
        if chat_id and not receives_all:
            receives_all = is_admin(await bot.get_chat_member(chat_id, bot.id))
    except TelegramError:  # use what was true when the bot started
        receives_all = bool(bot.can_read_all_group_messages)
    return context.texts.status_privacy_off if receives_all else context.texts.status_privacy_on


async def _receives_no_reactions(chat_id: int, context: Context) -> bool:
    """Whether the bot is not an admin of a group; Telegram sends reactions to admins only.

    False if Telegram does not answer.
    """
    try:
        return not is_admin(await context.bot.get_chat_member(chat_id, context.bot.id))
    except TelegramError:
        return False


async def _list_groups(context: Context) -> str:
    """List the groups and their states; leave out basic groups that became supergroups."""
    texts, groups = context.texts, context.state.groups
    moved = {group.moved_from for group in groups.values()}
    lines = []
    for chat_id, group in groups.items():
        if chat_id in moved or not group.title:
            continue
        line = f"{make_printable_name(group.title)}: {_group_state(group, context)}"
        speaks = context.state.may_speak_in(chat_id)
        holder = context.state.holder_in(chat_id)
        if holder.folder is not None:
            line += f"; {texts.group_version.format(version=holder.current.version)}"
        if speaks and await _receives_no_reactions(chat_id, context):
            line += f"; {texts.group_no_reactions}"
        lines.append(line)
    return "\n".join([texts.status_groups, *(lines or [texts.status_no_groups])])


def _group_state(group: Group, context: Context) -> str:
    texts, access = context.texts, context.state.access_in(group.chat_id)
    if context.state.is_without_model(group.chat_id):
        return texts.group_unusable
    if not access.may_speak_in(group.chat_id):
        return texts.group_silent if group.authorised else texts.group_not_added
    if access.public:
        return texts.group_speaks
    return texts.group_learned if access.learned_from(group.chat_id) else texts.group_allowed


def format_uptime(uptime: timedelta) -> str:
    """Format a duration in its two largest units, whose symbols suit all languages of the bot."""
    minutes = int(uptime.total_seconds()) // 60
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def format_size(size: int) -> str:
    """Format a number of bytes."""
    return f"{size // 10**6} MB" if size >= 10**6 else f"{size // 10**3} kB"


async def show_model(message: Message, context: Context) -> str:
    """Describe the version that is used in this chat, and list the other versions."""
    texts, holder = context.texts, context.state.holder_in(message.chat.id)
    names = await asyncio.to_thread(lambda: holder.registry.names)
    model = holder.current
    return texts.model_version.format(
        version=model.version,
        base=model.card.base,
        facts=await asyncio.to_thread(_training_end, model.artifact, texts),
        others=", ".join(name for name in names if name != model.version) or "–",
    )


async def roll_back(message: Message, context: Context) -> str:
    """Go back to the version that was current before the one that is used in this chat."""
    state, chat_id = context.state, message.chat.id
    holder = state.holder_in(chat_id)
    before = holder.current.artifact
    try:
        await asyncio.to_thread(holder.registry.rollback)
        change = await holder.check()
    except UnderstudyError as error:
        return context.texts.rollback_failed.format(reason=error)
    with_scores = chat_id > 0 or state.access_in(chat_id).learned_from(chat_id)
    artifact = holder.current.artifact
    if change is None:
        is_other = artifact.path != before.path  # the background job was first
        change = ModelChange(artifact, before=before if is_other else None)
    return await asyncio.to_thread(
        describe_model_change, change, context.texts, with_scores=with_scores
    )


def describe_model_change(change: ModelChange, texts: Wording, *, with_scores: bool = True) -> str:
    """Say which version is now in use, or why a new one was refused.

    The scores name everyone whose messages the model learned from. Show them only to admins in
    private and in the chat that the model learned from.
    """
    if change.now is None:
        return texts.version_unusable.format(reason=change.refused)
    version = change.now.path.name
    if change.refused:
        return texts.version_refused.format(old=version, reason=change.refused)
    text = texts.version_loaded.format(version=version, facts=_training_end(change.now, texts))
    if change.before is None or not with_scores:
        return text
    scores = _compare_scores(change.before, change.now, texts)
    return f"{text}\n{scores}" if scores else text


def describe_with_folder(change: ModelChange, texts: Wording) -> str:
    """Say the same, and which folder it is about if that is a group's, for admins in private."""
    text = describe_model_change(change, texts)
    if change.folder is None:
        return text
    place = texts.model_in_folder.format(folder=describe_group_folder(change.folder))
    return f"{place}\n{text}"


def _training_end(artifact: Artifact, texts: Wording) -> str:
    """Say when the newest message in the training data was sent, or return "" if unknown."""
    try:
        until = datetime.fromisoformat(_read_receipt(artifact)["through"])
    except (LookupError, TypeError, ValueError):
        return ""  # written by another version of the pipeline
    return texts.version_trained_until.format(day=until.date().isoformat())


def _compare_scores(before: Artifact, now: Artifact, texts: Wording) -> str:
    """List, for each person, the share of real turns that fit their own name best, before and now.

    Returns "" if neither receipt compares the two versions, because shares measured on different
    conversations cannot be compared.
    """
    earlier, later = _read_receipt(before), _read_receipt(now)
    if later.get("compared_with") == before.path.name:
        receipt, old, new = later, "current", "new"
    elif earlier.get("compared_with") == now.path.name:  # the bot went back to the older version
        receipt, old, new = earlier, "new", "current"
    else:
        return ""
    try:
        voices = list(receipt["voices"])
        shares = [(str(voice["name"]), voice[old], voice[new]) for voice in voices]
        lines = [
            f"{name} {float(was):.2f} → {float(is_now):.2f}"
            for name, was, is_now in shares
            if None not in (was, is_now)
        ]
    except (LookupError, TypeError, ValueError):
        return ""  # written by another version of the pipeline
    if not lines:
        return ""
    return "\n".join([texts.version_scores.format(chance=1 / len(voices)), *lines])


def _read_receipt(artifact: Artifact) -> Mapping[str, Any]:
    """Return a version's receipt, {} if it has none; may wait for a transaction of `retrain`."""
    try:
        return read_receipt_json(artifact.path.parents[1], artifact.path.name)
    except ArtifactError:
        return {}
