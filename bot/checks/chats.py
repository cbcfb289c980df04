"""Looks at whether the bot can hear and speak where it should: the model's groups, its admins."""

from collections.abc import Iterable

from telegram import Bot
from telegram.error import BadRequest, ChatMigrated, Forbidden

from bot.checks.finding import Finding, note, ok, wrong
from bot.ranks import is_admin as runs
from bot.texts import EN
from model.artifact import Card, Chat
from model.naming import visible, visible_name

NO_ADMINS = "nobody yet: write /start to the bot in private, it answers with the line for .env"


async def groups(bot: Bot, card: Card | None) -> list[Finding]:
    """Look at privacy mode and at the chats that the model learned from."""
    learned_from = () if card is None or card.public else card.chats
    found = [await _group(bot, chat) for chat in learned_from]
    is_admin = bool(found) and all(is_admin for _, is_admin in found)
    return [_privacy(bot, is_admin=is_admin), *(finding for finding, _ in found)]


async def admins(bot: Bot, ids: Iterable[int]) -> Finding:
    """Look at whether each admin can be written to: a bot may not begin a talk."""
    silent = [user_id for user_id in sorted(ids) if not await _is_known(bot, user_id)]
    if not silent:
        return admins_unasked(ids)
    return wrong(
        "ADMINS",
        f"{_listed(silent)} cannot be told anything: each admin must write /start to "
        f"@{bot.username} in private once; or the id is mistyped",
    )


def admins_unasked(ids: Iterable[int]) -> Finding:
    """Say who the admins are."""
    listed = _listed(sorted(ids))
    return ok("ADMINS", listed) if listed else wrong("ADMINS", NO_ADMINS)


async def _is_known(bot: Bot, user_id: int) -> bool:
    try:
        await bot.get_chat(user_id)
    except (BadRequest, Forbidden):
        return False
    return True


async def _group(bot: Bot, chat: Chat) -> tuple[Finding, bool]:
    """Look at whether the bot is in a chat, and whether as an admin."""
    name = f"{visible_name(chat.title)} ({chat.chat_id})"
    try:
        await bot.get_chat(chat.chat_id)
        me = await bot.get_chat_member(chat.chat_id, bot.id)
    except ChatMigrated as error:
        says = (
            f"{name} became the supergroup {error.new_chat_id}, which the model does not know: "
            "export it again, then `understudy build` and `understudy train`"
        )
    except Forbidden as error:
        why = visible(error.message)
        says = f"the bot is not in {name} any more ({why}): add @{bot.username} again"
    except BadRequest as error:
        why = visible(error.message)
        says = f"{name} is unknown to the bot ({why}): add @{bot.username} to that group"
    else:
        is_admin = runs(me)
        return ok("group", f"{name}, as {'an admin' if is_admin else 'a member'}"), is_admin
    return wrong("group", says), False


def _privacy(bot: Bot, *, is_admin: bool) -> Finding:
    """Look at privacy mode, which is right for a bot that is an admin."""
    if bot.bot.can_read_all_group_messages:
        return ok("privacy mode", "off, the bot hears all that is said")
    if is_admin:
        return ok("privacy mode", "on, and as an admin the bot hears all that is said")
    return note("privacy mode", EN.privacy_is_on)


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids))
