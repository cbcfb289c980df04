"""The methods of the Bot API by name, and those of them that ask or set up."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from bot.playground import polls, sending
from bot.playground.shapes import ApiError, Json, Member
from bot.playground.world import World

Answer: TypeAlias = Json | list[Json] | bool
Method: TypeAlias = Callable[[World, Json], Answer | Awaitable[Answer]]

LARGEST_DOWNLOAD = 20 * 2**20
COMMAND = re.compile(r"[a-z0-9_]{1,32}")
LONGEST_DESCRIPTION = 256
ACTIONS = frozenset(
    {"typing", "choose_sticker", "find_location"}
    | {f"upload_{kind}" for kind in ("photo", "video", "voice", "document", "video_note")}
    | {f"record_{kind}" for kind in ("video", "voice", "video_note")}
)
STALE_QUERY = "Bad Request: query is too old and response timeout expired or query ID is invalid"
NO_GIFTS = (
    "unlimited_gifts",
    "limited_gifts",
    "unique_gifts",
    "premium_subscription",
    "gifts_from_channels",
)


def get_me(world: World, _: Json) -> Json:
    """Say who the bot is and what it may read."""
    return world.me.json() | {
        "can_join_groups": True,
        "can_read_all_group_messages": world.can_read_all,
        "supports_inline_queries": False,
    }


def send_chat_action(world: World, params: Json) -> bool:
    """Show what the bot is about to do."""
    chat = world.reach(params.get("chat_id"))
    world.place(chat, params.get("message_thread_id"), None)
    if params.get("action") not in ACTIONS:
        raise ApiError(400, "Bad Request: wrong parameter action in request")
    return True


def answer_callback_query(world: World, params: Json) -> bool:
    """End the waiting of who pressed a button."""
    if params.get("callback_query_id") not in world.queries:
        raise ApiError(400, STALE_QUERY)
    return True


def set_my_commands(world: World, params: Json) -> bool:
    """Keep the list of commands for a scope and a language."""
    for command in params.get("commands", []):
        if not COMMAND.fullmatch(command["command"]):
            raise ApiError(400, "Bad Request: BOT_COMMAND_INVALID")
        if not 0 < len(command["description"]) <= LONGEST_DESCRIPTION:
            raise ApiError(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
    world.commands[_scope(world, params)] = params.get("commands", [])
    return True


def get_my_commands(world: World, params: Json) -> list[Json]:
    """Return the list of commands kept for a scope and a language."""
    return world.commands.get(_scope(world, params), [])


def get_chat(world: World, params: Json) -> Json:
    """Describe a chat, with the fields of ChatFullInfo that are never absent."""
    return world.reach(params.get("chat_id")).json() | {
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(NO_GIFTS, False),
    }


def get_chat_member(world: World, params: Json) -> Json:
    """Say what a user is in a chat."""
    chat = world.reach(params.get("chat_id"))
    user = world.users.get(params.get("user_id", 0))
    if user is None:
        raise ApiError(400, "Bad Request: user not found")
    return chat.member(user).json()


def get_chat_administrators(world: World, params: Json) -> list[Json]:
    """Return who runs a group, without bots other than this one."""
    chat = world.reach(params.get("chat_id"))
    if chat.kind == "private":
        raise ApiError(400, "Bad Request: there are no administrators in the private chat")
    shown = (m for m in chat.members.values() if not m.user.is_bot or m.user == world.me)
    return [member.json() for member in shown if member.is_admin]


def get_file(world: World, params: Json) -> Json:
    """Say where a file may be downloaded."""
    file_id = params.get("file_id", "")
    upload = world.files.get(file_id)
    if upload is None:
        raise ApiError(400, "Bad Request: invalid file_id")
    if len(upload.content) > LARGEST_DOWNLOAD:
        raise ApiError(400, "Bad Request: file is too big")
    return {
        "file_id": file_id,
        "file_unique_id": f"unique-{file_id}",
        "file_size": len(upload.content),
        "file_path": f"documents/{file_id}",
    }


async def leave_chat(world: World, params: Json) -> bool:
    """Leave a group."""
    chat = world.reach(params.get("chat_id"))
    if chat.kind == "private":
        refusal = "Bad Request: chat member status can't be changed in private chats"
        raise ApiError(400, refusal)
    await world.change_status(chat, Member(world.me, "left"), by=world.me)
    return True


async def get_updates(world: World, params: Json) -> list[Json]:
    """Return what waits for the bot, or wait for it."""
    return await world.updates.poll(params)


async def set_webhook(world: World, params: Json) -> bool:
    """Have updates posted to a url; plain http is welcome here."""
    await world.updates.set_webhook(params)
    return True


async def delete_webhook(world: World, params: Json) -> bool:
    """Have updates wait for getUpdates."""
    drop = params.get("drop_pending_updates", False)
    await world.updates.set_webhook({"drop_pending_updates": drop})
    return True


def get_webhook_info(world: World, _: Json) -> Json:
    """Say where updates are posted and how many wait."""
    return world.updates.webhook_info()


def log_out(world: World, _: Json) -> bool:
    """Leave this server: it refuses every later call."""
    world.logged_out = True
    return True


def close(_world: World, _: Json) -> bool:
    """Accept that the bot moves to another server; nothing here depends on it."""
    return True


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "getMe": get_me,
        "getUpdates": get_updates,
        "setWebhook": set_webhook,
        "deleteWebhook": delete_webhook,
        "sendMessage": sending.send_message,
        "sendDocument": sending.send_document,
        "sendSticker": sending.send_sticker,
        "sendPoll": polls.send_poll,
        "editMessageText": sending.edit_message_text,
        "editMessageReplyMarkup": sending.edit_message_reply_markup,
        "deleteMessage": sending.delete_message,
        "sendChatAction": send_chat_action,
        "answerCallbackQuery": answer_callback_query,
        "setMyCommands": set_my_commands,
        "getMyCommands": get_my_commands,
        "getChat": get_chat,
        "getChatMember": get_chat_member,
        "getChatAdministrators": get_chat_administrators,
        "leaveChat": leave_chat,
        "getFile": get_file,
        "getWebhookInfo": get_webhook_info,
        "logOut": log_out,
        "close": close,
    }
)


def _scope(world: World, params: Json) -> str:
    """Return the key that a list of commands is kept under."""
    scope = params.get("scope") or {"type": "default"}
    if "chat_id" in scope:
        world.reach(scope["chat_id"])
    return json.dumps([scope, params.get("language_code") or ""], sort_keys=True)
