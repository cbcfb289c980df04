"""Handle `/start`, `/help`, `/privacy`, `/voices` and `/why`."""

from collections import Counter

from telegram import Chat, Message
from telegram.error import TelegramError

from bot.application import Context
from bot.transport.incoming import person_id
from bot.transport.polling import Client
from model.chat.eligibility import VOICE_EMOJI


async def start(message: Message, context: Context) -> str:
    """Explain the bot; in private, if the bot has no admins yet, return the sender's id instead."""
    if message.chat.type == Chat.PRIVATE and not context.state.settings.admins:
        return context.texts.your_id.format(user_id=message.chat.id)
    return await show_help(message, context)


async def show_help(message: Message, context: Context) -> str:
    """Explain what the bot does, and list its commands and voices where it may speak."""
    texts, chat_id = context.texts, message.chat.id
    access = context.state.access_in(chat_id)
    if chat_id > 0 and chat_id not in access.admins:
        return f"{texts.introduction}\n\n{texts.private_admins_only}"
    if not access.may_speak_in(chat_id):
        return texts.silent_here
    return texts.format_help([person.name for person in access.voices])


async def show_privacy(_: Message, context: Context) -> str:
    """Explain what the bot stores, and name its admins; this works in every chat."""
    texts, settings = context.texts, context.state.settings
    admins = [await _describe_admin(user_id, context.bot) for user_id in sorted(settings.admins)]
    return texts.privacy.format(
        days=texts.format_count(texts.days, settings.retention_days),
        admins=", ".join(admins) or texts.no_admins,
    )


async def _describe_admin(user_id: int, bot: Client) -> str:
    """Return an admin's name and username, or the id if Telegram does not return them."""
    try:
        chat = await bot.get_chat(user_id)
    except TelegramError:  # Telegram describes only people who have written to the bot
        return f"id {user_id}"
    known_as = f"@{chat.username}" if chat.username else f"id {user_id}"
    return f"{chat.full_name or ''} ({known_as})".strip()


async def list_voices(message: Message, context: Context) -> str:
    """List the voices, the people who may still agree and those with too few messages.

    In a group that the model did not learn from, list only the voices.
    """
    state, texts, chat_id = context.state, context.texts, message.chat.id
    access, card = state.access_in(chat_id), state.model_in(chat_id).card
    voices = []
    for person in access.voices:
        lines = card.count_lines(person.name)
        learned = ""
        if lines is not None:
            learned = texts.learned_from.format(messages=texts.format_count(texts.messages, lines))
        # a message that starts with the emoji would count as one in a voice
        voices.append(f"• {VOICE_EMOJI} {person.name}{learned}")
    parts = ["\n".join(voices) or texts.no_voices]
    people = access.roster_in(chat_id).people
    if names := [person.name for person in people if access.may_still_agree(person)]:
        parts.append(texts.not_agreed_list.format(names=", ".join(names)))
    if names := [person.name for person in people if person.is_only_quiet]:
        parts.append(texts.too_few_messages_list.format(names=", ".join(names)))
    return "\n\n".join(parts)


async def explain_line(message: Message, context: Context) -> str:
    """Explain how the message replied to was generated; rejected candidates are for admins only."""
    state, texts = context.state, context.texts
    replied = message.reply_to_message
    turn = None
    if replied and not replied.poll:  # an explanation would reveal the answer of a quiz
        turn = await state.store.outbox.find_turn(message.chat.id, replied.message_id)
    if replied is None or turn is None:
        return texts.why_usage
    read = turn.generation.read if turn.generation else len(turn.sources)
    text = texts.why if read else texts.why_without_count
    parts = [
        text.format(
            voice=turn.voice,
            version=turn.version,
            messages=texts.format_count(texts.messages, read),
        )
    ]
    if turn.generation and person_id(message.from_user) in state.settings.admins:
        counts = Counter(turn.generation.rejected)
        reasons = (f"{number} × {texts.rejections[key]}" for key, number in counts.most_common())
        parts.append(
            texts.why_rejected.format(count=counts.total(), reasons=", ".join(reasons))
            if counts
            else texts.why_none_rejected
        )
    reactions = await state.store.reactions.counts(message.chat.id, replied.message_id)
    parts.append("  ".join(f"{emoji} {number}" for emoji, number in sorted(reactions.items())))
    return "\n".join(filter(None, parts))
