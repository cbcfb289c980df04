"""Convert telegram messages into `Message`."""

from collections.abc import Sequence
from datetime import UTC, timedelta

import telegram

from bot.store.messages import Place
from model.chat.conversation import MediaKind, Message, render_media, render_sticker
from model.chat.quotes import strip_quotes

_MEDIA: tuple[tuple[str, MediaKind], ...] = (
    ("photo", "photo"),
    ("animation", "animation"),  # before the document that comes with it
    ("video", "video"),
    ("video_note", "video message"),
    ("voice", "voice"),
    ("audio", "audio"),
    ("document", "file"),
    ("contact", "contact"),
    ("location", "location"),  # a venue has one too
    ("poll", "poll"),
    ("game", "game"),
    ("invoice", "invoice"),
    ("giveaway", "giveaway"),
    ("giveaway_winners", "giveaway"),
    ("checklist", "checklist"),
)
"""Message's attributes by kind. Dice and stories are left out, because exports lack them."""

_QUOTES = {telegram.MessageEntity.BLOCKQUOTE, telegram.MessageEntity.EXPANDABLE_BLOCKQUOTE}


def message_of(message: telegram.Message) -> Message | None:
    """Return the message as a reader sees it, or None if there is nothing to read.

    There is nothing to read in service messages, and in media that exports lack.
    """
    text = _text(message)
    author = _author(message)
    if text is None or author is None:
        return None
    return Message(
        chat_id=message.chat.id,
        message_id=message.message_id,
        author_id=author[0],
        author_name=author[1],
        text=text,
        sent_at=message.date.astimezone(UTC),
        topic_id=topic_of(message),
        reply_to=_reply_to(message),
        is_forward=message.forward_origin is not None,
        is_from_bot=message.via_bot is not None or is_by_bot(message),
    )


def names_in(update: telegram.Update) -> dict[int, str]:
    """Return the names that an update shows, by id: its sender's, and those of quoted authors."""
    shown: list[object] = [update.effective_sender]
    if message := update.effective_message:
        replied, other = message.reply_to_message, message.external_reply
        shown.append(replied and (replied.sender_chat or replied.from_user))
        origins = message.forward_origin, other and other.origin
        shown += [one.sender_user for one in origins if isinstance(one, telegram.MessageOriginUser)]
    people = {one.id: one.full_name for one in shown if isinstance(one, telegram.User)}
    chats = {one.id: one.effective_name for one in shown if isinstance(one, telegram.Chat)}
    return {number: name for number, name in (people | chats).items() if name}


def topic_of(message: telegram.Message) -> int | None:
    """Return the topic of a message; a thread of replies is not a topic."""
    return message.message_thread_id if message.is_topic_message else None


def place_of(message: telegram.Message) -> Place:
    """Return the chat and topic of a message."""
    return Place(message.chat.id, topic_of(message))


def person_id(user: telegram.User | None) -> int | None:
    """Return the id of a person.

    Returns None for an admin who writes as the group: Telegram's own bot is then the user.
    """
    return user.id if user and not user.is_bot else None


def own_id(message: telegram.Message) -> int | None:
    """Return the person who wrote a message, or None if it was sent as a group or channel."""
    return message.from_user.id if message.from_user and not message.sender_chat else None


def author_id(message: telegram.Message) -> int | None:
    """Return the author's id: the chat that a message was sent as, or else the user."""
    author = _author(message)
    return author[0] if author else None


def is_by_bot(message: telegram.Message) -> bool:
    """Whether a bot sent it; with a `sender_chat`, the user is only Telegram's placeholder."""
    by_bot = message.from_user is not None and message.from_user.is_bot
    return by_bot and message.sender_chat is None


def command_of(message: telegram.Message, username: str) -> str | None:
    """Return a message's command without the slash, or None if it has none for this bot."""
    first = message.entities[0] if message.entities else None
    if first is None or first.offset or first.type != telegram.MessageEntity.BOT_COMMAND:
        return None
    name, _, whose = (message.text or "")[1 : first.length].partition("@")
    return name.lower() if whose.lower() in {"", username.lower()} else None


def is_conversation(message: telegram.Message) -> bool:
    """Whether a message may be context: not a file, and no command except /as and /simulate."""
    first = message.entities[0] if message.entities else None
    if first is None or first.offset or first.type != telegram.MessageEntity.BOT_COMMAND:
        return message.document is None
    return command_of(message, message.get_bot().username) in {"as", "simulate"}


def after_command(message: telegram.Message) -> str:
    """Return the text after a command, without quotes."""
    _, *words = _own(message.text or "", message.entities).split(maxsplit=1) or [""]
    return words[0] if words else ""


def has_button(message: telegram.Message, data: str) -> bool:
    """Whether a message is the bot's own and has a button with this data."""
    author = message.from_user
    if author is None or author.id != message.get_bot().id or message.reply_markup is None:
        return False
    rows = message.reply_markup.inline_keyboard
    return any(button.callback_data == data for row in rows for button in row)


def _text(message: telegram.Message) -> str | None:
    if message.text is not None:
        return _own(message.text, message.entities)
    if message.sticker:
        return render_sticker(message.sticker.emoji)
    for attribute, kind in _MEDIA:
        if medium := getattr(message, attribute):
            words = strip_quotes(message.poll.question) if message.poll else _caption(message)
            return render_media(kind, _seconds(medium), words or "")
    return _caption(message)


def _caption(message: telegram.Message) -> str | None:
    return message.caption and _own(message.caption, message.caption_entities)


def _own(text: str, entities: Sequence[telegram.MessageEntity]) -> str:
    """Return a message's text without quotes, which are other people's words."""
    quotes = [entity for entity in entities if entity.type in _QUOTES]
    if not quotes:
        return strip_quotes(text)
    units, at, kept = text.encode("utf-16-le", "surrogatepass"), 0, bytearray()
    for quote in sorted(quotes, key=lambda entity: entity.offset):
        kept += units[at : max(at, 2 * quote.offset)]
        at = max(at, 2 * (quote.offset + quote.length))
    return strip_quotes((kept + units[at:]).decode("utf-16-le", "ignore"))


def _seconds(medium: object) -> int | None:
    """Return the duration of a medium; PTB_TIMEDELTA decides which type the library uses."""
    if not isinstance(medium, telegram.Voice | telegram.VideoNote):
        return None
    duration = medium.duration
    return int(duration.total_seconds() if isinstance(duration, timedelta) else duration)


def _author(message: telegram.Message) -> tuple[int, str | None] | None:
    """Return the author's id and name; for a channel or group, its id and title."""
    if message.sender_chat:
        return message.sender_chat.id, message.sender_chat.title
    if message.from_user:
        return message.from_user.id, message.from_user.full_name
    return None


def _reply_to(message: telegram.Message) -> int | None:
    """Return the message replied to, ignoring the one that opened a topic."""
    replied = message.reply_to_message
    if replied is None or replied.forum_topic_created:
        return None
    return None if replied.message_id == topic_of(message) else replied.message_id
