"""Handle `/optin` and `/optout`."""

from telegram import Message

from bot.handlers.forget import erase_all_of
from bot.services.context import Context
from bot.transport.incoming import own_id


async def opt_in(message: Message, context: Context) -> str:
    """Record that somebody agrees to be imitated, and say whether their voice can be used now."""
    state, texts = context.state, context.texts
    user_id = own_id(message)
    if user_id is None:
        return texts.anonymous_sender
    await state.decide(message.chat.id, user_id, "optin")
    person = state.access.roster.find_by_id(user_id)
    if person is None:
        return texts.optin_unknown
    if state.access.may_imitate(person):
        text = texts.optin_done
    elif person.is_only_quiet:
        text = texts.optin_too_few_messages
    elif not person.may_be_target:
        text = texts.optin_roster_no
    else:
        text = texts.optin_other_account
    return text.format(name=person.name)


async def opt_out(message: Message, context: Context) -> str:
    """Stop imitating somebody at once, and erase what the bot keeps of them."""
    texts = context.texts
    user_id = own_id(message)
    if user_id is None:
        return texts.anonymous_sender
    await context.state.decide(message.chat.id, user_id, "optout")
    return await erase_all_of(user_id, texts.optout_done, context)
