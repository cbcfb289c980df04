"""Handle `/optin`, `/optout` and `/forget`."""

from telegram import Chat, Message

from bot.application import Context
from bot.services.access import is_group_admin
from bot.services.forgetting import erase
from bot.store.erasure import ErasureQuery
from bot.store.messages import Ref
from bot.transport.incoming import after_command, author_id, own_id
from model.chat.eligibility import parse_voice_header
from model.chat.person import DecisionKind


async def store_decision(kind: DecisionKind, message: Message, context: Context) -> None:
    """Record whether somebody agrees to be imitated; it applies at once."""
    if (user_id := own_id(message)) is not None:
        update_id = context.delivery.update_id
        await context.state.save_decision(message.chat.id, user_id, kind, update_id)


async def opt_in(message: Message, context: Context) -> str:
    """Say whether the voice of somebody who agreed can be used now."""
    state, texts = context.state, context.texts
    user_id = own_id(message)
    if user_id is None:
        return texts.anonymous_sender
    access = state.access_in(message.chat.id)
    person = access.roster.find_by_id(user_id)
    # a group must not learn that somebody is in another one
    is_private = message.chat.type == Chat.PRIVATE
    if not is_private and not access.may_speak_in(message.chat.id):
        return texts.optin_silent
    if not is_private and not access.learned_from(message.chat.id):
        return texts.optin_other_group
    in_group_model = is_private and state.is_in_group_model(user_id)
    if person is None:
        return texts.optin_group_model if in_group_model else texts.optin_unknown
    if access.may_imitate(person):
        text = texts.optin_done_in_private if is_private else texts.optin_done
    elif person.is_only_quiet:
        text = texts.optin_too_few_messages
    elif not person.may_be_target:
        text = texts.optin_roster_no
    else:
        text = texts.optin_other_account
    text = text.format(name=person.name, chats=state.origin_in(message.chat.id))
    return f"{text}\n\n{texts.optin_group_model}" if in_group_model else text


async def opt_out(message: Message, context: Context) -> str:
    """Erase the messages of somebody who no longer agrees, and what was generated from them."""
    if (user_id := own_id(message)) is None:
        return context.texts.anonymous_sender
    return await erase_all_of(user_id, context.texts.optout_done, message, context)


async def forget(message: Message, context: Context) -> str:
    """Erase the message replied to, or all messages of the sender; say what was erased."""
    texts, argument = context.texts, after_command(message).strip().casefold()
    replied = message.reply_to_message
    if argument == "all":
        if (user_id := own_id(message)) is None:
            return texts.anonymous_sender
        return await erase_all_of(user_id, texts.forget_all_done, message, context)
    if argument or replied is None or replied.forum_topic_created:
        return texts.forget_usage
    return await _forget_message(message, replied, context)


async def erase_all_of(user_id: int, text: str, message: Message, context: Context) -> str:
    """Erase a person's messages, from any account, and the bot's messages generated from them.

    Returns `text` with the number of erased messages, followed by what happened in the chat. A
    group that the model did not learn from gets no numbers: they would show who is in another one.
    """
    state, texts = context.state, context.texts
    query = ErasureQuery(authors=state.find_accounts(user_id))
    gone = await erase(query, state, context.bot, context.delivery.update_id)
    is_private = message.chat.type == Chat.PRIVATE
    if not is_private and not state.access_in(message.chat.id).learned_from(message.chat.id):
        return text.format(messages=texts.everything)
    return gone.describe(
        text.format(messages=texts.format_count(texts.messages, gone.messages)), texts
    )


async def _forget_message(message: Message, replied: Message, context: Context) -> str:
    """Erase the message replied to, if the sender is allowed to.

    The message's author may erase it, and so may the person in whose voice it is, admins of the
    group or of the bot, and anyone in their own private chat.
    """
    state, texts = context.state, context.texts
    roster = state.access_in(message.chat.id).roster
    ref = Ref(replied.chat.id, replied.message_id)
    is_own = replied.from_user is not None and replied.from_user.id == context.bot.id
    owner_ids = {author_id(replied)}
    if is_own:
        turn = await state.store.outbox.find_turn(ref.chat_id, ref.message_id)
        spoken = parse_voice_header(replied.text or "")
        if turn is None and spoken is None:
            return texts.forget_no_voice
        if turn:
            owner_ids = set(state.find_accounts(turn.person_id))
        else:  # the database was lost
            owner = roster.find_by_name(spoken[0]) if spoken else None
            owner_ids = set(owner.ids if owner else ())
    sender_id = author_id(message)
    sender_ids = {sender_id, *state.find_accounts(sender_id or 0)}
    may_forget = bool(sender_ids & owner_ids) or message.chat.type == Chat.PRIVATE
    if not may_forget and not await is_group_admin(context.bot, message, state.settings.admins):
        return texts.forget_not_allowed
    if replied.sticker:
        await state.store.stickers.forget(ref.chat_id, replied.sticker.file_unique_id)
    query = ErasureQuery(own=(ref,)) if is_own else ErasureQuery(messages=(ref,))
    gone = await erase(query, state, context.bot, context.delivery.update_id)
    return gone.describe(texts.forget_done, texts)
