"""What the playground's terminal shows of the bot, and says where it is silent."""

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from bot.errors import PlaygroundError
from bot.playground import process, show
from bot.playground.telegram import Telegram
from bot.store.database import open_database, prepare_database
from bot.store.inbox import Inbox
from model.chat.eligibility import add_voice_header


@pytest.fixture
async def inbox(tmp_path):
    url = f"sqlite:///{tmp_path / 'playground.db'}"
    await prepare_database(url)
    async with open_database(url) as database:
        yield Inbox(database)


@pytest.fixture
def group(inbox, tmp_path):
    telegram = Telegram(can_read_all=True)
    chat = telegram.chat(process.GROUP, title=process.TITLE)
    console = Console(file=StringIO(), width=80)
    return show.Group(telegram, chat, console, {}, f"sqlite:///{tmp_path / 'playground.db'}")


async def test_a_silent_bot_names_the_next_step(group, monkeypatch):
    monkeypatch.setattr(show, "REPLY_SECONDS", 0.01)

    with pytest.raises(PlaygroundError, match="run `understudy-bot check`"):
        await group.show_answers(0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (add_voice_header("Hugo", "bark"), "🎭 Hugo: bark\n"),
        ("🎭 is my mask", "    🎭 is my mask\n"),
    ],
    ids=["in a voice", "its own words"],
)
async def test_what_the_bot_says_is_shown(group, text, shown):
    await group.telegram.call("sendMessage", {"chat_id": group.chat.id, "text": text})

    await group.show_answers(0)

    assert group.console.file.getvalue() == shown


async def test_messages_are_shown_until_the_update_is_handled(group, inbox):
    async def answer_twice():
        await asyncio.sleep(2 * show.CHECK_SECONDS)
        await group.telegram.call("sendMessage", {"chat_id": group.chat.id, "text": "second"})
        await inbox.end(1)

    await inbox.store([{"update_id": 1}])
    await group.telegram.call("sendMessage", {"chat_id": group.chat.id, "text": "first"})
    answering = asyncio.create_task(answer_twice())

    last = await group.show_answers(0)

    await answering
    assert group.console.file.getvalue() == "    first\n    second\n"
    assert last["text"] == "second"
