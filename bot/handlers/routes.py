"""Register all handlers, in order."""

from functools import partial

from telegram.ext import (
    CallbackQueryHandler,
    ChatMemberHandler,
    CommandHandler,
    MessageHandler,
    MessageReactionHandler,
    PollAnswerHandler,
    filters,
)

from bot.application import DurableApplication
from bot.handlers.admin import Status, Versions
from bot.handlers.as_command import Voices
from bot.handlers.consent import Consenting
from bot.handlers.errors import report
from bot.handlers.forget import Forgetting
from bot.handlers.guess import Guessing
from bot.handlers.info import About, Cast, Explaining, Privacy
from bot.handlers.join_in import Joining
from bot.handlers.membership import Gate, Membership
from bot.handlers.privacy_mode import PrivacyMode
from bot.handlers.record import Reacting, select_stored
from bot.handlers.simulate import Simulating
from bot.handlers.speaking import Speaking
from bot.handlers.uploads import Receiving
from bot.services.state import BotState
from bot.transport.outgoing import VOICE_SIGN

_GATE, _LAST = -1, 1  # the groups of handlers that run before and after all others
_NEW = filters.UpdateType.MESSAGE  # an edited command would answer twice


def add_handlers(app: DurableApplication, state: BotState, receiving: Receiving) -> None:
    """Add all handlers; those that send must not block the next update."""
    privacy_mode = PrivacyMode(state)
    speaking = Speaking(state, privacy_mode)
    app.select_stored = partial(select_stored, state)
    app.add_handler(Gate(state).handler(), group=_GATE)
    _add_people(app, state)
    _add_running(app, state, privacy_mode, receiving)
    _add_talk(app, state, speaking)  # last: an export may be sent in reply to what a voice said
    app.add_error_handler(report)


def _add_talk(app: DurableApplication, state: BotState, speaking: Speaking) -> None:
    """Add what lets the bot speak as somebody, and what is asked of that."""
    voices, simulating = Voices(state, speaking), Simulating(state, speaking)
    joining, guessing = Joining(state, speaking), Guessing(state, speaking)
    for name, callback in (
        ("as", voices.command),
        ("simulate", simulating.command),
        ("stop", simulating.stop),
        ("voices", Cast(state).voices),
        ("guess", guessing.command),
        ("why", Explaining(state).why),
        ("chatty", joining.chatty),
        ("quiet", joining.quiet),
    ):
        app.add_handler(CommandHandler(name, callback, _NEW, block=False))
    replies = _NEW & filters.REPLY & ~filters.COMMAND
    app.add_handler(MessageHandler(replies, voices.reply, block=False))
    in_groups = _NEW & filters.ChatType.GROUPS & ~filters.COMMAND
    app.add_handler(MessageHandler(in_groups, joining.talk, block=False), group=_LAST)
    app.add_handler(MessageReactionHandler(Reacting(state).changed))
    app.add_handler(CallbackQueryHandler(voices.tell_voice, pattern=VOICE_SIGN, block=False))
    app.add_handler(CallbackQueryHandler(voices.press, block=False))
    app.add_handler(PollAnswerHandler(guessing.answered))


def _add_people(app: DurableApplication, state: BotState) -> None:
    """Add what anybody may ask for and decide about themselves."""
    about, forgetting = About(state), Forgetting(state)
    consenting = Consenting(state, forgetting)
    for name, callback in (
        ("help", about.help),
        ("start", about.start),
        ("optin", consenting.opt_in),
        ("optout", consenting.opt_out),
        ("forget", forgetting.command),
        ("privacy", Privacy(state).command),
    ):
        app.add_handler(CommandHandler(name, callback, _NEW, block=False))


def _add_running(
    app: DurableApplication, state: BotState, privacy_mode: PrivacyMode, receiving: Receiving
) -> None:
    """Add what the bot's admins run it with; what a move to another group means is kept at once."""
    membership, versions = Membership(state, privacy_mode), Versions(state)
    for name, callback in (
        ("allow", membership.allow),
        ("status", Status(state).command),
        ("model", versions.show),
        ("rollback", versions.roll_back),
    ):
        app.add_handler(CommandHandler(name, callback, _NEW, block=False))
    exports = _NEW & filters.ChatType.PRIVATE & filters.Document.ALL
    app.add_handler(MessageHandler(exports, receiving.document, block=False))
    app.add_handler(MessageHandler(filters.StatusUpdate.MIGRATE, membership.moved))
    app.add_handler(ChatMemberHandler(membership.changed, ChatMemberHandler.MY_CHAT_MEMBER))
