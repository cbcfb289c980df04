"""Parity: at any place in any chat the bot's prompt equals the pipeline's, to the character.

The same chat reaches the bot as Telegram's updates and the pipeline as an export.
"""

import asyncio
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telegram import Update

from bot.access import Access
from bot.handlers.keeping import keeping
from bot.incoming import message_of, place_of
from bot.replies import lines_for
from bot.store import messages as paging
from bot.store.database import opened, prepare
from bot.store.messages import Store
from bot.store.shelves import Shelves
from model.conversation import Window
from model.marker import parse_spoken
from model.prompt import context_at, render_context, render_prompt
from pipeline.export.archive import opened as opened_exports
from tests.parity_chats import BOT, ROSTER, Chat, chats, ends, windows


async def bots_context(chat, database, window):
    """Return the context that the live bot builds for the chat's last message."""
    async with opened(f"sqlite+aiosqlite:///{database}") as engine:
        store = Store(engine)
        access = Access(ROSTER, frozenset({chat.id}), frozenset(), "ask")
        keep = keeping(Shelves.of(engine), lambda: access).callback
        for number, fields in enumerate(chat.updates()):
            update = Update.de_json({"update_id": number, **fields}, None)
            message = update.effective_message
            if message.from_user.id != BOT:
                await keep(update, None)
            elif parse_spoken(message.text):  # the bot keeps only what it says in a voice
                await store.save(message_of(message))
        last = Update.de_json({"update_id": 0, "message": chat.bodies[-1]}, None).message
        return render_context(await lines_for(store, place_of(last), last.date, ROSTER, window))


def pipelines_context(chat, folder, window):
    """Return the context that the pipeline builds at the chat's last message."""
    with opened_exports([chat.export(folder)]) as archive:
        messages = list(archive.spool.messages(archive.only(None).chat_id))
    last = max(messages, key=lambda message: (message.sent_at, message.message_id))
    earlier = [message for message in messages if message.topic_id == last.topic_id]
    return context_at(earlier, last.sent_at, ROSTER, window)


@contextmanager
def page_of(size):
    """Let the store read pages of so many messages, and telegram give durations as the bot's do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "PAGE", size)
        patch.setenv("PTB_TIMEDELTA", "1")
        yield


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    path = tmp_path_factory.mktemp("parity") / "empty.db"
    asyncio.run(prepare(f"sqlite+aiosqlite:///{path}"))
    return path


places = given(
    said=chats,
    end=ends,
    window=windows | st.just(Window()),
    kind=st.sampled_from(["private_supergroup", "private_group"]),
    page=st.sampled_from([2, 64]),
)


def both_contexts(empty_database, said, end, window, kind, page):
    chat = Chat([*said, end], kind)
    with TemporaryDirectory() as folder, page_of(page):
        database = shutil.copy(empty_database, Path(folder) / "bot.db")
        live = asyncio.run(bots_context(chat, database, window))
        return live, pipelines_context(chat, Path(folder), window)


@settings(max_examples=100, deadline=None)
@places
def test_the_bots_prompt_is_the_pipelines(empty_database, said, end, window, kind, page):
    live, offline = both_contexts(empty_database, said, end, window, kind, page)

    assert live == offline
    assert render_prompt(live) == render_prompt(offline)


@pytest.mark.soak
@settings(max_examples=5_000, deadline=None)
@places
def test_the_bots_prompt_is_the_pipelines_in_5000_chats(
    empty_database, said, end, window, kind, page
):
    live, offline = both_contexts(empty_database, said, end, window, kind, page)

    assert live == offline
