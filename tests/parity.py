"""A chat as both sides have it: heard by the live bot into its store, read from its export."""

from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace

import pytest
from telegram import Update

from bot.handlers.record import select_stored
from bot.services.access import Access
from bot.store import messages as paging
from bot.store.database import open_database
from bot.store.messages import MessageStore
from bot.transport.incoming import message_of
from model.chat.eligibility import parse_voice_header
from pipeline.export.archive import open_exports
from tests.parity_chats import BOT, ROSTER


@asynccontextmanager
async def heard(chat, database):
    """Let the live bot hear a chat; yield its store and the chat's last message."""
    async with open_database(f"sqlite+aiosqlite:///{database}") as engine:
        store = MessageStore(engine)
        access = Access(ROSTER, frozenset({chat.id}), frozenset(), "ask")
        models = SimpleNamespace(is_new_name=lambda *_: False)
        state = SimpleNamespace(may_speak_in=access.may_speak_in, models=models)
        for number, fields in enumerate(chat.updates()):
            update = Update.de_json({"update_id": number, **fields}, None)
            message = update.effective_message
            if message.from_user.id != BOT:
                if (stored := select_stored(state, update)) and stored.message:
                    await store.save(stored.message, stored.edited_at)
            elif parse_voice_header(message.text):  # the bot keeps only what it says in a voice
                await store.save(message_of(message))
        yield store, Update.de_json({"update_id": 0, "message": chat.bodies[-1]}, None).message


def read(chat, folder):
    """Return of a chat's export the last message, and those of its topic."""
    with open_exports([chat.export(folder)]) as archive:
        messages = list(archive.spool.messages(archive.only(None).chat_id))
    last = max(messages, key=lambda message: (message.sent_at, message.message_id))
    return last, [message for message in messages if message.topic_id == last.topic_id]


@contextmanager
def page_of(size):
    """Let the store read pages of so many messages, and telegram give durations as the bot's do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "PAGE", size)
        patch.setenv("PTB_TIMEDELTA", "1")
        yield
