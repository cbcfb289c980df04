"""What the playground's terminal shows of the bot, and says where it is silent."""

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from bot.errors import PlaygroundError
from bot.playground import show
from bot.playground.group import SimulatedGroup
from bot.store.database import open_database, prepare_database
from bot.store.inbox import Inbox
from model.chat.eligibility import add_voice_header


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'playground.db'}"


@pytest.fixture
async def inbox(url):
    await prepare_database(url)
    async with open_database(url) as database:
        yield Inbox(database)


@pytest.fixture
def group(telegram, friends, hugo):
    return SimulatedGroup(telegram, friends, [hugo], [])


@pytest.fixture
def shown(group):
    """Return what the terminal shows of the group."""
    console = Console(file=StringIO(), width=80)
    show.Terminal(group, console)
    return console.file.getvalue


async def nothing():
    """Do nothing that the bot could answer."""


async def test_a_silent_bot_names_the_next_step(group, url, monkeypatch):
    monkeypatch.setattr(show, "REPLY_SECONDS", 0.01)

    with pytest.raises(PlaygroundError, match="run `understudy-bot check`"):
        await show.answer_to(nothing(), group, url)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (add_voice_header("Hugo", "bark"), "🎭 Hugo: bark\n"),
        ("🎭 is my mask", "    🎭 is my mask\n"),
    ],
    ids=["in a voice", "its own words"],
)
async def test_what_the_bot_says_is_shown(bot, friends, shown, text, line):
    await bot.send_message(friends.id, text)

    assert shown() == line


async def test_what_a_person_says_is_shown_once(telegram, bot, group, shown):
    asked = await bot.send_message(group.chat.id, "who?")

    said = await group.say("Hugo", "me", telegram.message(group.chat, asked.message_id))
    await telegram.react(said, group.admin, "👍")
    await telegram.edit(said, "you")

    assert shown() == "    who?\n │ Hugo: ↩ me\n"


async def test_an_answer_ends_when_the_updates_are_handled(bot, group, url, inbox):
    async def ask():
        await inbox.store([{"update_id": 1}])
        await bot.send_message(group.chat.id, "first")

    answering = asyncio.create_task(show.answer_to(ask(), group, url))
    await asyncio.sleep(2 * show.CHECK_SECONDS)
    is_early = answering.done()
    await bot.send_message(group.chat.id, "second")
    await inbox.end(1)

    assert (await answering)["text"] == "second"
    assert not is_early
