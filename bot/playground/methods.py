"""The Bot API methods of the playground."""

import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from bot.playground.objects import ApiError, Json, Member, SimulatedChat, Upload, utf16_length
from bot.playground.world import World

LONGEST_TEXT = 4096
LONGEST_CAPTION = 1024
MUTE = "Bad Request: not enough rights to send text messages to the chat"
LONGEST_BUTTON_DATA = 64
DELETABLE_SECONDS = 48 * 60 * 60
NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup "
    "are exactly the same as a current content and reply markup of the message"
)
LONGEST_QUESTION = 300
LONGEST_OPTION = 100
LONGEST_EXPLANATION = 200
MIN_OPTIONS, MAX_OPTIONS = 2, 10
MAX_LINE_FEEDS = 2
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


def send_message(world: World, params: Json) -> Json:
    """Post a text."""
    chat = world.find_chat(params.get("chat_id"))
    return _post(world, chat, params, _text(params))


def send_photo(world: World, params: Json) -> Json:
    """Post an uploaded picture."""
    chat = world.find_chat(params.get("chat_id"))
    given = params.get("photo")
    if not isinstance(given, Upload):
        raise ApiError(400, "Bad Request: there is no photo in the request")
    return _post(world, chat, params, {"photo": world.store_photo(given), **_caption(params)})


def send_sticker(world: World, params: Json) -> Json:
    """Post a sticker that was sent before."""
    chat = world.find_chat(params.get("chat_id"))
    file_id = params.get("sticker")
    sticker = world.stickers.get(file_id) if isinstance(file_id, str) else None
    if sticker is None:
        raise ApiError(400, "Bad Request: wrong file identifier/HTTP URL specified")
    return _post(world, chat, params, {"sticker": sticker})


def edit_message_reply_markup(world: World, params: Json) -> Json:
    """Replace the buttons of one of the bot's messages with those of the call."""
    chat = world.find_chat(params.get("chat_id"))
    key = chat.id, params.get("message_id", 0)
    message = world.messages.get(key)
    if message is None:
        raise ApiError(400, "Bad Request: message to edit not found")
    if message["from"]["id"] != world.me.id:
        raise ApiError(400, "Bad Request: message can't be edited")
    kept = {name: part for name, part in message.items() if name != "reply_markup"}
    edited = {**kept, **_buttons(params)}
    if edited == message:
        raise ApiError(400, NOT_MODIFIED)
    world.store_message(edited | {"edit_date": world.now()})
    return world.messages[key]


def delete_message(world: World, params: Json) -> bool:
    """Delete a message that the bot may delete."""
    chat = world.find_chat(params.get("chat_id"))
    key = chat.id, params.get("message_id", 0)
    message = world.messages.get(key)
    if message is None:
        raise ApiError(400, "Bad Request: message to delete not found")
    is_own = message["from"]["id"] == world.me.id or chat.kind == "private"
    if not is_own and not chat.member(world.me).may("can_delete_messages"):
        raise ApiError(400, "Bad Request: message can't be deleted")
    if world.now() - message["date"] > DELETABLE_SECONDS:
        raise ApiError(400, "Bad Request: message can't be deleted for everyone")
    world.delete_message(*key)
    return True


def send_poll(world: World, params: Json) -> Json:
    """Post a quiz; other polls are not supported."""
    chat = world.find_chat(params.get("chat_id"))
    if params.get("type") != "quiz":
        raise ApiError(400, "Bad Request: this server supports quizzes only")
    poll: Json = {
        "id": str(len(world.votes) + 1),
        "question": _check_length(params.get("question", ""), LONGEST_QUESTION, "question"),
        "options": [
            {"text": text, "voter_count": 0, "persistent_id": str(place)}
            for place, text in enumerate(_options(params))
        ],
        "total_voter_count": 0,
        "is_closed": False,
        "is_anonymous": params.get("is_anonymous", True),
        "type": "quiz",
        "allows_multiple_answers": False,
        "allows_revoting": False,
        "members_only": False,
        "correct_option_ids": [_correct_option(params)],
    }
    if explanation := params.get("explanation"):
        if explanation.count("\n") > MAX_LINE_FEEDS:
            raise ApiError(400, "Bad Request: poll explanation has too many line feeds")
        poll["explanation"] = _check_length(explanation, LONGEST_EXPLANATION, "explanation")
    world.votes[poll["id"]] = {}
    return _post(world, chat, params, {"poll": poll})


def get_me(world: World, _: Json) -> Json:
    """Describe the bot."""
    return world.me.json() | {
        "can_join_groups": True,
        "can_read_all_group_messages": world.can_read_all,
        "supports_inline_queries": False,
    }


def send_chat_action(world: World, params: Json) -> bool:
    """Check a chat action."""
    chat = world.find_chat(params.get("chat_id"))
    world.locate(chat, params.get("message_thread_id"), None)
    if params.get("action") not in ACTIONS:
        raise ApiError(400, "Bad Request: wrong parameter action in request")
    world.notify("action", {"chat": chat.json(), "action": params["action"]})
    return True


def answer_callback_query(world: World, params: Json) -> bool:
    """Answer a callback query."""
    if params.get("callback_query_id") not in world.queries:
        raise ApiError(400, STALE_QUERY)
    world.notify("callback_answer", params)
    return True


