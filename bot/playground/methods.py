"""Bot API methods of the playground."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from bot.playground.objects import ApiError, Chat, Json, Member, Upload, User, utf16_length
from bot.playground.world import World

LONGEST_TEXT = 4096
LONGEST_CAPTION = 1024
MUTE = "Bad Request: not enough rights to send text messages to the chat"
LONGEST_BUTTON_DATA = 64
DELETABLE_SECONDS = 48 * 60 * 60
SAME = (
    "Bad Request: message is not modified: specified new message content and reply markup "
    "are exactly the same as a current content and reply markup of the message"
)


def send_message(world: World, params: Json) -> Json:
    """Post a text."""
    chat = world.reach(params.get("chat_id"))
    return post(world, chat, params, _text(params))


def send_document(world: World, params: Json) -> Json:
    """Post a file: one uploaded here, or one that Telegram has already."""
    chat = world.reach(params.get("chat_id"))
    given = params.get("document")
    if isinstance(given, str) and given.startswith("attach://"):
        given = params.get(given.removeprefix("attach://"))
    if isinstance(given, Upload):
        document = world.keep_file(given)
    elif given in world.files:
        upload = world.files[given]
        document = {"file_id": given, "file_unique_id": f"unique-{given}"}
        document |= {"file_name": upload.name, "file_size": len(upload.content)}
    else:
        raise ApiError(400, "Bad Request: there is no document in the request")
    body: Json = {"document": document}
    if caption := params.get("caption"):
        if utf16_length(caption) > LONGEST_CAPTION:
            raise ApiError(400, "Bad Request: message caption is too long")
        body["caption"] = caption
    return post(world, chat, params, body)


def send_sticker(world: World, params: Json) -> Json:
    """Post a sticker that somebody sent before."""
    chat = world.reach(params.get("chat_id"))
    file_id = params.get("sticker")
    sticker = world.stickers.get(file_id) if isinstance(file_id, str) else None
    if sticker is None:
        raise ApiError(400, "Bad Request: wrong file identifier/HTTP URL specified")
    return post(world, chat, params, {"sticker": sticker})


def edit_message_text(world: World, params: Json) -> Json:
    """Give a message of the bot another text, and the buttons of the call or none."""
    return _edit(world, params, _text(params))


def edit_message_reply_markup(world: World, params: Json) -> Json:
    """Give a message of the bot other buttons, or none."""
    return _edit(world, params, {})


def delete_message(world: World, params: Json) -> bool:
    """Remove a message that the bot may remove."""
    chat = world.reach(params.get("chat_id"))
    key = chat.id, params.get("message_id", 0)
    message = world.messages.get(key)
    if message is None:
        raise ApiError(400, "Bad Request: message to delete not found")
    is_own = message["from"]["id"] == world.me.id or chat.kind == "private"
    if not is_own and not chat.member(world.me).may("can_delete_messages"):
        raise ApiError(400, "Bad Request: message can't be deleted")
    if world.now() - message["date"] > DELETABLE_SECONDS:
        raise ApiError(400, "Bad Request: message can't be deleted for everyone")
    del world.messages[key]
    return True


def _text(params: Json) -> Json:
    """Return the body of a text message, its text within Telegram's bounds."""
    if params.get("parse_mode"):
        raise ApiError(400, "Bad Request: unsupported parse_mode")
    text = params.get("text", "").strip()
    if not text:
        raise ApiError(400, "Bad Request: message text is empty")
    if utf16_length(text) > LONGEST_TEXT:
        raise ApiError(400, "Bad Request: message is too long")
    entities = params.get("entities")
    return {"text": text} | ({"entities": entities} if entities else {})


def _buttons(params: Json) -> Json:
    """Return the buttons under a message; other kinds of reply_markup do not show in it."""
    markup = params.get("reply_markup") or {}
    if not markup.get("inline_keyboard"):
        return {}
    for row in markup["inline_keyboard"]:
        for button in row:
            size = len(button.get("callback_data", "-").encode())
            if not 0 < size <= LONGEST_BUTTON_DATA:
                raise ApiError(400, "Bad Request: BUTTON_DATA_INVALID")
    return {"reply_markup": markup}


def post(world: World, chat: Chat, params: Json, body: Json) -> Json:
    """Post a message where the call says."""
    if chat.member(world.me).status == "restricted":
        raise ApiError(400, MUTE)
    reply_to = world.replied(chat, params.get("reply_parameters"))
    place = world.place(chat, params.get("message_thread_id"), reply_to)
    return world.post(chat, world.me, {**place, **body, **_buttons(params)})


