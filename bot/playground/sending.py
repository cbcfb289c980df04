"""What the bot says: the methods that post, edit and delete messages.

Descriptions of errors are those of Telegram, which python-telegram-bot and its users match.
"""

from bot.playground.shapes import ApiError, Chat, Json, Upload, utf16_length
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
