"""A playground with a group in it, served, and python-telegram-bot's Bot that talks to it."""

import pytest
from telegram import Bot

from bot.playground.server import serve
from tests.simulated_telegram import FaultyTelegram


@pytest.fixture
def telegram():
    return FaultyTelegram()


@pytest.fixture
async def url(telegram):
    async with serve(telegram) as url:
        yield url


@pytest.fixture
def connect():
    """Make a Bot of python-telegram-bot at the playground instead of Telegram."""

    def connect(url, token):
        return Bot(token, base_url=f"{url}/bot", base_file_url=f"{url}/file/bot")

    return connect


@pytest.fixture
async def bot(telegram, url, connect):
    async with connect(url, telegram.token) as bot:
        yield bot


@pytest.fixture
async def other_bot(telegram, url, connect):
    """The same bot a second time, as where somebody forgot one that runs."""
    async with connect(url, telegram.token) as bot:
        yield bot


@pytest.fixture
def friends(telegram):
    return telegram.chat(-1001234, title="Friends")


@pytest.fixture
def hugo(telegram):
    return telegram.user(7, "Hugo", last_name="Silva", username="hugo")


@pytest.fixture
def private(telegram, hugo):
    return telegram.private(hugo)
