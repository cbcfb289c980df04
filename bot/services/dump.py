"""Write the stored messages as a Telegram export."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from bot.errors import DumpError, StoreError
from bot.services.access import Access, StoredPermissions, find_later_ids
from bot.settings import Settings
from bot.store.backup import DumpReader, StoredMessage
from bot.store.database import (
    Version,
    database_name,
    describe_mismatch,
    open_database,
    read_version,
)
from bot.store.groups import Decisions, Groups, StoredDecision
from bot.store.names import Names
from model.artifacts.artifact import Card
from model.artifacts.registry import Registry
from model.chat.eligibility import withhold_words
from model.chat.names import make_printable_name
from model.chat.person import Decision
from model.chat.telegram_ids import CHANNEL_OFFSET, MIGRATION_OFFSET, to_export_id
from model.errors import UnderstudyError
from model.files import write_text

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dump:
    """The content of a dump file."""

    chat_id: int
    title: str | None
    kept: Sequence[StoredMessage]
    decisions: Sequence[Decision]
    forgotten: Sequence[int]
    written_at: datetime
    names: Sequence[tuple[int, str]] = ()


def format_dump(dump: Dump) -> str:
    """Return the file's text, indented by one space per level like Telegram Desktop's exports."""
    if dump.chat_id < -CHANNEL_OFFSET:
        kind, number = "private_supergroup", -dump.chat_id - CHANNEL_OFFSET
    else:
        kind, number = "private_group", -dump.chat_id
    chat: Json = {
        "name": dump.title,
        "type": kind,
        "id": number,
        "understudy": {
            "chat_id": dump.chat_id,
            "written_at": dump.written_at.isoformat(),
            "decisions": [
                {
                    "user_id": decision.user_id,
                    "decision": decision.kind,
                    "at": decision.at.isoformat(),
                }
                for decision in dump.decisions
            ],
            "forgotten": list(dump.forgotten),
            "names": list(dump.names),
        },
        "messages": [*_roots(dump.kept), *map(_item, dump.kept)],
    }
    return json.dumps(chat, ensure_ascii=False, indent=1) + "\n"


def _move(kept: StoredMessage, chat_id: int) -> StoredMessage:
    """Return a basic group's message as it appears in its supergroup's export."""
    one = kept.message
    moved = replace(
        one,
        chat_id=chat_id,
        message_id=one.message_id - MIGRATION_OFFSET,
        reply_to=None if one.reply_to is None else one.reply_to - MIGRATION_OFFSET,
    )
    return StoredMessage(moved, kept.edited_at)


def _item(kept: StoredMessage) -> Json:
    message = kept.message
    item: Json = {"id": message.message_id, "type": "message", **_time("date", message.sent_at)}
    if kept.edited_at:
        item |= _time("edited", kept.edited_at)
    item |= {"from": message.author_name, "from_id": to_export_id(message.author_id)}
    answered = message.reply_to or message.topic_id  # in a topic, other messages answer its root
    if answered is not None:
        item["reply_to_message_id"] = answered
    if message.is_forward:
        item["forwarded_from"] = None  # the original author is not stored
    if message.is_from_bot:
        item["via_bot"] = ""  # which bot is not stored either
    plain = {"type": "plain", "text": message.text}
    return item | {"text": message.text, "text_entities": [plain]}


def _roots(kept: Sequence[StoredMessage]) -> Iterable[Json]:
    """Yield the message that opened each topic, and substitutes for answered messages left out.

    An export shows a message's topic only through the chain of messages that it answers.
    """
    first: dict[int, datetime] = {}
    for item in kept:
        if (topic := item.message.topic_id) is not None:
            first[topic] = min(first.get(topic, item.message.sent_at), item.message.sent_at)
    for topic, at in sorted(first.items()):
        yield {
            "id": topic,
            "type": "service",
            **_time("date", at),
            "action": "topic_created",
            "title": "",
        }
    there = {one.message.message_id for one in kept}
    absent = {
        one.message.reply_to: one.message.topic_id
        for one in kept
        if one.message.topic_id is not None
        and one.message.reply_to is not None
        and one.message.reply_to not in there
    }
    for number, topic in sorted(absent.items()):
        left_out = {"id": number, "type": "service", **_time("date", first[topic])}
        yield left_out | {"action": "left_out", "reply_to_message_id": topic}


def _time(key: str, at: datetime) -> Json:
    """Return a time as in an export: local time, and seconds since 1970."""
    local = at.astimezone().replace(tzinfo=None)
    return {key: local.isoformat(timespec="seconds"), f"{key}_unixtime": str(int(at.timestamp()))}


@dataclass(frozen=True, slots=True)
class DumpSummary:
    """The chat of a dump, and its numbers of messages of friends and of the bot."""

    chat_id: int
    friends: int
    own: int
    decisions: int


async def dump(settings: Settings, models: Registry, path: Path, wanted: int | None) -> DumpSummary:
    """Write a chat's messages to a file that only its owner can read. The bot may be running.

    It contains messages of people who agreed and of the bot, without copies of excluded people's
    words, every `/optout`, each `/optin` that counts in this chat, the ids of forgotten messages,
    and the names that Telegram showed for people whom the chat may learn about.

    Raises:
        DumpError: There is no such chat, or there are several, or the file cannot be written.
        StoreError: There is no database, or it has another version.
        SettingsError: There is no token (it contains the bot's id).
        ArtifactError: There is no default model, or the chat's model cannot be used. Their rosters
            identify the authors.
    """
    bot_id = int(settings.token.partition(":")[0])
    version = await read_version(settings.database_url)
    if version is Version.MISSING:
        raise StoreError(f"there is no database {database_name(settings.database_url)} to dump")
    if version is not Version.CURRENT:
        raise StoreError(describe_mismatch(settings.database_url, version))
    cards, unusable = _open_cards(models, bot_id)
    async with open_database(settings.database_url) as database:
        decisions, groups = await Decisions(database).all(), await Groups(database).all()
        shown = await Names(database).all()
        for folder, card in cards.items():
            cards[folder] = replace(card, roster=card.roster.with_shown_names(shown))
        permissions = StoredPermissions(cards, settings, decisions, groups)
        told = [one for own in decisions.values() for one in own]
        held = await _collect_dump(DumpReader(database), permissions, told, unusable, wanted)
    access = permissions.access_in(held.chat_id)
    roster, people = access.roster, access.roster_in(held.chat_id).people
    numbers = [number for person in people for number in person.ids]
    names = [(number, name) for number in numbers for name in shown.get(number, ())]
    held = replace(held, names=names)
    try:
        write_text(path, format_dump(held))
    except OSError as error:
        raise DumpError(
            f"{path} cannot be written ({error.strerror}): choose another file"
        ) from error
    own = sum(item.message.author_id in roster.understudies for item in held.kept)
    return DumpSummary(held.chat_id, len(held.kept) - own, own, len(held.decisions))


def _open_cards(
    models: Registry, bot_id: int
) -> tuple[dict[str | None, Card], dict[str, UnderstudyError | OSError]]:
    """Return the models' cards by folder, None for the default one, and why others have none."""
    cards: dict[str | None, Card] = {None: models.open("current").card}
    unusable: dict[str, UnderstudyError | OSError] = {}
    for folder, registry in models.group_folders().items():
        try:
            cards[folder] = registry.open("current").card
        except (UnderstudyError, OSError) as error:
            unusable[folder] = error
    with_bot = {
        folder: replace(card, roster=card.roster.with_understudy(bot_id))
        for folder, card in cards.items()
    }
    return with_bot, unusable


async def _collect_dump(
    store: DumpReader,
    permissions: StoredPermissions,
    decisions: Iterable[StoredDecision],
    unusable: Mapping[str, UnderstudyError | OSError],
    wanted: int | None,
) -> Dump:
    """Collect the content of a dump; a supergroup's includes that of its basic group."""
    groups, later = permissions.groups.values(), find_later_ids(permissions.groups)
    earlier = {new: old for old, new in later.items()}
    titles = {
        chat.chat_id: chat.title for card in permissions.cards.values() for chat in card.chats
    }
    names = {**titles, **{group.chat_id: group.title for group in groups if group.title}}
    authors = await store.authors()
    with_friends = {
        chat for chat, who in authors.items()
        if any(map(permissions.access_in(chat).has_agreed, who))
    }  # fmt: skip
    chats = {later.get(chat, chat) for chat in (with_friends or authors)}
    chat_id = _choose_chat(chats, names, wanted)
    group = permissions.groups.get(chat_id)
    if group and group.model_folder and (reason := unusable.get(group.model_folder)):
        raise reason  # nobody knows who agreed there
    access = permissions.access_in(chat_id)
    kept = await store.messages(chat_id)
    forgotten = await store.forgotten(chat_id)
    if (old := earlier.get(chat_id)) is not None:
        kept = [_move(one, chat_id) for one in await store.messages(old)] + kept
        forgotten = [number - MIGRATION_OFFSET for number in await store.forgotten(old)] + forgotten
    kept = [item for item in kept if _is_dumped(item, access)]
    if access.roster.excluded_ids:
        own = ((item, withhold_words(item.message, access.roster)) for item in kept)
        kept = [
            replace(item, message=replace(item.message, text=text)) for item, text in own if text
        ]
    return Dump(
        chat_id,
        names.get(chat_id),
        kept,
        _add_accounts((one for one in decisions if permissions.counts(one, chat_id)), permissions),
        forgotten,
        datetime.now(UTC).replace(microsecond=0),
    )


def _add_accounts(decisions: Iterable[Decision], permissions: StoredPermissions) -> list[Decision]:
    """Return decisions, with each opt-out that counts as the last one of all the person's accounts.

    The roster that reads the dump may know only accounts other than the one that opted out.
    """
    told: dict[int, list[Decision]] = {}
    for one in decisions:
        told.setdefault(one.user_id, []).append(Decision(one.user_id, one.kind, one.at))
    optouts = [own[-1] for own in told.values() if own[-1].kind == "optout"]
    for last in optouts:
        for number in sorted(permissions.find_accounts(last.user_id)):
            own = told.setdefault(number, [])
            if not own or own[-1].kind != "optout":
                own.append(replace(last, user_id=number))
    return [one for own in told.values() for one in own]


def _is_dumped(kept: StoredMessage, access: Access) -> bool:
    if kept.message.is_forward:  # somebody else's words, not part of a conversation
        return False
    author = kept.message.author_id
    return author in access.roster.understudies or access.has_agreed(author)


def _choose_chat(chats: set[int], names: Mapping[int, str | None], wanted: int | None) -> int:
    """Return the requested chat, or the only chat with stored messages.

    Raises:
        DumpError: There is none, or there are several: the text lists them.
    """
    existing = chats or set(names)
    found = existing if wanted is None else (chats | set(names)) & {wanted}
    if len(found) == 1:
        return found.pop()
    if not existing:
        raise DumpError("no messages are stored yet: run the bot in a group first")
    listed = "".join(
        f"\n  {one}  {make_printable_name(names.get(one) or '')}".rstrip()
        for one in sorted(existing)
    )
    if wanted is None:
        raise DumpError(f"there are several chats: choose one with --chat ID{listed}")
    raise DumpError(
        f"no messages of chat {wanted} are stored: choose a chat with --chat ID{listed}"
    )