def set_my_commands(world: World, params: Json) -> bool:
    """Store the list of commands for a scope and a language."""
    for command in params.get("commands", []):
        if not COMMAND.fullmatch(command["command"]):
            raise ApiError(400, "Bad Request: BOT_COMMAND_INVALID")
        if not 0 < len(command["description"]) <= LONGEST_DESCRIPTION:
            raise ApiError(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
    world.set_menu(params.get("scope"), params.get("language_code"), params.get("commands", []))
    return True


def get_chat(world: World, params: Json) -> Json:
    """Describe a chat with the required fields of ChatFullInfo."""
    return world.find_chat(params.get("chat_id")).json() | {
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(NO_GIFTS, False),
    }


def get_chat_member(world: World, params: Json) -> Json:
    """Return a user's status in a chat."""
    chat = world.find_chat(params.get("chat_id"))
    user = world.users.get(params.get("user_id", 0))
    if user is None:
        raise ApiError(400, "Bad Request: user not found")
    return chat.member(user).json()


def get_file(world: World, params: Json) -> Json:
    """Return the download path of a file."""
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
    chat = world.find_chat(params.get("chat_id"))
    if chat.kind == "private":
        refusal = "Bad Request: chat member status can't be changed in private chats"
        raise ApiError(400, refusal)
    await world.change_status(chat, Member(world.me, "left"), by=world.me)
    return True


async def get_updates(world: World, params: Json) -> list[Json]:
    """Return the waiting updates, or wait for one."""
    return await world.updates.poll(params)


async def set_webhook(world: World, params: Json) -> bool:
    """Deliver updates by webhook; here plain http is allowed."""
    await world.updates.set_webhook(params)
    return True


async def delete_webhook(world: World, params: Json) -> bool:
    """Deliver updates by getUpdates."""
    drop = params.get("drop_pending_updates", False)
    await world.updates.set_webhook({"drop_pending_updates": drop})
    return True


def get_webhook_info(world: World, _: Json) -> Json:
    """Return the webhook and the number of waiting updates."""
    return world.updates.webhook_info()


def _text(params: Json) -> Json:
    """Return the body of a text message after checking Telegram's limits."""
    if params.get("parse_mode"):
        raise ApiError(400, "Bad Request: unsupported parse_mode")
    text = params.get("text", "").strip()
    if not text:
        raise ApiError(400, "Bad Request: message text is empty")
    if utf16_length(text) > LONGEST_TEXT:
        raise ApiError(400, "Bad Request: message is too long")
    entities = params.get("entities")
    return {"text": text} | ({"entities": entities} if entities else {})


def _caption(params: Json) -> Json:
    caption = params.get("caption")
    if caption and utf16_length(caption) > LONGEST_CAPTION:
        raise ApiError(400, "Bad Request: message caption is too long")
    return {"caption": caption} if caption else {}


def _buttons(params: Json) -> Json:
    """Return the buttons of a message; other kinds of reply_markup are left out."""
    markup = params.get("reply_markup") or {}
    if not markup.get("inline_keyboard"):
        return {}
    for row in markup["inline_keyboard"]:
        for button in row:
            size = len(button.get("callback_data", "-").encode())
            if not 0 < size <= LONGEST_BUTTON_DATA:
                raise ApiError(400, "Bad Request: BUTTON_DATA_INVALID")
    return {"reply_markup": markup}


def _post(world: World, chat: SimulatedChat, params: Json, body: Json) -> Json:
    """Post a message in the chat and topic of the call."""
    if chat.member(world.me).status == "restricted":
        raise ApiError(400, MUTE)
    reply_to = world.find_replied(chat, params.get("reply_parameters"))
    place = world.locate(chat, params.get("message_thread_id"), reply_to)
    return world.post(chat, world.me, {**place, **body, **_buttons(params)})


def _options(params: Json) -> list[str]:
    texts = [option["text"] for option in params.get("options", [])]
    if not MIN_OPTIONS <= len(texts) <= MAX_OPTIONS:
        raise ApiError(400, "Bad Request: poll must have from 2 to 10 answer options")
    return [_check_length(text, LONGEST_OPTION, "option") for text in texts]


def _correct_option(params: Json) -> int:
    """Return the index of the correct option: a number, or a list since Bot API 9.6."""
    given = params.get("correct_option_ids") or [params.get("correct_option_id")]
    index = given[0]
    if not isinstance(index, int) or not 0 <= index < len(params["options"]):
        raise ApiError(400, "Bad Request: wrong correct option ID specified")
    return index


def _check_length(text: str, longest: int, name: str) -> str:
    if not text.strip():
        raise ApiError(400, f"Bad Request: poll {name} must be non-empty")
    if utf16_length(text) > longest:
        raise ApiError(400, f"Bad Request: poll {name} length must not exceed {longest}")
    return text


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "getMe": get_me,
        "getUpdates": get_updates,
        "setWebhook": set_webhook,
        "deleteWebhook": delete_webhook,
        "sendMessage": send_message,
        "sendPhoto": send_photo,
        "sendSticker": send_sticker,
        "sendPoll": send_poll,
        "editMessageReplyMarkup": edit_message_reply_markup,
        "deleteMessage": delete_message,
        "sendChatAction": send_chat_action,
        "answerCallbackQuery": answer_callback_query,
        "setMyCommands": set_my_commands,
        "getChat": get_chat,
        "getChatMember": get_chat_member,
        "leaveChat": leave_chat,
        "getFile": get_file,
        "getWebhookInfo": get_webhook_info,
    }
)