def _edit(world: World, params: Json, body: Json) -> Json:
    """Replace a message of the bot: what the call leaves out of text stays, buttons do not."""
    chat = world.reach(params.get("chat_id"))
    key = chat.id, params.get("message_id", 0)
    message = world.messages.get(key)
    if message is None:
        raise ApiError(400, "Bad Request: message to edit not found")
    if message["from"]["id"] != world.me.id:
        raise ApiError(400, "Bad Request: message can't be edited")
    gone = {"reply_markup", "entities"} if body else {"reply_markup"}
    kept = {name: part for name, part in message.items() if name not in gone}
    edited = {**kept, **body, **_buttons(params)}
    if edited == message:
        raise ApiError(400, SAME)
    world.messages[key] = edited | {"edit_date": world.now()}
    return world.messages[key]


LONGEST_QUESTION = 300
LONGEST_OPTION = 100
LONGEST_EXPLANATION = 200
FEWEST_OPTIONS, MOST_OPTIONS = 2, 10
MOST_LINE_FEEDS = 2


def send_poll(world: World, params: Json) -> Json:
    """Post a quiz; other polls are not known here."""
    chat = world.reach(params.get("chat_id"))
    if params.get("type") != "quiz":
        raise ApiError(400, "Bad Request: this server knows quizzes alone")
    poll: Json = {
        "id": str(len(world.voters) + 1),
        "question": _bounded(params.get("question", ""), LONGEST_QUESTION, "question"),
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
        "correct_option_ids": [_right(params)],
    }
    if explanation := params.get("explanation"):
        if explanation.count("\n") > MOST_LINE_FEEDS:
            raise ApiError(400, "Bad Request: poll explanation has too many line feeds")
        poll["explanation"] = _bounded(explanation, LONGEST_EXPLANATION, "explanation")
    world.voters[poll["id"]] = set()
    return post(world, chat, params, {"poll": poll})


async def vote(world: World, message: Json, user: User, option: int) -> None:
    """Count an answer; the bot hears who chose what unless the quiz is anonymous.

    Raises:
        ValueError: There is no such option, or the user voted already: no quiz lets them again.
    """
    key = message["chat"]["id"], message["message_id"]
    current = world.messages[key]
    poll: Json = current["poll"]
    if not 0 <= option < len(poll["options"]):
        raise ValueError(f"no option {option}: there are {len(poll['options'])}")
    if user.id in world.voters[poll["id"]]:
        raise ValueError(f"{user.first_name} answered already")
    world.voters[poll["id"]].add(user.id)
    options = [
        {**one, "voter_count": one["voter_count"] + (place == option)}
        for place, one in enumerate(poll["options"])
    ]
    counted = {**poll, "options": options, "total_voter_count": poll["total_voter_count"] + 1}
    world.messages[key] = {**current, "poll": counted}
    await world.updates.push("poll", counted)
    if not poll["is_anonymous"]:
        answer = {"poll_id": poll["id"], "user": user.json(), "option_ids": [option]}
        chosen = {"option_persistent_ids": [str(option)]}
        await world.updates.push("poll_answer", answer | chosen)


def _options(params: Json) -> list[str]:
    texts = [option["text"] for option in params.get("options", [])]
    if not FEWEST_OPTIONS <= len(texts) <= MOST_OPTIONS:
        raise ApiError(400, "Bad Request: poll must have from 2 to 10 answer options")
    return [_bounded(text, LONGEST_OPTION, "option") for text in texts]


def _right(params: Json) -> int:
    """Return the place of the right option: one number, or as a list since Bot API 9.6."""
    given = params.get("correct_option_ids") or [params.get("correct_option_id")]
    right = given[0]
    if not isinstance(right, int) or not 0 <= right < len(params["options"]):
        raise ApiError(400, "Bad Request: wrong correct option ID specified")
    return right


def _bounded(text: str, longest: int, name: str) -> str:
    if not text.strip():
        raise ApiError(400, f"Bad Request: poll {name} must be non-empty")
    if utf16_length(text) > longest:
        raise ApiError(400, f"Bad Request: poll {name} length must not exceed {longest}")
    return text


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
        "sendMessage": send_message,
        "sendDocument": send_document,
        "sendSticker": send_sticker,
        "sendPoll": send_poll,
        "editMessageText": edit_message_text,
        "editMessageReplyMarkup": edit_message_reply_markup,
        "deleteMessage": delete_message,
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
