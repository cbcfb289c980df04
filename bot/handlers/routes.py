"""Register all handlers, in order, and report their errors."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from telegram import Message, Update
from telegram.error import Forbidden, NetworkError
from telegram.ext import (
    CallbackQueryHandler,
    ChatMemberHandler,
    CommandHandler,
    MessageHandler,
    MessageReactionHandler,
    PollAnswerHandler,
    TypeHandler,
    filters,
)

from bot.application import (
    Answer,
    Context,
    DurableApplication,
    admins_only,
    in_second_stage,
    on_message,
)
from bot.errors import StoreError
from bot.handlers.admin import roll_back, show_model, show_status
from bot.handlers.as_command import VoiceHandlers, is_reply_to_bot
from bot.handlers.consent import forget, opt_in, opt_out, store_decision
from bot.handlers.guess import GuessGame, record_answer
from bot.handlers.info import explain_line, list_voices, show_help, show_privacy, start
from bot.handlers.join_in import JoinIn, set_chatty, set_quiet
from bot.handlers.membership import (
    AccessCheck,
    Membership,
    PrivacyMode,
    allow,
    migrate_group,
    store_permission,
)
from bot.handlers.record import record_reactions, select_stored
from bot.handlers.simulate import Simulator
from bot.handlers.speaking import Speaking
from bot.handlers.stats import GroupStatistics
from bot.handlers.uploads import ExportUploads
from bot.services.state import BotState
from bot.store.update_queue import AnswerKind
from bot.transport.incoming import place_of
from bot.transport.outgoing import VOICE_BUTTON

logger = logging.getLogger(__name__)

_CHECK, _ANSWER, _JOIN_IN = -1, 0, 1
"""The groups of handlers; an update runs through them in this order."""
_NEW = filters.UpdateType.MESSAGE  # an edited command would be answered twice
_ANSWER_KINDS: Mapping[str, AnswerKind] = {
    "guess": "reply", "simulate": "simulation", "stop": "stop",
    "optout": "erasure", "forget": "erasure",
}  # fmt: skip
_COMMAND = _NEW & ~filters.FORWARDED & ~filters.VIA_BOT
"""Commands that their sender typed: a forwarded /optin is not consent."""


def add_handlers(app: DurableApplication, state: BotState, uploads: ExportUploads) -> None:
    """Register all handlers.

    The access check and handlers that store something run in an update's first stage; those that
    send messages run in the second (`bot.store.update_queue`).
    """
    privacy_mode = PrivacyMode()
    speaking = Speaking(state, privacy_mode)
    voices, simulator = VoiceHandlers(state, speaking), Simulator(speaking)
    state.turn_stoppers.append(simulator.stop_turns)
    answers: dict[str, Answer] = {
        "help": show_help,
        "start": start,
        "privacy": show_privacy,
        "optin": opt_in,
        "optout": opt_out,
        "forget": forget,
        "simulate": simulator.simulate,
        "stop": simulator.stop,
        "voices": list_voices,
        "guess": GuessGame(speaking).play,
        "stats": GroupStatistics().show,
        "why": explain_line,
        "chatty": set_chatty,
        "quiet": set_quiet,
        "allow": admins_only(allow),
        "status": admins_only(show_status),
        "model": admins_only(show_model),
        "rollback": admins_only(roll_back),
    }
    first: dict[str, Callable[[Message, Context], Awaitable[None]]] = {
        "allow": store_permission, "optin": partial(store_decision, "optin"),
        "optout": partial(store_decision, "optout"),
    }  # fmt: skip
    documents = _NEW & filters.ChatType.PRIVATE & filters.Document.ALL
    replies = _NEW & filters.REPLY & ~filters.COMMAND
    conversation = _NEW & filters.ChatType.GROUPS & ~filters.COMMAND
    membership, join_in = Membership(privacy_mode), JoinIn(speaking)

    app.select_stored = partial(select_stored, state)
    app.add_handler(TypeHandler(Update, AccessCheck().check_update), _CHECK)
    for name, answer in answers.items():
        kind = _ANSWER_KINDS.get(name, "answer")
        callback = in_second_stage(on_message(answer), kind, first=first.get(name))
        app.add_handler(CommandHandler(name, callback, _COMMAND), _ANSWER)
    app.add_handler(
        CommandHandler("as", in_second_stage(voices.command, "reply"), _COMMAND), _ANSWER
    )
    # before replies, because an export may be sent as a reply to one of the bot's messages
    app.add_handler(
        MessageHandler(documents, in_second_stage(on_message(uploads.receive))), _ANSWER
    )
    app.add_handler(MessageHandler(filters.StatusUpdate.MIGRATE, migrate_group))
    app.add_handler(
        ChatMemberHandler(membership.change_membership, ChatMemberHandler.MY_CHAT_MEMBER), _ANSWER
    )
    replying = in_second_stage(voices.reply, "reply", is_needed=is_reply_to_bot)
    app.add_handler(MessageHandler(replies, replying), _ANSWER)
    app.add_handler(MessageReactionHandler(record_reactions), _ANSWER)
    app.add_handler(
        CallbackQueryHandler(in_second_stage(voices.tell_voice), pattern=VOICE_BUTTON), _ANSWER
    )
    app.add_handler(CallbackQueryHandler(in_second_stage(voices.press, "reply")), _ANSWER)
    app.add_handler(PollAnswerHandler(record_answer), _ANSWER)
    joining = in_second_stage(
        on_message(join_in.consider_joining), "join", is_needed=join_in.may_join
    )
    app.add_handler(MessageHandler(conversation, joining), _JOIN_IN)
    app.add_error_handler(report_error)


async def report_error(update: object, context: Context) -> None:
    """Log a handler's error, and apologise if somebody is waiting for an answer.

    After a StoreError the update is handled again later, so nobody needs to ask again.
    """
    chat = update.effective_chat if isinstance(update, Update) else None
    update_id = update.update_id if isinstance(update, Update) else None
    logger.error(
        "update %s in chat %s failed", update_id, chat.id if chat else None, exc_info=context.error
    )
    if not isinstance(update, Update) or isinstance(context.error, Forbidden | NetworkError):
        return  # no message can be sent now; a BadRequest is a NetworkError too
    if message := _unanswered_message(update, context.bot.id):
        with suppress(StoreError):
            if isinstance(context.error, StoreError):
                await context.delivery.notify(place_of(message), context.texts.later)
            else:
                await context.delivery.report_failure(place_of(message), context.texts.error)


def _unanswered_message(update: Update, bot_id: int) -> Message | None:
    """Return the message to answer: a pressed button's, a command, or a reply to the bot."""
    if update.callback_query:
        pressed = update.callback_query.message
        return pressed if isinstance(pressed, Message) else None
    message = update.message
    if message is None:
        return None
    replied = message.reply_to_message
    author = replied.from_user if replied else None
    is_reply_to_bot = author is not None and author.id == bot_id
    return message if is_reply_to_bot or (message.text or "").startswith("/") else None
