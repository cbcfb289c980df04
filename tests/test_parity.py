"""Parity: at any place in any chat the bot's prompt equals the pipeline's, to the character.

The same chat reaches the bot as Telegram's updates and the pipeline as an export.
"""

import asyncio
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.services.replies import ReplyRequest, load_lines
from bot.transport.incoming import place_of
from model.chat.conversation import Window
from model.chat.prompt import build_context, render_context, render_prompt
from tests.parity import heard, page_of, read
from tests.parity_chats import ROSTER, Chat, chats, ends, windows


async def bots_context(chat, database, window):
    """Return the context that the live bot builds for the chat's last message."""
    async with heard(chat, database) as (store, last):
        request = ReplyRequest(place_of(last), "", last.date)
        return render_context(await load_lines(store, request, ROSTER, window))


def pipelines_context(chat, folder, window):
    """Return the context that the pipeline builds at the chat's last message."""
    last, topic = read(chat, folder)
    return build_context(topic, last.sent_at, ROSTER, window)


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


@settings(max_examples=20, deadline=None)
@places
def test_the_bots_prompt_is_the_pipelines(empty_database, said, end, window, kind, page):
    live, offline = both_contexts(empty_database, said, end, window, kind, page)

    assert live == offline
    assert render_prompt(live) == render_prompt(offline)
    assert "zanzibar" not in render_prompt(live)


@pytest.mark.soak
@settings(max_examples=5_000, deadline=None)
@places
def test_the_bots_prompt_is_the_pipelines_in_5000_chats(
    empty_database, said, end, window, kind, page
):
    live, offline = both_contexts(empty_database, said, end, window, kind, page)

    assert live == offline
