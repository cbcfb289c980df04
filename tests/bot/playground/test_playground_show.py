"""What the playground's terminal shows of the bot, and says where it is silent."""

from io import StringIO

import pytest
from rich.console import Console

from bot.errors import PlaygroundError
from bot.playground import process, show
from bot.playground.telegram import Telegram
from model.chat.eligibility import add_voice_header


@pytest.fixture
def group():
    telegram = Telegram(can_read_all=True)
    chat = telegram.chat(process.GROUP, title=process.TITLE)
    return show.Group(telegram, chat, Console(file=StringIO(), width=80), {})


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
async def test_what_the_bot_says_is_shown(group, monkeypatch, text, shown):
    monkeypatch.setattr(show, "SETTLED_SECONDS", 0.01)
    await group.telegram.call("sendMessage", {"chat_id": group.chat.id, "text": text})

    await group.show_answers(0)

    assert group.console.file.getvalue() == shown
