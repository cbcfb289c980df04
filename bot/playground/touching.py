"""What people do to a message without words: they react to it, or press its buttons."""

from bot.playground.shapes import Json, User
from bot.playground.world import World


async def react(world: World, message: Json, user: User, *emoji: str) -> None:
    """Change a person's reactions; the bot hears of it where it is an admin."""
    chat = world.chats[message["chat"]["id"]]
    if not chat.member(world.me).is_admin:
        return
    change = {
        "chat": chat.json(),
        "message_id": message["message_id"],
        "user": user.json(),
        "date": world.now(),
        "old_reaction": [],
        "new_reaction": [{"type": "emoji", "emoji": one} for one in emoji],
    }
    await world.updates.push("message_reaction", change)


async def press(world: World, message: Json, user: User, data: str) -> str:
    """Press the button that holds `data`; return the query's id.

    Raises:
        ValueError: The message, as it stands now, has no such button.
    """
    current = world.messages[message["chat"]["id"], message["message_id"]]
    rows = current.get("reply_markup", {}).get("inline_keyboard", [])
    held = [button.get("callback_data") for row in rows for button in row]
    if data not in held:
        raise ValueError(f"no button holds {data!r}: there are {held}")
    query_id = str(len(world.queries) + 1)
    world.queries.add(query_id)
    query = {"id": query_id, "from": user.json(), "message": current, "data": data}
    instance = {"chat_instance": str(current["chat"]["id"])}
    await world.updates.push("callback_query", query | instance)
    return query_id
