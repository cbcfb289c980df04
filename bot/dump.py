"""`understudy-bot dump`: what those who agreed wrote, for the pipeline to learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.access import Access, access_of
from bot.errors import DumpError, StoreError
from bot.export_form import EARLIER, Dump, export_text, shifted
from bot.serving import Models
from bot.settings import Settings
from bot.store.database import opened
from bot.store.decisions import Decisions
from bot.store.dumping import Dumping, Kept
from bot.store.groups import Group, Groups
from bot.store.version import Version, complaint, database_file, version_of
from model.files import write_text
from model.naming import visible_name


@dataclass(frozen=True, slots=True)
class Dumped:
    """What a file holds: messages of friends, and of the bot itself."""

    chat_id: int
    friends: int
    own: int
    decisions: int


async def dump(settings: Settings, models: Models, path: Path, wanted: int | None) -> Dumped:
    """Write a chat's messages into a file that only its owner can read, also while the bot runs.

    Only who agreed is in it, and what the bot said; decisions and ids of forgotten messages are
    in it of everybody.

    Raises:
        DumpError: No such chat, or several, or the file cannot be written.
        StoreError: There is no database, or it is of another version.
        SettingsError: There is no token, which tells the bot's id.
        ArtifactError: There is no model, whose roster tells who is who.
    """
    bot_id = int(settings.token.partition(":")[0])
    version = await version_of(settings.database_url)
    if version is Version.MISSING:
        raise StoreError(f"there is no database {database_file(settings.database_url)} to dump")
    if version is not Version.CURRENT:
        raise StoreError(complaint(settings.database_url, version))
    card = models.open("current").card
    roster = card.roster.with_understudy(bot_id)
    titles = {chat.chat_id: chat.title for chat in card.chats}
    async with opened(settings.database_url) as engine:
        decided, groups = await Decisions(engine).newest(), await Groups(engine).all()
        access = access_of(card, roster, settings, decided)
        held = await _dump(Dumping(engine), access, groups, titles, wanted)
    try:
        write_text(path, export_text(held))
    except OSError as error:
        raise DumpError(
            f"{path} cannot be written ({error.strerror}): name another file"
        ) from error
    own = sum(one.message.author_id in roster.understudies for one in held.kept)
    return Dumped(held.chat_id, len(held.kept) - own, own, len(held.decisions))


async def _dump(
    store: Dumping,
    access: Access,
    groups: Sequence[Group],
    titles: Mapping[int, str],
    wanted: int | None,
) -> Dump:
    """Gather what the file holds; a supergroup's holds what was said before it was one."""
    earlier = {group.chat_id: group.moved_from for group in groups if group.moved_from}
    later = {old: new for new, old in earlier.items()}
    names = {**titles, **{group.chat_id: group.title for group in groups if group.title}}
    authors = await store.authors()
    with_friends = {chat for chat, who in authors.items() if any(map(access.has_agreed, who))}
    chats = {later.get(chat, chat) for chat in (with_friends or authors)}
    chat_id = _chosen(chats, names, wanted)
    kept = await store.messages(chat_id)
    forgotten = await store.forgotten(chat_id)
    if (old := earlier.get(chat_id)) is not None:
        kept = [shifted(one, chat_id) for one in await store.messages(old)] + kept
        forgotten = [number - EARLIER for number in await store.forgotten(old)] + forgotten
    return Dump(
        chat_id,
        names.get(chat_id),
        [one for one in kept if _goes(one, access)],
        await store.decisions(),
        forgotten,
        datetime.now(UTC).replace(microsecond=0),
    )


def _goes(kept: Kept, access: Access) -> bool:
    if kept.message.is_forward:  # somebody else's words, and no part of any conversation
        return False
    author = kept.message.author_id
    return author in access.roster.understudies or access.has_agreed(author)


def _chosen(chats: set[int], names: Mapping[int, str | None], wanted: int | None) -> int:
    """Return the chat that is wanted, or the only one of which messages are kept.

    Raises:
        DumpError: There is none, or there are several: the text lists them.
    """
    known = chats or set(names)
    found = known if wanted is None else (chats | set(names)) & {wanted}
    if len(found) == 1:
        return found.pop()
    if not known:
        raise DumpError("no messages are kept yet: let the bot hear a group first")
    listed = "".join(
        f"\n  {one}  {visible_name(names.get(one) or '')}".rstrip() for one in sorted(known)
    )
    what = "messages of several chats are kept" if wanted is None else f"none are of chat {wanted}"
    raise DumpError(f"{what}: choose with --chat ID{listed}")
