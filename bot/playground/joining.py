"""How people bring the bot into a chat and take it out again, with all that Telegram tells it."""

from bot.playground.shapes import Chat, Member, User
from bot.playground.telegram import Telegram


async def add_bot(telegram: Telegram, chat: Chat, by: User, status: str = "member") -> None:
    """Let somebody add the bot to a chat; where it was in there, Telegram forgets that first."""
    chat.members[telegram.me.id] = Member(telegram.me, "left")
    chat.members.setdefault(by.id, Member(by))
    await telegram.set_status(chat, telegram.me, status, by=by)
    if chat.kind != "channel":
        await telegram.say(chat, by, None, new_chat_members=[telegram.me.json()])


async def remove_bot(telegram: Telegram, chat: Chat, by: User) -> None:
    """Let somebody remove the bot from a chat."""
    await telegram.set_status(chat, telegram.me, "kicked", by=by)


async def move(telegram: Telegram, chat: Chat, new_id: int, by: User, *, order: str) -> Chat:
    """Turn a group into the supergroup `new_id` and return that.

    `order` has a letter for each thing that the bot is told, in the order of the telling: `o` the
    old chat's message, `n` the new chat's, `j` that the bot joined the new chat, by who moved it.
    """
    moved = telegram.chat(new_id, title=chat.title or "")
    moved.members = dict(chat.members)
    for told in order:
        if told == "o":
            await telegram.say(chat, by, None, migrate_to_chat_id=new_id)
        elif told == "n":
            await telegram.say(moved, None, None, migrate_from_chat_id=chat.id)
        else:
            moved.members[telegram.me.id] = Member(telegram.me, "left")
            await telegram.set_status(moved, telegram.me, "member", by=by)
    chat.migrated_to = new_id
    return moved
